"""Which part of a fitted pipeline decides what an input column may hold.

The walk follows columns as long as they stay themselves: through Pipelines, ColumnTransformers
and estimators around others (grid search, voting), through imputers that keep columns one to one, and
through encoders that pass columns on. It ends where they are mixed (PCA, a model), and what it has not
met by then is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from skdeploy.learned import learned_values, passes_columns_on
from skdeploy.schema import is_null


class Reader(NamedTuple):
    """A part of a pipeline and the input columns that it is given, in order.

    before   functions of somebody's own that change these columns before, all of them at once
    """

    part: Any
    names: list[str]
    before: tuple[Any, ...] = ()

    @property
    def is_vectorizer(self) -> bool:
        """Whether it reads text word by word."""
        return hasattr(self.part, "vocabulary_") or hasattr(self.part, "build_analyzer")

    @property
    def encoded(self) -> list[str]:
        """The columns of which it tells what they hold; not those that an encoder passes on."""
        learned = learned_values(self.part)
        if learned is None:
            return self.names if self.is_vectorizer else []
        if len(learned) != len(self.names):
            return self.names
        return [name for name, values in zip(self.names, learned, strict=True) if values is not None]

    def learned(self, name: str) -> list[Any] | None:
        """All categories that it learned for a column, nulls among them; None if not one to one."""
        learned = learned_values(self.part)
        if learned is None or len(learned) != len(self.names):
            return None
        return learned[self.names.index(name)]

    def dtype(self, name: str) -> str | None:
        """The dtype of the categories of a column, as scikit-learn's encoders keep it."""
        categories = getattr(self.part, "categories_", None)
        if not isinstance(categories, list) or len(categories) != len(self.names):
            return None
        dtype: str = np.asarray(categories[self.names.index(name)]).dtype.name
        return dtype


def parts_of(estimator: Any) -> list[Any]:
    """An estimator and what it is made of: estimators, arrays, mappings and lists."""
    found: dict[int, Any] = {}
    left = [estimator]
    while left:
        part = left.pop()
        if id(part) in found or part is None or isinstance(part, (str, int, float, type)):
            continue
        found[id(part)] = part
        if isinstance(part, (list, tuple)):
            left.extend(part)
        elif isinstance(part, dict):
            left.extend(part.values())
        elif hasattr(part, "get_params"):
            left.extend(vars(part).values())
    return list(found.values())


def learned_texts(estimator: Any, most: int = 100) -> list[str]:
    """Texts that encoders anywhere in a fitted estimator know, some of each."""
    found: list[Any] = []
    for part in parts_of(estimator):
        if isinstance(part, np.ndarray) and part.dtype.kind in "OUT":
            found += part.ravel()[:most].tolist()
        elif isinstance(part, dict):
            found += [*part][:most]
    return [value for value in found if isinstance(value, str)]


def readers_of(estimator: Any, names: Sequence[str]) -> dict[str, Reader]:
    """Input column -> the first encoder or vectorizer that reads it.

    `names` are the columns that `estimator` is given, in order.
    """
    return _by_column(reader for reader in _walk(estimator, list(names)) if not reader.before)


def readers_behind_functions(estimator: Any, names: Sequence[str]) -> dict[str, Reader]:
    """Input column -> the first encoder that reads it once functions have changed it."""
    return _by_column(reader for reader in _walk(estimator, list(names)) if reader.before)


def _by_column(readers: Iterable[Reader]) -> dict[str, Reader]:
    found: dict[str, Reader] = {}
    for reader in readers:
        for name in reader.encoded:
            found.setdefault(name, reader)
    return found


def read_alike(estimator: Any, names: Sequence[str]) -> list[tuple[list[str], bool]]:
    """The input columns in groups that the same parts read, and whether these parts treat columns alike.

    Parts of scikit-learn do, but for functions of somebody's own, and for encoders that learned a null of
    some columns. Columns that nothing reads are a group.
    """
    parts: dict[str, list[Any]] = {name: [] for name in names}
    keys: dict[str, list[Any]] = {name: [] for name in names}
    for reader in _walk(estimator, list(names)):
        if reader.before:
            continue
        for name in parts.keys() & set(reader.names):
            parts[name].append(reader.part)
            keys[name].append((id(reader.part), any(map(is_null, reader.learned(name) or ()))))
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, key in keys.items():
        groups.setdefault(tuple(key), []).append(name)
    return [(group, all(map(_treats_alike, parts[group[0]]))) for group in groups.values()]


