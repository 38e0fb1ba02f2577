"""Fitted parts in a tuple, list or dict, as in `pickle.dump((dv, model))` -> the pipeline that they are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise, permutations
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

REMEDY = "Save one fitted object that predicts, such as sklearn.pipeline.make_pipeline(transformer, model)."
# A target's scaler and the like; and what makes another answer of a prediction.
_OF_TARGETS = re.compile(r"(?i)^y($|_)|target|label|output")
_OF_ANSWERS = re.compile(r"(?i)class|label|threshold|target|mapping")
# Of so many transformers all orders are looked at.
_MOST_TRANSFORMERS = 5


class NotAPipeline(Exception):
    """The parts are no pipeline; `str(error)` says why, as the end of a sentence."""


def assemble(held: Any) -> tuple[Any, str | None]:
    """The fitted object that predicts, and a note on how it was put together; None if it is `held` itself.

    held   an object that has `predict`; or a tuple, list or dict of one such object and the fitted
           transformers before it, whose order is the one in which they stand or, if that is impossible, the
           only possible one. Texts beside them do not matter

    Raises NotAPipeline.
    """
    if not isinstance(held, (tuple, list, dict)):
        if isinstance(held, type) or not hasattr(held, "predict"):
            raise NotAPipeline(f"a {_name(held)}, which has no predict method")
        return held, None
    named = [*held.items()] if isinstance(held, Mapping) else [*enumerate(held)]
    parts = {name: part for name, part in named if not _is_text(part)}
    for name, _ in named:
        if name not in parts and isinstance(name, str) and _OF_ANSWERS.search(name):
            what = f"a {type(held).__name__} with {name!r}"
            raise NotAPipeline(f"{what}, which may change what is answered")
    for name, part in parts.items():
        if not hasattr(part, "predict") and not hasattr(part, "transform"):
            raise NotAPipeline(
                f"a {type(held).__name__} in which {name!r} is a {_name(part)}: nothing says what it is for"
            )
        if _is_of_targets(part) or _may_be_of_targets(name, part):
            raise NotAPipeline(
                f"a {type(held).__name__} with a {_name(part)}, which is or may be for targets: fit the "
                "model on the targets themselves, or with sklearn.compose.TransformedTargetRegressor"
            )
    kind = type(held).__name__
    final = _final(list(parts.values()), kind)
    stands = not isinstance(held, Mapping) and named[-1][1] is final
    before = _ordered([part for part in parts.values() if part is not final], final, kind, stands=stands)
    if not before:
        return final, None
    steps = [*before, final]
    words = ", ".join(_name(step) for step in steps)
    note = f"It is a {kind} of fitted parts, which are served as one pipeline: {words}."
    return Pipeline([(f"{place}_{_name(step).lower()}", step) for place, step in enumerate(steps)]), note


def _final(parts: list[Any], kind: str) -> Any:
    """The part that predicts. A transformer may predict as well, as KMeans does."""
    predicting = [part for part in parts if hasattr(part, "predict")]
    only = [part for part in predicting if not hasattr(part, "transform")] or predicting
    if len(only) != 1:
        names = ", ".join(_name(part) for part in only) or "none"
        raise NotAPipeline(f"a {kind} in which one object should predict, and {len(only)} do: {names}")
    return only[0]


def _ordered(transformers: list[Any], final: Any, kind: str, *, stands: bool) -> list[Any]:
    """The transformers in the only order that is possible.

    stands   they stand in their order, with the model behind them: that order counts if it is possible
    """
    names = ", ".join(_name(part) for part in [*transformers, final])
    if len({type(part) for part in transformers}) < len(transformers):
        raise NotAPipeline(
            f"a {kind} with two transformers of one class, of which one may be for targets: {names}"
        )
    if stands and _follow([*transformers, final]):
        return transformers
    few = transformers if len(transformers) <= _MOST_TRANSFORMERS else []
    orders = [order for order in permutations(few) if _follow([*order, final])]
    if len(orders) > 1:
        raise NotAPipeline(f"a {kind} of parts that may follow each other in several orders: {names}")
    if not orders:
        raise NotAPipeline(
            f"a {kind} of parts that do not take as many columns as others of them make: {names}"
        )
    return list(orders[0])


def _follow(steps: list[Any]) -> bool:
    """Whether each step takes what the one before makes, as far as the two tell."""
    return all(_takes(after, before) for before, after in pairwise(steps))


def _takes(after: Any, before: Any) -> bool:
    try:
        makes = list(before.get_feature_names_out())
    except Exception:  # a transformer may have no names, or want those of its inputs
        return True
    width, names = getattr(after, "n_features_in_", len(makes)), getattr(after, "feature_names_in_", None)
    # What was fitted on a frame was not fitted on what another step made of an array.
    had_names = names is None or hasattr(before, "feature_names_in_") or list(names) == makes
    return width == len(makes) and had_names


def _is_of_targets(part: Any) -> bool:
    tags = getattr(part, "__sklearn_tags__", None)
    if tags is None or hasattr(part, "predict"):
        return False
    try:
        return not tags().input_tags.two_d_array and (
            tags().target_tags.one_d_labels or tags().target_tags.two_d_labels
        )
    except Exception:  # of a transformer of somebody's own
        return False


def _may_be_of_targets(name: Any, part: Any) -> bool:
    """Whether its name says so, or it makes one column of one, as a target's scaler does."""
    if hasattr(part, "predict"):
        return False
    if _OF_TARGETS.search(str(name)):
        return True
    try:
        made = len(part.get_feature_names_out())
    except Exception:  # a transformer may have no names
        made = 1
    return getattr(part, "n_features_in_", None) == made == 1


def _is_text(part: Any) -> bool:
    """Names of columns, of the author, of the version: nothing that a prediction depends on."""
    if isinstance(part, (list, tuple, set, np.ndarray)):
        return all(isinstance(text, str) for text in part)
    return part is None or isinstance(part, str)


def _name(part: Any) -> str:
    return part.__name__ if isinstance(part, type) else type(part).__name__
