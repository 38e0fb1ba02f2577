"""Cells by column -> checked records, as `RecordReader` would read them one by one.

Fast accept, slow explain: what is plainly good is found column by column, many cells at once. Records
with any other cell go to the RecordReader, which decides, and explains.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from skdeploy.batch.chunks import Chunk
from skdeploy.batch.plain import is_numeric, plain, plain_at, whole
from skdeploy.errors import Rejection
from skdeploy.schema import (
    EXACT_FLOAT,
    Check,
    Checked,
    Coded,
    Column,
    RecordReader,
    Table,
    Unfit,
    as_list,
    compile_check,
)

# Bad cells that are listed of a chunk; of each further bad record it is only the first.
_MOST_LISTED = 10_000
_LARGEST = float(np.finfo(np.float64).max)
_LARGEST_INT = np.iinfo(np.int64).max


class _Cells(NamedTuple):
    """A column as `Table` has it; and which of its cells are plainly good; in the others is anything."""

    made: Any
    good: Any


class ColumnReader:
    """Reads chunks of records of one schema. What it says is what `reader` says of the same values.

    reader   decides about records that are not plainly good, and explains
    """

    def __init__(self, reader: RecordReader) -> None:
        schema, strict = reader.options.schema, reader.options.strict
        self._names = schema.names
        self._reader = reader
        self._screens = [_screen(column, strict) for column in schema.columns]
        # No more bad cells than that are in memory at once.
        self._at_once = max(1, _MOST_LISTED // len(self._names))

    def read(self, chunk: Chunk) -> Checked:
        """The chunk's records; those of its columns that are none of the model's are passed over.

        Of a bad record at least the first bad cell is listed.
        """
        count = chunk.count
        if not count:
            return Checked(Table([[] for _ in self._names], 0), range(0), 0)
        cells = {name: whole(chunk.columns[name]) for name in self._names if name in chunk.columns}
        nothing = _Cells([None] * count, np.zeros(count, dtype=bool))
        found = [
            screen(cells[name]) if name in cells else nothing
            for name, screen in zip(self._names, self._screens, strict=True)
        ]
        good = np.logical_and.reduce([column.good for column in found])
        made = [column.made for column in found]
        if count > 1 and good.all():
            return Checked(Table(made, count), range(count), count)
        return self._decide(cells, made, good)

    def _decide(self, cells: dict[str, Any], made: list[Any], good: Any) -> Checked:
        """The RecordReader's word on what is not plainly good."""
        bad: dict[int, list[Rejection]] = {}
        doubtful, listed = np.flatnonzero(~good), 0
        for start in range(0, len(doubtful), self._at_once):
            rows = doubtful[start : start + self._at_once]
            checked = self._reader.read(_records(cells, rows))
            if checked.table.count:
                accepted = rows.take(np.array(checked.positions, dtype=np.intp))
                pairs = zip(made, checked.table.cells, strict=True)
                made = [_with(column, accepted, others) for column, others in pairs]
                good[accepted] = True
            for index, found in checked.bad.items():
                row = int(rows[index])
                kept = found if listed < _MOST_LISTED else found[:1]
                bad[row] = [replace(cell, record=row) for cell in kept]
                listed += len(kept)
        places = np.flatnonzero(good).tolist()
        return Checked(Table(made, len(good)).rows(places), places, len(good), bad)


def _records(cells: dict[str, Any], rows: Any) -> list[dict[str, Any]]:
    if not cells:
        return [{} for _ in rows]
    values = [plain_at(column, rows) for column in cells.values()]
    return [dict(zip(cells, row, strict=True)) for row in zip(*values, strict=True)]


def _with(made: Any, rows: Any, cells: list[Any]) -> Any:
    """The column with these cells in these rows."""
    listed = as_list(made)
    for row, cell in zip(rows.tolist(), cells, strict=True):
        listed[row] = cell
    return listed


def _screen(column: Column, strict: bool) -> Callable[[Any], _Cells]:
    """A function from a column's cells, as `whole` returns them, to what is made of them."""
    check = compile_check(column, strict=strict)
    of_numbers = {"int": _integers, "float": _doubles}.get(column.type)
    closed = column.refuses_unknown(strict)

    def screen(cells: Any) -> _Cells:
        listed = isinstance(cells, list)
        if of_numbers is not None:
            numbers = (_listed_numbers if listed else _numbers)(cells)
            found = None if numbers is None else of_numbers(column, *numbers)
            if found is not None:
                return _known(found, check) if closed else found
        coded = (_listed_values if listed else _values)(cells)
        if coded is None:
            return _Cells([None] * len(cells), np.zeros(len(cells), dtype=bool))
        return _checked(coded, check)

    return screen


