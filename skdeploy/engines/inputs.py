"""Checked records -> what the fitted pipeline takes: a DataFrame, an array, dicts or texts.

The pipeline must see what it saw in training: the same dtype in every column and nulls written
the same way (OneHotEncoder answers differently for NaN and None).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skdeploy.pandas_dtypes import pandas_dtype
from skdeploy.schema import Coded, Column, Schema, Table, as_list

try:
    from pandas.api.internals import create_dataframe_from_blocks  # type: ignore[import-not-found]
except ImportError:  # before pandas 3
    create_dataframe_from_blocks = None

_NULLS: dict[str, Any] = {"nan": np.nan, "none": None, "NA": pd.NA, "NaT": pd.NaT}

Build = Callable[[Table], Any]
ToArray = Callable[[Any], Any]


class InputBuilder:
    """Makes the pipeline's inputs. What depends on the schema alone is prepared once."""

    def __init__(self, schema: Schema) -> None:
        self._build = _BUILDERS[schema.container](schema.columns)
        self._fragile = [
            place
            for place, column in enumerate(schema.columns)
            if column.nullable and cannot_hold_null(column)
        ]

    def build(self, table: Table) -> Any:
        """What `pipeline.predict` takes for the records of `table`, in their order."""
        return self._build(table)

    def null_patterns(self, table: Table) -> list[list[int]]:
        """The records in groups that can share a frame.

        A numpy column of integers or booleans cannot hold a null: with one, the whole column turns
        into floats or objects. Records with such a null are kept apart, so that no record's answer
        depends on its neighbours.
        """
        fragile = [as_list(table.cells[place]) for place in self._fragile if None in table.cells[place]]
        if not fragile:
            return [list(range(table.count))]
        groups: dict[tuple[bool, ...], list[int]] = {}
        for index in range(table.count):
            groups.setdefault(tuple(cells[index] is None for cells in fragile), []).append(index)
        return list(groups.values())


def cannot_hold_null(column: Column) -> bool:
    """Whether the column is numpy's integers or booleans."""
    return column.dtype == "bool" or column.dtype.startswith(("int", "uint"))


def _frame(columns: Sequence[Column]) -> Build:
    """A frame of few blocks: one made column by column takes ten times as long."""
    names = pd.Index([column.name for column in columns])
    together: dict[str, list[int]] = {}
    single: list[tuple[ToArray, Any]] = []
    for place, column in enumerate(columns):
        if column.dtype in _NUMPY and not (column.nullable and cannot_hold_null(column)):
            together.setdefault(column.dtype, []).append(place)
        else:
            single.append((_to_array(column), np.array([place])))
    blocks = [(np.dtype(dtype), np.array(places)) for dtype, places in together.items()]

    def build(table: Table) -> pd.DataFrame:
        made: list[tuple[Any, Any]] = []
        for dtype, places in blocks:
            rows = [_as_numbers(table.cells[place], dtype) for place in places]
            made.append((np.array(rows, dtype=dtype), places))
        for to_array, places in single:
            made.append((_as_block(to_array(table.cells[places[0]])), places))
        return _from_blocks(made, pd.RangeIndex(table.count), names)

    return build


def _as_numbers(cells: Any, dtype: Any) -> Any:
    """What numpy reads as numbers."""
    return np.array(cells.values, dtype=dtype).take(cells.codes) if isinstance(cells, Coded) else cells


def _as_block(array: Any) -> Any:
    return array.reshape(1, -1) if isinstance(array, np.ndarray) else array


def _from_blocks(blocks: list[tuple[Any, Any]], index: pd.RangeIndex, names: pd.Index) -> pd.DataFrame:
    """A frame of blocks and the places of their columns; numpy's have a row per column."""
    if create_dataframe_from_blocks is not None:
        frame: pd.DataFrame = create_dataframe_from_blocks(blocks, index, names)
        return frame
    by_place: dict[int, Any] = {}
    for values, places in blocks:
        rows = [values]
        if isinstance(values, np.ndarray):
            # Series, because a DataFrame would turn a bare array of texts into `str`, None into NaN.
            rows = [pd.Series(row, dtype=row.dtype) for row in values]
        by_place |= dict(zip(places.tolist(), rows, strict=True))
    return pd.DataFrame({name: by_place[place] for place, name in enumerate(names)}, copy=False)


