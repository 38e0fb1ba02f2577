"""The keys of a chunk's records: as the output takes them, as text, and what is wrong with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skdeploy.batch.chunks import Chunk, Key
from skdeploy.batch.plain import plain, plain_at, whole
from skdeploy.errors import Rejection
from skdeploy.schema import describe


class Keys:
    """The keys of a chunk, in their order: equal ones are neighbours.

    arrays   by column, of the types that the output expects; null where a cell is none of the type
    faults   record -> what is wrong with its key: a null, a cell of another type, not its own
    """

    def __init__(self, chunk: Chunk, types: Mapping[str, pa.DataType]) -> None:
        self._count = chunk.count
        self._cells = {name: whole(chunk.columns[name]) for name in types}
        self.arrays = {name: _typed(chunk.columns[name], kind) for name, kind in types.items()}
        self.faults: dict[int, list[Rejection]] = {}
        for name, array in self.arrays.items():
            self._find_nulls(name, array)
        self._find_repeated()

    @property
    def last(self) -> Key:
        """The key of the last record, in Python's values."""
        (key,) = self._keys([self._count - 1])
        return key

    def texts(self, rows: Sequence[int]) -> list[str]:
        """Records' keys as JSON objects by column, always the same text for the same key."""
        return [_as_text(dict(zip(self._cells, key, strict=True))) for key in self._keys(rows)]

    def _keys(self, rows: Sequence[int]) -> list[Key]:
        places = np.array(rows, dtype=np.intp)
        return list(zip(*(plain_at(cells, places) for cells in self._cells.values()), strict=True))

    def _find_nulls(self, name: str, array: pa.Array) -> None:
        floating = pa.types.is_floating(array.type)
        if not array.null_count and not floating:
            return
        rows = np.flatnonzero(pc.is_null(array, nan_is_null=floating).to_numpy(zero_copy_only=False))
        for row, cell in zip(rows.tolist(), plain_at(self._cells[name], rows), strict=True):
            null = cell is None or cell != cell
            expected = "a key" if null else f"a key of type {array.type}"
            code, got = ("null", "null") if null else ("type", describe(cell))
            self.faults.setdefault(row, []).append(Rejection(row, name, code, expected, got))

    def _find_repeated(self) -> None:
        """Each of several records with one key: none of them is more it than the others."""
        same = np.logical_and.reduce([_same_as_next(whole(array)) for array in self.arrays.values()])
        if not same.any():
            return
        starts = np.flatnonzero(np.concatenate([[True], ~same]))
        counts = np.diff(np.append(starts, len(same) + 1))
        for start, count in zip(starts[counts > 1].tolist(), counts[counts > 1].tolist(), strict=True):
            got = f"{count} records have this key"
            for row in range(start, start + count):
                fault = Rejection(row, None, "duplicate_key", "a key of its own", got)
                self.faults.setdefault(row, []).append(fault)


def _typed(cells: Any, kind: pa.DataType) -> Any:
    if not isinstance(cells, list):
        array = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
        return array if array.type == kind else whole(array).cast(kind)
    if pa.types.is_string(kind):
        # What not every database has a type for is written as text.
        cells = [_json_value(cell) if isinstance(cell, Decimal | UUID) else cell for cell in cells]
    array = _array(cells, kind)
    return pa.array([_fitting(cell, kind) for cell in cells], kind) if array is None else array


def _fitting(cell: Any, kind: pa.DataType) -> Any:
    """The cell if it is one of the type, or None."""
    return None if _array([cell], kind) is None else cell


def _array(cells: list[Any], kind: pa.DataType) -> Any:
    """An array of the same values; None if one of them would be another, as Arrow takes it."""
    if not pa.types.is_boolean(kind) and bool in set(map(type, cells)):
        return None
    try:
        array = pa.array(cells, kind)
    except (ValueError, TypeError, OverflowError):
        return None
    return array if array.to_pylist() == cells else None


def _same_as_next(array: pa.Array) -> Any:
    """Of each value but the last; null is like no other."""
    stored = array.storage if isinstance(array.type, pa.BaseExtensionType) else array
    try:
        same = pc.equal(stored.slice(0, len(stored) - 1), stored.slice(1))
    except pa.ArrowNotImplementedError:
        values = plain(stored)
        return np.array([one is not None and one == other for one, other in pairwise(values)], dtype=bool)
    return same.fill_null(False).to_numpy(zero_copy_only=False)


def _as_text(key: Mapping[str, Any]) -> str:
    text = json.dumps({name: _json_value(cell) for name, cell in key.items()}, ensure_ascii=False)
    # Half a surrogate pair cannot be stored, but escaped it can.
    return text.encode("utf-8", "backslashreplace").decode()


def _json_value(cell: Any) -> Any:
    if cell is None or isinstance(cell, str | bool | int):
        return cell
    if isinstance(cell, float):
        return cell if math.isfinite(cell) else None if math.isnan(cell) else str(cell)
    if isinstance(cell, datetime) and cell.tzinfo is not None:
        return cell.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, bytes):
        return cell.hex()
    return format(cell, "f") if isinstance(cell, Decimal) else str(cell)
