"""Training data -> columns.

A column's type is its dtype's. Only the dtype "object" says nothing; there all values are looked
at, and a mixture is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pandas as pd

from skdeploy.errors import SaveError
from skdeploy.passport.dtypes import dtype_for, null_of, parse_override, type_of
from skdeploy.passport.training import ABSENT, plain
from skdeploy.passport.walk import dict_categories, first_step, readers_of
from skdeploy.schema import Column, Container, Schema


def observe(
    frame: pd.DataFrame,
    container: Container,
    pipeline: Any,
    *,
    columns: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
) -> Schema:
    """The schema that training data shows.

    columns        overrides of types: {"hour": "int?"}, where ? means nullable
    descriptions   what a column means and its unit

    Whether nulls and unknown categories are accepted is not known yet: the pipeline is tried
    with them (`skdeploy.model.probe`). Raises SaveError.
    """
    overrides, descriptions = dict(columns or {}), dict(descriptions or {})
    for name in [*overrides, *descriptions]:
        if name not in frame.columns:
            raise SaveError(f"There is no column {name!r} in X; it has {', '.join(frame.columns)}.")
    learned = _learned(pipeline, list(frame.columns), container)
    described = [
        msgspec.structs.replace(
            _column(frame[name], container, learned.get(name), overrides.get(name)),
            description=descriptions.get(name),
        )
        for name in frame.columns
    ]
    return Schema(container=container, columns=described)


def _learned(pipeline: Any, names: list[str], container: Container) -> dict[str, list[Any] | None]:
    """Column -> the categories that an encoder learned for it, nulls among them."""
    if container in ("frame", "array"):
        return {name: reader.learned(name) for name, reader in readers_of(pipeline, names).items()}
    first = first_step(pipeline)
    if container == "dicts" and hasattr(first, "feature_names_"):
        return {name: known or None for name, known in dict_categories(first).items()}
    return {}


def _column(
    series: pd.Series, container: Container, learned: list[Any] | None, override: str | None
) -> Column:
    name = str(series.name)
    absent = series.map(lambda value: value is ABSENT) if container == "dicts" else None
    present = series.dropna() if absent is None else series[~absent].dropna()
    kind = parse_override(name, override)[0] if override is not None else type_of(present)
    categories = _categories(learned, kind)
    return Column(
        name=name,
        type=kind,
        dtype=dtype_for(kind, series.dtype, name),
        null="absent" if absent is not None and absent.any() else null_of(series),
        categories=categories,
        **_of_category_dtype(series.dtype),
        **_seen(present, kind, categories is not None),
    )


def _categories(learned: list[Any] | None, kind: str) -> list[Any] | None:
    if learned is None or kind == "datetime":
        return None
    return [value for value in map(plain, learned) if value is not None]


def _of_category_dtype(dtype: Any) -> dict[str, Any]:
    if not isinstance(dtype, pd.CategoricalDtype):
        return {}
    return {"dtype_categories": dtype.categories.tolist(), "ordered": bool(dtype.ordered)}


def _seen(present: pd.Series, kind: str, categorical: bool) -> dict[str, Any]:
    """Range and example. A free text's example is made up: a real one might be somebody's."""
    if present.empty:
        return {}
    if kind == "str":
        return {"example": str(present.mode().iloc[0]) if categorical else "text"}
    if kind == "bool":
        return {"example": bool(present.mode().iloc[0])}
    if isinstance(present.dtype, pd.CategoricalDtype) or present.dtype == object:
        present = _sorted_objects(present)
    middle = present.sort_values().iloc[len(present) // 2]
    return {
        "minimum": plain(present.min()),
        "maximum": plain(present.max()),
        "example": plain(middle),
    }


def _sorted_objects(present: pd.Series) -> pd.Series:
    try:
        return pd.Series(sorted(present.tolist()))
    except TypeError:
        raise SaveError(f"The column {present.name!r} mixes values that cannot be compared.") from None
