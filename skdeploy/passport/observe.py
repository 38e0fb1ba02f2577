"""Training data -> columns.

A column's type is its dtype's. Only the dtype "object" says nothing; there all values are looked
at, and a mixture is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pandas as pd
from pandas.api import types
from sklearn.base import clone

from skdeploy.errors import SaveError, listed
from skdeploy.passport.dtypes import dtype_for, null_of, parse_override, type_of
from skdeploy.passport.training import ABSENT, plain
from skdeploy.passport.walk import dict_categories, first_step, readers_of
from skdeploy.schema import Column, Container, Schema

# Conversions of columns that have no type, and how many rows a pipeline is fitted on to try one.
_CONVERSIONS: list[tuple[str, Callable[[pd.Series], pd.Series]]] = [
    ("pd.to_datetime({})", pd.to_datetime),
    ("{}.dt.to_timestamp()", lambda column: column.dt.to_timestamp()),
    ("{}.dt.total_seconds()", lambda column: column.dt.total_seconds()),
    ("{}.str.decode('utf-8')", lambda column: column.str.decode("utf-8")),
    ("{}.astype(str)", lambda column: column.astype(str)),
]
_FITTED_ROWS = 100


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
            raise SaveError(f"There is no column {name!r} in X; it has {listed(list(frame.columns))}.")
    learned = _learned(pipeline, list(frame.columns), container)
    observed = []
    for name in frame.columns:
        present = _present(frame[name], container)
        kind = parse_override(name, overrides[name])[0] if name in overrides else type_of(present)
        if kind is None:
            raise SaveError(_of_no_type(frame, name, present, container, pipeline))
        column = _column(frame[name], present, kind, container, learned.get(name))
        observed.append(msgspec.structs.replace(column, description=descriptions.get(name)))
    return Schema(container=container, columns=observed)


def _learned(pipeline: Any, names: list[str], container: Container) -> dict[str, list[Any] | None]:
    """Column -> the categories that an encoder learned for it, nulls among them."""
    if container in ("frame", "array", "sparse"):
        return {name: reader.learned(name) for name, reader in readers_of(pipeline, names).items()}
    first = first_step(pipeline)
    if container == "dicts" and hasattr(first, "feature_names_"):
        return {name: known or None for name, known in dict_categories(first).items()}
    return {}


def _present(series: pd.Series, container: Container) -> pd.Series:
    """The values that are there and no nulls."""
    return (
        series[series.map(lambda value: value is not ABSENT)] if container == "dicts" else series
    ).dropna()


def _of_no_type(
    frame: pd.DataFrame, name: str, present: pd.Series, container: Container, pipeline: Any
) -> str:
    """What is wrong with a column, and a conversion, if the pipeline can be fitted on what it makes."""
    kind = types.infer_dtype(present, skipna=True)
    what = (
        f"There is no type for the column {name!r} of the dtype {present.dtype}, which holds {kind} values."
    )
    if not len(present):
        return f'The column {name!r} holds nulls alone. Say what it would hold: columns={{{name!r}: "str?"}}.'
    for words, convert in _CONVERSIONS if container == "frame" else ():
        try:
            converted = frame[:_FITTED_ROWS].assign(**{name: convert(frame[name][:_FITTED_ROWS])})
            if type_of(converted[name].dropna()) is None or not converted[name].isna().equals(
                frame[name][:_FITTED_ROWS].isna()
            ):
                continue
            targets = pipeline.predict(frame[:_FITTED_ROWS])
            clone(pipeline).fit(converted, targets).predict(converted)
        except Exception:  # noqa: S112 - the conversion or the pipeline may raise anything; then the next is tried
            continue
        return f"{what} Convert it, X[{name!r}] = {words.format(f'X[{name!r}]')}, and fit the pipeline again."
    return f"{what} Make numbers, texts or date-times of it, and fit the pipeline again on those."


def _column(
    series: pd.Series, present: pd.Series, kind: str, container: Container, learned: list[Any] | None
) -> Column:
    name, absent = str(series.name), container == "dicts" and any(value is ABSENT for value in series)
    known = _of_category_dtype(series.dtype)
    categories = _categories(learned, kind) or known.get("dtype_categories")
    return Column(
        name=name,
        type=kind,
        dtype=dtype_for(kind, series.dtype, name),
        null="absent" if absent else null_of(series),
        categories=categories,
        **known,
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