def _stacked(columns: Sequence[Column]) -> Build:
    to_arrays = [_to_array(column) for column in columns]

    def build(table: Table) -> Any:
        arrays = [np.asarray(make(cells)) for make, cells in zip(to_arrays, table.cells, strict=True)]
        return np.stack(arrays, axis=1)

    return build


def _sparse(columns: Sequence[Column]) -> Build:
    from scipy.sparse import csr_matrix

    stack = _stacked(columns)
    return lambda table: csr_matrix(stack(table))


def _series(columns: Sequence[Column]) -> Build:
    column, to_array = columns[0], _to_array(columns[0])

    def build(table: Table) -> pd.Series:
        array = to_array(table.cells[0])
        series: pd.Series = pd.Series(array, dtype=array.dtype, name=column.name)
        return series

    return build


def _texts(_columns: Sequence[Column]) -> Build:
    return lambda table: as_list(table.cells[0])


def _dicts(columns: Sequence[Column]) -> Build:
    omitted = {column.name for column in columns if column.null == "absent"}
    names = [column.name for column in columns]

    def build(table: Table) -> list[dict[str, Any]]:
        return [
            {
                name: cell
                for name, cell in zip(names, row, strict=True)
                if cell is not None or name not in omitted
            }
            for row in zip(*map(as_list, table.cells), strict=True)
        ]

    return build


_BUILDERS: dict[str, Callable[[Sequence[Column]], Build]] = {
    "frame": _frame,
    "array": _stacked,
    "sparse": _sparse,
    "series": _series,
    "texts": _texts,
    "dicts": _dicts,
}
_NUMPY = frozenset(
    [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + ["bool", "float16", "float32", "float64"]
)


def _to_array(column: Column) -> ToArray:
    """A function from a column's cells to its array, numpy's or pandas'."""
    make = _of_list(column)

    def to_array(cells: Any) -> Any:
        return make(cells.values).take(cells.codes) if isinstance(cells, Coded) else make(as_list(cells))

    return to_array


def _of_list(column: Column) -> Callable[[list[Any]], Any]:
    if column.dtype == "category":
        return _categorical(column)
    null = _NULLS.get(column.null)
    if column.dtype == "object":
        return lambda cells: _objects(cells, null)
    # The dtype as an object: to read its name takes pandas longer than the array.
    dtype: Any = pandas_dtype(column.dtype)
    if column.dtype not in _NUMPY:
        # pd.array takes None for null in every dtype of its own: str, string, Int64, datetime64, arrow.
        return lambda cells: pd.array(cells, dtype=dtype)
    if not cannot_hold_null(column):
        return lambda cells: np.array(cells, dtype=dtype)

    def to_array(cells: list[Any]) -> Any:
        if None not in cells:
            return np.array(cells, dtype=dtype)
        return _objects(cells, null) if column.dtype == "bool" else np.array(cells, dtype=float)

    return to_array


def _objects(cells: list[Any], null: Any) -> Any:
    array = np.empty(len(cells), dtype=object)
    array[:] = cells if null is None else [null if cell is None else cell for cell in cells]
    return array


def _categorical(column: Column) -> ToArray:
    """A category unseen in training stays itself (pandas would turn it into a null)."""
    known = dict.fromkeys(column.dtype_categories or [])
    usual = pd.CategoricalDtype([*known], ordered=column.ordered)

    def to_array(cells: list[Any]) -> pd.Categorical:
        unseen = [cell for cell in dict.fromkeys(cells) if cell is not None and cell not in known]
        if not unseen:
            return pd.Categorical(cells, dtype=usual)
        return pd.Categorical(cells, categories=[*known, *unseen], ordered=column.ordered)

    return to_array