def _numbers(array: pa.Array) -> tuple[Any, Any] | None:
    """Doubles or integers, and where there are any if not everywhere; None if the type has no numbers."""
    if pa.types.is_floating(array.type):
        return array.to_numpy(zero_copy_only=False).astype(np.float64), None
    if not pa.types.is_integer(array.type):
        return None
    if not array.null_count:
        return array.to_numpy(), None
    return array.fill_null(0).to_numpy(), array.is_valid().to_numpy(zero_copy_only=False)


def _listed_numbers(cells: list[Any]) -> tuple[Any, Any] | None:
    """The same of a list. Integers among doubles are left to the check of each cell."""
    kinds = set(map(type, cells))
    # An integer beyond 64 bits is left to it as well.
    with contextlib.suppress(OverflowError):
        if kinds == {int}:
            return np.array(cells, dtype=np.int64), None
        if kinds <= {float, type(None)}:
            return np.array(cells, dtype=np.float64), None
    return None


def _doubles(column: Column, numbers: Any, present: Any) -> _Cells:
    """For a column of doubles; NaN is null."""
    # Of integers themselves: 2**53 + 1 as a double is 2**53.
    largest = min(column.bounds[1], _LARGEST if numbers.dtype.kind == "f" else EXACT_FLOAT)
    good = (numbers <= largest) & (numbers >= -largest)
    doubles = numbers.astype(np.float64)
    if present is not None:
        doubles[~present] = np.nan
    missing = np.isnan(doubles)
    return _Cells(doubles, good | missing if column.nullable else good & ~missing)


def _integers(column: Column, numbers: Any, present: Any) -> _Cells | None:
    """For a column of integers; None if there is a null, which an array of integers has not."""
    low, high = column.bounds
    if present is not None or (numbers.dtype.kind == "f" and np.isnan(numbers).any()):
        return None
    good = (numbers >= low) & (numbers <= high)
    if numbers.dtype.kind == "f":
        good &= (np.trunc(numbers) == numbers) & (np.abs(numbers) <= EXACT_FLOAT)
        numbers = np.where(good, numbers, 0)
    wide = numbers.dtype == np.uint64 and high > _LARGEST_INT
    return _Cells(numbers.astype(np.uint64 if wide else np.int64), good)


def _known(found: _Cells, check: Check) -> _Cells:
    """Where only the categories of training are good."""
    values, codes = np.unique(found.made, return_inverse=True)
    known = [_fits(check, None if value != value else value) for value in values.tolist()]
    return _Cells(found.made, found.good & np.array(known, dtype=bool).take(codes))


def _fits(check: Check, value: Any) -> bool:
    try:
        check(value)
    except Unfit:
        return False
    return True


def _values(array: pa.Array) -> Coded | None:
    """What occurs in an array; None if its type has no dictionary."""
    if pa.types.is_null(array.type):
        return Coded([None], np.zeros(len(array), dtype=np.intp))
    stored = array.storage if is_numeric(array.type) else array
    try:
        encoded = stored.dictionary_encode()
    except pa.ArrowNotImplementedError:
        return None
    values, codes = encoded.dictionary, encoded.indices
    if stored is not array:
        values = pa.ExtensionArray.from_storage(array.type, values)
    if not codes.null_count:
        return Coded(plain(values), codes.to_numpy())
    return Coded([*plain(values), None], codes.fill_null(len(values)).to_numpy())


def _listed_values(cells: list[Any]) -> Coded:
    """What occurs in a list. Each cell of its own, where equal ones can be of several types."""
    kinds = set(map(type, cells)) - {type(None)}
    if len(kinds) > 1 or not kinds <= {str, int, bool}:
        return Coded(cells, np.arange(len(cells)))
    places = {cell: place for place, cell in enumerate(dict.fromkeys(cells))}
    return Coded(list(places), np.fromiter(map(places.__getitem__, cells), np.intp, len(cells)))


def _checked(coded: Coded, check: Check) -> _Cells:
    """Each value that occurs, checked once."""
    values: list[Any] = []
    fits: list[bool] = []
    for value in coded.values:
        try:
            values.append(check(value))
            fits.append(True)
        except Unfit:
            values.append(None)
            fits.append(False)
    return _Cells(Coded(values, coded.codes), np.array(fits, dtype=bool).take(coded.codes))
