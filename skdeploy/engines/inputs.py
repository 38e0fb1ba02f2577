"""Checked records -> what the fitted pipeline takes: a DataFrame, an array, dicts or texts.

The pipeline must see what it saw in training: the same dtype in every column and nulls written
the same way (OneHotEncoder answers differently for NaN and None).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skdeploy.schema import Column, Schema, Table

_NULLS: dict[str, Any] = {"nan": np.nan, "none": None, "NA": pd.NA, "NaT": pd.NaT}


def build_inputs(schema: Schema, table: Table) -> Any:
    """What `pipeline.predict` takes for the records of `table`, in their order."""
    if schema.container == "frame":
        return _frame(schema.columns, table)
    if schema.container == "array":
        arrays = [
            np.asarray(_array(column, cells))
            for column, cells in zip(schema.columns, table.cells, strict=True)
        ]
        return np.stack(arrays, axis=1)
    if schema.container == "series":
        return pd.Series(_array(schema.columns[0], table.cells[0]), name=schema.columns[0].name)
    if schema.container == "texts":
        return table.cells[0]
    return _dicts(schema.columns, table)


def _frame(columns: list[Column], table: Table) -> pd.DataFrame:
    dtypes = {column.dtype for column in columns}
    if dtypes <= {"float64"} or dtypes <= {"float32"}:
        # One block: a frame made column by column takes many times as long.
        block = np.array(table.cells, dtype=dtypes.pop()).T
        return pd.DataFrame(block, columns=[column.name for column in columns], copy=False)
    arrays = {column.name: _array(column, cells) for column, cells in zip(columns, table.cells, strict=True)}
    return pd.DataFrame(arrays, copy=False)


def null_patterns(schema: Schema, table: Table) -> list[list[int]]:
    """The records in groups that can share a frame.

    A numpy column of integers or booleans cannot hold a null: with one, the whole column turns
    into floats or objects. Records with such a null are kept apart, so that no record's answer
    depends on its neighbours.
    """
    fragile = [
        cells
        for column, cells in zip(schema.columns, table.cells, strict=True)
        if column.nullable and cannot_hold_null(column) and None in cells
    ]
    if not fragile:
        return [list(range(table.count))]
    groups: dict[tuple[bool, ...], list[int]] = {}
    for index in range(table.count):
        groups.setdefault(tuple(cells[index] is None for cells in fragile), []).append(index)
    return list(groups.values())


def cannot_hold_null(column: Column) -> bool:
    """Whether the column is numpy's integers or booleans."""
    return column.dtype == "bool" or column.dtype.startswith(("int", "uint"))


def _array(column: Column, cells: list[Any]) -> Any:
    dtype: Any = column.dtype
    if dtype == "category":
        return _categorical(column, cells)
    if dtype == "object":
        return _objects(cells, _NULLS.get(column.null))
    if cannot_hold_null(column) and None in cells:
        return np.array(cells, dtype=float) if dtype != "bool" else _objects(cells, _NULLS[column.null])
    if dtype in _NUMPY:
        return np.array(cells, dtype=dtype)
    # pd.array takes None for null in every dtype of its own: str, string, Int64, datetime64, arrow.
    return pd.array(cells, dtype=dtype)


_NUMPY = frozenset(
    [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
    + ["bool", "float16", "float32", "float64"]
)


def _objects(cells: list[Any], null: Any) -> pd.Series:
    """A Series, because a DataFrame would turn a bare array of texts into `str`, None into NaN."""
    filled = cells if null is None else [null if cell is None else cell for cell in cells]
    return pd.Series(filled, dtype=object)


def _categorical(column: Column, cells: list[Any]) -> pd.Categorical:
    """A category unseen in training stays itself (pandas would turn it into a null)."""
    known = dict.fromkeys(column.dtype_categories or [])
    unseen = [cell for cell in dict.fromkeys(cells) if cell is not None and cell not in known]
    return pd.Categorical(cells, categories=[*known, *unseen], ordered=column.ordered)


def _dicts(columns: list[Column], table: Table) -> list[dict[str, Any]]:
    omitted = {column.name for column in columns if column.null == "absent"}
    names = [column.name for column in columns]
    return [
        {name: cell for name, cell in zip(names, row, strict=True) if cell is not None or name not in omitted}
        for row in zip(*table.cells, strict=True)
    ]
