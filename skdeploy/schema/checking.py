"""The slow half of the reader: records that are mappings -> checked columns, bad cells described.

The time grows with what came and never with (records x columns): past the most bad cells that are
described, a record is bad at its first bad cell.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from skdeploy.errors import Rejection
from skdeploy.schema.cells import (
    JsonNumber,
    Unfit,
    compile_check,
    describe,
    expectation,
    shorten,
    shorten_name,
)
from skdeploy.schema.checked import Checked
from skdeploy.schema.column import Schema
from skdeploy.schema.table import Table

# Of the descriptions of one answer, as JSON. A hundred bad cells usually take a tenth of it, but names of
# columns and categories can be long, and `{}` asks for all of them.
_MOST_BYTES = 32 * 1024

# Columns of a model that can fill the list of bad cells when they are missing.
_WIDE = 100
_INT64 = 2**63
_ID_EXPECTED = "string or 64-bit integer, passed through"


class _Flaw(NamedTuple):
    """A bad cell whose value is not described yet."""

    column: str | None
    code: str
    expected: str
    value: Any = None

    def of(self, record: int) -> Rejection:
        """The rejection of the record with this index."""
        got = "" if self.code == "missing" else describe(self.value)
        return Rejection(record, self.column, self.code, self.expected, got)


class RecordChecker:
    """Checks records of one schema; see `RecordReader` for the options."""

    def __init__(
        self,
        schema: Schema,
        *,
        id_field: str | None,
        ignore_unknown: bool,
        strict: bool,
        reveal: bool,
        max_described: int | None,
    ) -> None:
        self._id_field = id_field
        self._ignore_unknown = ignore_unknown
        self._max_described = max_described
        self._columns = [(column.name, compile_check(column, strict=strict)) for column in schema.columns]
        self._shown = [shorten_name(name) for name in schema.names]
        self._expected = [expectation(column, strict=strict, reveal=reveal) for column in schema.columns]
        self._known = frozenset(schema.names) | ({id_field} if id_field is not None else set())
        self._own_key = id_field is not None and id_field not in schema.names

    def check(self, records: Iterable[Any], *, single: bool = False) -> Checked:
        """The good records by column, the bad ones described as far as `max_described` goes."""
        rows: list[list[Any]] = []
        positions: list[int] = []
        ids: dict[int, Any] = {}
        listing = _Listing(self._max_described)
        count = 0
        for index, record in enumerate(records):
            count += 1
            row = self._accept(record)
            if row is not None:
                rows.append(row)
                positions.append(index)
            elif listing.is_full:
                listing.pass_over(index)
                continue
            else:
                listing.add(index, self._flaws(record))
            self._keep_id(index, record, ids)
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in self._columns]
        return Checked(
            Table(columns, len(rows)),
            positions,
            count,
            listing.bad,
            ids or None,
            single,
            unlisted=listing.unlisted,
            further=listing.further,
        )

    def _accept(self, record: Any) -> list[Any] | None:
        """The cells of a good record; None, at the first bad cell, of any other."""
        # A dict is asked for first: the question whether something is a Mapping takes longer.
        if not isinstance(record, dict) and not isinstance(record, Mapping):
            return None
        row: list[Any] = []
        for name, check in self._columns:
            if name not in record:
                return None
            try:
                row.append(check(record[name]))
            except Unfit:
                return None
        has_key = self._own_key and self._id_field in record
        if has_key and not _is_identifier(_written_plainly(record[self._id_field])):
            return None
        return row if self._ignore_unknown or len(record) == len(row) + has_key else None

    def _keep_id(self, index: int, record: Any, ids: dict[int, Any]) -> None:
        if self._own_key and isinstance(record, Mapping) and self._id_field in record:
            value = _written_plainly(record[self._id_field])
            if _is_identifier(value):
                ids[index] = value

    def _flaws(self, record: Any) -> Iterator[_Flaw]:
        """All that is wrong with a record: its columns in the schema's order, its key, unknown columns.

        Of a wide model some of the unknown columns are first, because a client that spells all columns in
        another way would see missing ones alone.
        """
        if not isinstance(record, Mapping):
            yield _Flaw(None, "type", "object", record)
            return
        unknown = iter(()) if self._ignore_unknown else self._unknown(record)
        if len(self._columns) >= _WIDE:
            yield from itertools.islice(unknown, _WIDE // 10)
        yield from self._known_flaws(record)
        yield from unknown

    def _known_flaws(self, record: Mapping[Any, Any]) -> Iterator[_Flaw]:
        for (name, check), shown, expected in zip(self._columns, self._shown, self._expected, strict=True):
            if name not in record:
                yield _Flaw(shown, "missing", expected)
                continue
            try:
                check(value := record[name])
            except Unfit as unfit:
                yield _Flaw(shown, unfit.code, expected, value)
        if self._own_key and self._id_field in record:
            value = _written_plainly(record[self._id_field])
            if not _is_identifier(value):
                yield _Flaw(self._id_field, "type", _ID_EXPECTED, value)

    def _unknown(self, record: Mapping[str, Any]) -> Iterator[_Flaw]:
        for key, value in record.items():
            if key not in self._known:
                yield _Flaw(shorten(str(key)), "unknown_column", "", value)


class _Listing:
    """The bad cells that are described, at most `most` of them (None: all), and the number of the others."""

    def __init__(self, most: int | None) -> None:
        self.bad: dict[int, list[Rejection]] = {}
        self.unlisted: dict[int, int] = {}
        self.further: list[range] = []
        self.is_full = False
        self._most = most
        self._cells = self._bytes = 0

    def add(self, index: int, flaws: Iterable[_Flaw]) -> None:
        """Describe a record's flaws; those for which there is no room are counted."""
        cells: list[Rejection] = []
        more = 0
        for flaw in flaws:
            if self.is_full or not self._take(cell := flaw.of(index)):
                more += 1
            else:
                cells.append(cell)
        if cells:
            self.bad[index] = cells
            if more:
                self.unlisted[index] = more
        else:
            self.pass_over(index)

    def pass_over(self, index: int) -> None:
        """A further bad record, which is not described."""
        if self.further and self.further[-1].stop == index:
            self.further[-1] = range(self.further[-1].start, index + 1)
        else:
            self.further.append(range(index, index + 1))

    def _take(self, cell: Rejection) -> bool:
        """Whether there is room for the cell. The first one has it in any case."""
        if self._most is None:
            return True
        text = json.dumps([cell.column, cell.code, *cell.words], ensure_ascii=False)
        self._bytes += len(text.encode("utf-8", "surrogatepass"))
        if self._cells and self._bytes > _MOST_BYTES:
            self.is_full = True
            return False
        self._cells += 1
        self.is_full = self._cells >= self._most
        return True


def _written_plainly(value: Any) -> Any:
    """The integer that 3.0 or 3e0 is to JSON Schema; anything else as it is."""
    # Compared, not abs(): a Decimal's arithmetic raises Overflow at 1e999999999.
    if isinstance(value, JsonNumber) and -_INT64 <= value < _INT64 and value == value.to_integral_value():
        return int(value)
    return value


def _is_identifier(value: Any) -> bool:
    if value is None or isinstance(value, str):
        return True
    return type(value) is int and -_INT64 <= value < _INT64
