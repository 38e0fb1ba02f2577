"""Training inputs in whatever the pipeline takes them in -> one DataFrame, and its plain cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from skdeploy.errors import SaveError
from skdeploy.schema import Container, as_json, is_null

# More than records of a service have; a matrix of words has some hundred thousand.
_MOST_SPARSE_COLUMNS = 10_000


class _Absent:
    """A key that a mapping does not have. DictVectorizer tells that from a null."""


ABSENT = _Absent()


def as_frame(X: Any) -> tuple[pd.DataFrame, Container]:
    """Training inputs as a DataFrame (one column per input), and what the pipeline takes them in.

    X   DataFrame (n, columns) of pandas or polars, array or sparse matrix (n, columns), list of n mappings,
        or n strings

    Raises SaveError.
    """
    frame, container = _convert(X)
    if not len(frame) or not len(frame.columns):
        raise SaveError("X is empty: there are no rows, or no columns, to learn the schema from.")
    return frame, container


def as_records(X: Any) -> list[dict[str, Any]]:
    """Inputs in any of the forms of training's as records, with plain cells. Raises SaveError."""
    frame, _ = as_frame(X)
    rows = zip(*plain_cells(frame), strict=True)
    return [dict(zip(frame.columns, row, strict=True)) for row in rows]


def plain(value: Any) -> Any:
    """A training value as JSON has it: None for every null, text for date-times."""
    if value is ABSENT or is_null(value):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return as_json(value.item() if isinstance(value, np.generic) else value)


def plain_cells(frame: pd.DataFrame) -> list[list[Any]]:
    """The frame's cells by column, as `plain` values."""
    return [_plain_column(frame[name]) for name in frame.columns]


def _plain_column(series: pd.Series) -> list[Any]:
    values = series.tolist()
    if series.dtype == np.float64:  # in wide frames most are
        return [None if value != value else value for value in values]
    return [plain(value) for value in values]


def _convert(X: Any) -> tuple[pd.DataFrame, Container]:
    if isinstance(X, pd.DataFrame):
        _require_names(list(X.columns))
        return X, "frame"
    if type(X).__module__.partition(".")[0] == "polars" and hasattr(X, "get_columns"):
        return _of_polars(X), "frame"
    if hasattr(X, "toarray") and getattr(X, "ndim", 2) == 2:
        if X.shape[1] > _MOST_SPARSE_COLUMNS:
            raise SaveError(
                f"X is a sparse matrix of {X.shape[1]:,} columns, and a record would have to have them all: "
                "put what made it, a vectorizer say, into the pipeline as its first step."
            )
        return pd.DataFrame(X.toarray(), columns=[f"x{i}" for i in range(X.shape[1])]), "sparse"
    if isinstance(X, np.ndarray) and X.ndim == 2:
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]), "array"
    if isinstance(X, pd.Series):
        return X.to_frame(str(X.name or "text")), "series"
    if isinstance(X, (list, tuple, np.ndarray)):
        if all(isinstance(record, Mapping) for record in X):
            return _dicts_frame(X), "dicts"
        if all(isinstance(text, str) for text in X):
            return pd.DataFrame({"text": pd.Series(list(X), dtype=object)}), "texts"
    raise SaveError(
        f"X is {type(X).__name__}, which is not understood: give what the pipeline was fitted on, "
        "a DataFrame of pandas or polars, a 2-D numpy array, a sparse matrix, a list of dicts or a sequence "
        "of strings."
    )


def _of_polars(X: Any) -> pd.DataFrame:
    """A frame in which scikit-learn finds what it finds in polars' own: texts are objects, None is null."""
    made = {}
    for name in X.columns:
        column = X[name]
        if column.dtype.is_numeric() and not column.dtype.is_decimal():
            made[name] = pd.Series(column.to_numpy())
        elif str(column.dtype) == "Boolean" and not column.null_count():
            made[name] = pd.Series(column.to_list(), dtype=bool)
        elif str(column.dtype).startswith("Datetime"):
            made[name] = pd.Series(pd.to_datetime(column.to_list()), dtype=None)
        else:
            made[name] = pd.Series(column.to_list(), dtype=object)
    return pd.DataFrame(made)


def _require_names(names: list[Any]) -> None:
    if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
        raise SaveError(
            "The columns of X need names that are strings and differ: records are JSON objects. "
            "Rename them (X.columns = X.columns.astype(str)) and fit again."
        )


def _dicts_frame(records: Any) -> pd.DataFrame:
    names = list(dict.fromkeys(key for record in records for key in record))
    if not all(isinstance(name, str) for name in names):
        raise SaveError("The keys of X's dicts must be strings: records are JSON objects.")
    return pd.DataFrame(
        {name: pd.Series([record.get(name, ABSENT) for record in records], dtype=object) for name in names}
    )
