"""Training data -> columns and plain cells.

A column's type is its dtype's. Only the dtype "object" says nothing; there all values are looked
at, and a mixture is refused rather than guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

import msgspec
import numpy as np
import pandas as pd
from pandas.api import types

from skdeploy.errors import SaveError
from skdeploy.passport.walk import Reader, is_null, readers_of
from skdeploy.schema import Column, Schema
from skdeploy.schema.column import ColumnType, Container, Null

_INFERRED: dict[str, ColumnType] = {
    "string": "str",
    "boolean": "bool",
    "integer": "int",
    "floating": "float",
    "mixed-integer-float": "float",
    "datetime": "datetime",
}


def as_frame(X: Any) -> tuple[pd.DataFrame, Container]:
    """Training inputs as a DataFrame (one column per input), and what the pipeline takes them in.

    X: DataFrame (n, columns), 2-D array (n, columns), list of mappings, or n strings.
    """
    if isinstance(X, pd.DataFrame):
        return _named(X), "frame"
    if isinstance(X, np.ndarray) and X.ndim == 2:
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]), "array"
    if isinstance(X, pd.Series):
        return X.to_frame(str(X.name or "text")), "texts"
    if isinstance(X, (list, tuple, np.ndarray)) and len(X):
        if all(isinstance(record, Mapping) for record in X):
            return _dicts_frame(X), "dicts"
        if all(isinstance(text, str) for text in X):
            return pd.DataFrame({"text": pd.Series(list(X), dtype=object)}), "texts"
    raise SaveError(
        f"X is {type(X).__name__}, which is not understood: give what the pipeline was fitted on, "
        "a DataFrame, a 2-D numpy array, a list of dicts or a sequence of strings."
    )


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
    readers = readers_of(pipeline, list(frame.columns)) if container == "frame" else {}
    return Schema(
        container=container,
        columns=[
            _column(
                frame[name],
                container,
                readers.get(name),
                overrides.get(name),
                descriptions.get(name),
            )
            for name in frame.columns
        ],
    )


def plain_cells(frame: pd.DataFrame) -> list[list[Any]]:
    """The frame's cells by column as plain values: None for null, text for date-times."""
    return [[_plain(value) for value in frame[name].tolist()] for name in frame.columns]


def parse_override(name: str, text: str) -> tuple[ColumnType, bool]:
    """`"int?"` -> ("int", True)."""
    kind = text.removesuffix("?")
    if kind not in get_args(ColumnType):
        raise SaveError(
            f"columns[{name!r}] is {text!r}: it should be one of {', '.join(get_args(ColumnType))}, "
            'with a "?" behind it if nulls are accepted.'
        )
    return cast(ColumnType, kind), text.endswith("?")


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    names = list(frame.columns)
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise SaveError(
            "The columns of X need names that are strings and differ: records are JSON objects. "
            "Rename them (X.columns = X.columns.astype(str)) and fit again."
        )
    return frame


def _dicts_frame(records: Any) -> pd.DataFrame:
    names = list(dict.fromkeys(key for record in records for key in record))
    columns = {
        name: pd.Series([record.get(name, _ABSENT) for record in records], dtype=object) for name in names
    }
    return pd.DataFrame(columns)


class _Absent:
    """A key that a mapping does not have. DictVectorizer tells that from a null."""


_ABSENT = _Absent()


def _column(
    series: pd.Series,
    container: Container,
    reader: Reader | None,
    override: str | None,
    description: str | None,
) -> Column:
    name = str(series.name)
    absent = series.map(lambda value: value is _ABSENT) if container == "dicts" else None
    present = series.dropna() if absent is None else series[~absent].dropna()
    kind, nullable = parse_override(name, override) if override else (_type_of(present, name), False)
    categorical = isinstance(series.dtype, pd.CategoricalDtype)
    learned = reader.learned(name) if reader is not None else None
    return Column(
        name=name,
        type=kind,
        dtype=str(series.dtype),
        nullable=nullable,
        null="absent" if absent is not None and absent.any() else _null_of(series),
        categories=None if learned is None else [v for v in map(_plain, learned) if v is not None],
        dtype_categories=series.cat.categories.tolist() if categorical else None,
        ordered=bool(categorical and series.cat.ordered),
        description=description,
        **_seen(present, kind, learned is not None),
    )


def _type_of(present: pd.Series, name: str) -> ColumnType:
    dtype: Any = present.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = dtype.categories.dtype
        present = present.cat.categories.to_series()
    if types.is_bool_dtype(dtype):
        return "bool"
    if types.is_integer_dtype(dtype):
        return "int"
    if types.is_float_dtype(dtype):
        return "float"
    if types.is_datetime64_any_dtype(dtype):
        return "datetime"
    inferred = types.infer_dtype(present, skipna=True)
    if inferred in _INFERRED:
        return _INFERRED[inferred]
    raise SaveError(
        f"The column {name!r} has the dtype {dtype} and holds {inferred} values, which no JSON type "
        f'fits. Convert it before the pipeline, or say what it is: columns={{{name!r}: "str"}}.'
    )


def _null_of(series: pd.Series) -> Null:
    """How this column writes a null; for object columns the way that is met most often."""
    if series.dtype == object:
        nulls = series[series.isna()].tolist()
        nones = sum(value is None for value in nulls)
        if any(type(value).__name__ == "NAType" for value in nulls):
            return "NA"
        return "none" if nones * 2 > len(nulls) else "nan"
    missing = getattr(series.dtype, "na_value", np.nan)
    if missing is pd.NA:
        return "NA"
    return "NaT" if types.is_datetime64_any_dtype(series.dtype) else "nan"


def _seen(present: pd.Series, kind: ColumnType, categorical: bool) -> dict[str, Any]:
    """Range and example. A free text's example is made up: a real one might be somebody's."""
    if present.empty:
        return {}
    if kind == "str":
        return {"example": str(present.mode().iloc[0]) if categorical else "text"}
    if kind == "bool":
        return {"example": bool(present.mode().iloc[0])}
    if isinstance(present.dtype, pd.CategoricalDtype) or present.dtype == object:
        present = pd.Series(sorted(present.tolist()))
    middle = present.sort_values().iloc[len(present) // 2]
    return {
        "minimum": _plain(present.min()),
        "maximum": _plain(present.max()),
        "example": _plain(middle),
    }


def _plain(value: Any) -> Any:
    if value is _ABSENT or is_null(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def with_override_checked(column: Column, override: str, accepts_null: bool) -> Column:
    """The column as the override says, provided the pipeline can do it; else SaveError."""
    _, nullable = parse_override(column.name, override)
    if nullable and not accepts_null:
        raise SaveError(f"columns[{column.name!r}] says nulls are accepted, but the pipeline raises on one.")
    return msgspec.structs.replace(column, nullable=nullable)