def _treats_alike(part: Any) -> bool:
    return type(part).__module__.startswith("sklearn.") and getattr(part, "func", None) is None


def dict_categories(vectorizer: Any) -> dict[str, list[str]]:
    """A fitted DictVectorizer's input keys -> the texts that it knows; none for numbers.

    Its names like "dest=JFK" are a text's categories, others are numbers.
    """
    categories: dict[str, list[str]] = {}
    for feature in vectorizer.feature_names_:
        name, separator, value = feature.partition(vectorizer.separator)
        categories.setdefault(name, [])
        if separator:
            categories[name].append(value)
    return categories


def first_step(pipeline: Any) -> Any:
    """What a pipeline's inputs reach first, through pipelines and estimators around them."""
    while True:
        if hasattr(pipeline, "steps"):
            inner = [step for _, step in pipeline.steps if step is not None and step != "passthrough"]
        else:
            inner = _wrapped(pipeline)
        if not inner:
            return pipeline
        pipeline = inner[0]


def _walk(estimator: Any, names: list[str]) -> Iterator[Reader]:
    if hasattr(estimator, "steps"):
        yield from _walk_steps([step for _, step in estimator.steps], names)
    elif hasattr(estimator, "transformers_"):
        for _, part, columns in estimator.transformers_:
            if part == "drop":
                continue
            yield from _walk(part, _resolve(columns, estimator, names))
    elif hasattr(estimator, "transformer_list"):
        for _, part in estimator.transformer_list:
            yield from _walk(part, names)
    elif inner := _wrapped(estimator):
        for part in inner:
            yield from _walk(part, names)
    elif getattr(estimator, "_preprocessor", None) is not None:
        yield from _walk(estimator._preprocessor, names)  # HistGradientBoosting, from_dtype
    else:
        yield Reader(estimator, names)


def _wrapped(estimator: Any) -> list[Any]:
    """The fitted estimators that `estimator` gives its own inputs to, unchanged."""
    for attribute in ("best_estimator_", "regressor_", "estimator_"):
        if hasattr(estimator, attribute):
            return [getattr(estimator, attribute)]
    if hasattr(estimator, "named_estimators_"):
        return list(estimator.named_estimators_.values())
    if hasattr(estimator, "calibrated_classifiers_"):
        return [each.estimator for each in estimator.calibrated_classifiers_]
    many = getattr(estimator, "estimators_", None)
    # MultiOutput and its like; an ensemble of trees holds no pipeline.
    return [part for part in many if hasattr(part, "steps")] if isinstance(many, list) else []


def _walk_steps(steps: list[Any], names: list[str]) -> Iterator[Reader]:
    before: list[Any] = []
    for step in steps:
        if step is None or step == "passthrough":
            continue
        for reader in _walk(step, names):
            if not before:
                yield reader
            elif reader.names == names:
                yield reader._replace(before=(*before, *reader.before))
        kept = _names_after(step, names)
        if kept is not None and not before:
            names = kept
        elif kept == names or not _treats_alike(step):
            before.append(step)
        else:
            return


def _names_after(step: Any, names: list[str]) -> list[str] | None:
    """The columns behind a step that leaves columns as they are, or fills them in; None behind any other."""
    if hasattr(step, "statistics_") and not getattr(step, "add_indicator", False):
        return names if len(step.statistics_) == len(names) else None
    if passes_columns_on(step):
        return [str(name) for name in step.get_feature_names_out()]
    return None


def _resolve(columns: Any, transformer: Any, names: list[str]) -> list[str]:
    """A ColumnTransformer's column selection as names."""
    known = list(getattr(transformer, "feature_names_in_", names))
    if isinstance(columns, str):
        return [columns]
    if isinstance(columns, slice):
        if isinstance(columns.start, str) or isinstance(columns.stop, str):
            start = known.index(columns.start) if columns.start is not None else 0
            stop = known.index(columns.stop) + 1 if columns.stop is not None else len(known)
            return known[start : stop : columns.step]
        return known[columns]
    chosen = columns.tolist() if hasattr(columns, "tolist") else columns
    chosen = list(chosen) if hasattr(chosen, "__iter__") else [chosen]
    if chosen and isinstance(chosen[0], bool):
        return [name for name, keep in zip(known, chosen, strict=True) if keep]
    return [value if isinstance(value, str) else known[value] for value in chosen]
