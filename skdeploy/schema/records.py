"""The reader of records: JSON bytes or mappings in, checked columns out, every bad cell named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import UNSET

from skdeploy.errors import BadCell, InvalidRecord, MalformedBody, TooManyRecords
from skdeploy.schema.cells import (
    JsonNumber,
    Unfit,
    compile_check,
    describe,
    describe_key,
    expectation,
    shorten,
)
from skdeploy.schema.column import Schema
from skdeploy.schema.each import Read, compile_each
from skdeploy.schema.fast import compile_fast
from skdeploy.schema.plain import parse_json
from skdeploy.schema.table import Table

_MISSING = "nothing: the column is missing"
# A small body can hold many records that lack every column. Past this many bad cells the records are
# still found bad, but no longer described.
_MOST_LISTED = 10_000
_INT64 = 2**63
_ID_EXPECTED = "string or 64-bit integer, passed through"


@dataclass(frozen=True, slots=True)
class Checked:
    """What a body or an iterable of records came to.

    table       the good records
    positions   for each of them, its index among all that came
    count       how many records came
    bad         index -> bad cells, for the others; none are listed past the first 10,000
    ids         index -> pass-through key, where one was given; None if none was
    single      whether a lone record came, not a list
    malformed   index -> why a body holds no record, where each record has a body of its own
    """

    table: Table
    positions: list[int] | range
    count: int
    bad: dict[int, list[BadCell]] = field(default_factory=dict)
    ids: dict[int, Any] | None = None
    single: bool = False
    malformed: dict[int, str] = field(default_factory=dict)

    @property
    def bad_cells(self) -> list[BadCell]:
        """Those of all bad records, as far as they are listed."""
        return [cell for cells in self.bad.values() for cell in cells]

    def require_all_good(self) -> None:
        """Raise InvalidRecord with every bad cell, if there is one."""
        if self.bad:
            unlisted = sum(not cells for cells in self.bad.values())
            raise InvalidRecord(self.bad_cells, unlisted=unlisted)


class RecordReader:
    """Reads records of one schema. Fast accept, slow explain.

    id_field   the key that a record may carry beside the columns, passed through; or None
    ignore_unknown   drop columns that the schema does not know instead of refusing the record
    strict     refuse categories unseen in training even where the pipeline accepts them
    reveal     whether messages may name the categories of the training data
    max_records   the longest list that `read_json` takes; None for any
    """

    def __init__(
        self,
        schema: Schema,
        *,
        id_field: str | None = None,
        ignore_unknown: bool = False,
        strict: bool = False,
        reveal: bool = True,
        max_records: int | None = None,
    ) -> None:
        self._max_records = max_records
        self._names = schema.names
        self._id_field = id_field
        self._ignore_unknown = ignore_unknown
        self._checks = [compile_check(column, strict=strict) for column in schema.columns]
        self._expected = [expectation(column, strict=strict, reveal=reveal) for column in schema.columns]
        self._fast = compile_fast(schema.columns, id_field, strict=strict, ignore_unknown=ignore_unknown)
        self._each = compile_each(schema.columns, id_field, strict=strict, ignore_unknown=ignore_unknown)

    def read_json(self, body: bytes) -> Checked:
        """The record, or list of records, in `body` (UTF-8 JSON).

        Raises MalformedBody if it is neither, InvalidRecord if the list is empty, TooManyRecords.
        """
        if self._fast is not None and (fast := self._fast(body)) is not None:
            cells, ids, single = fast
            count = len(cells[0])
            self._require_few(count)
            return Checked(Table(cells, count), range(count), count, ids=_given(ids), single=single)
        value = parse_json(body)
        if isinstance(value, dict):
            self._refuse_foreign(value)
            return self._check([value], single=True)
        if not isinstance(value, list):
            raise MalformedBody(
                f"The body is {describe(value)}: a record (an object) or a list of records is expected."
            )
        if not value:
            raise InvalidRecord([], "The list is empty: there is no record to predict for.")
        self._require_few(len(value))
        return self._check(value, single=False)

    def read_fast(self, body: bytes) -> Checked | None:
        """The same of a body that plainly fits; None for any other. Raises TooManyRecords."""
        fast = self._fast(body) if self._fast is not None else None
        if fast is None:
            return None
        cells, ids, single = fast
        count = len(cells[0])
        self._require_few(count)
        return Checked(Table(cells, count), range(count), count, ids=_given(ids), single=single)

    def read_each_fast(self, bodies: Sequence[bytes]) -> Read:
        """What plainly fits of bodies that hold a record each; the others are left."""
        if self._each is None:
            return Read([[] for _ in self._names], [], [], [*range(len(bodies))])
        return self._each(bodies)

    def read(self, records: Iterable[Any]) -> Checked:
        """The same for records that are mappings already, as the other doors have them."""
        return self._check(list(records), single=False)

    def read_each(self, bodies: Sequence[bytes]) -> Checked:
        """A record per body, as events have them. What is wrong with one is nothing to the others.

        The good records stand in the order of their bodies, but for those that had to be looked at
        twice, which come last.
        """
        plain = self._each(bodies) if self._each is not None else None
        cells = plain.cells if plain else [[] for _ in self._names]
        positions = [*plain.places] if plain else []
        ids = _given(plain.ids) if plain else {}
        found = {positions[n]: value for n, value in (ids or {}).items()}
        bad: dict[int, list[BadCell]] = {}
        malformed: dict[int, str] = {}
        for index in plain.rest if plain else range(len(bodies)):
            try:
                one = self._read_one(bodies[index])
            except MalformedBody as error:
                malformed[index] = str(error)
                continue
            if one.bad:
                bad[index] = one.bad[0]
                continue
            positions.append(index)
            for column, (cell,) in zip(cells, one.table.cells, strict=True):
                column.append(cell)
            if one.ids:
                found[index] = one.ids[0]
        table = Table(cells, len(positions))
        return Checked(table, positions, len(bodies), bad, found or None, malformed=malformed)

    def _read_one(self, body: bytes) -> Checked:
        if body.lstrip()[:1] == b"[":
            raise MalformedBody("The body is a list: a single record (an object) is expected.")
        return self.read_json(body)

    def _require_few(self, count: int) -> None:
        if self._max_records is not None and count > self._max_records:
            raise TooManyRecords(f"The list has {count} records, more than {self._max_records}")

    def _refuse_foreign(self, record: Mapping[str, Any]) -> None:
        """An object with none of the columns is no record but another protocol's envelope."""
        keys = set(record) - {self._id_field}
        if keys and keys.isdisjoint(self._names):
            shown = ", ".join(describe_key(key) for key in list(record)[:5])
            raise MalformedBody(
                f"The object is no record of this model: none of its keys ({shown}) is a column. "
                f"A record has the columns {', '.join(self._names[:50])}."
            )

    def _check(self, records: list[Any], *, single: bool) -> Checked:
        rows: list[list[Any]] = []
        positions: list[int] = []
        bad: dict[int, list[BadCell]] = {}
        ids: dict[int, Any] = {}
        listed = 0
        for index, record in enumerate(records):
            row, cells = self._check_record(index, record, ids)
            if cells:
                bad[index] = cells if listed < _MOST_LISTED else []
                listed += len(bad[index])
            else:
                rows.append(row)
                positions.append(index)
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in self._names]
        return Checked(Table(columns, len(rows)), positions, len(records), bad, ids or None, single)

    def _check_record(self, index: int, record: Any, ids: dict[int, Any]) -> tuple[list[Any], list[BadCell]]:
        if not isinstance(record, Mapping):
            return [], [BadCell(index, None, "object", describe(record))]
        row: list[Any] = []
        bad: list[BadCell] = []
        for name, check, expected in zip(self._names, self._checks, self._expected, strict=True):
            if name not in record:
                bad.append(BadCell(index, name, expected, _MISSING))
                continue
            try:
                row.append(check(record[name]))
            except Unfit as unfit:
                reason = f" ({unfit})" if str(unfit) else ""
                bad.append(BadCell(index, name, expected, describe(record[name]) + reason))
        bad += self._check_rest(index, record, ids)
        return row, bad

    def _check_rest(self, index: int, record: Mapping[str, Any], ids: dict[int, Any]) -> list[BadCell]:
        """The keys that are no columns: the pass-through key, and unknown ones."""
        bad: list[BadCell] = []
        if self._id_field is not None and self._id_field in record:
            value = _written_plainly(record[self._id_field])
            if _is_identifier(value):
                ids[index] = value
            else:
                bad.append(BadCell(index, self._id_field, _ID_EXPECTED, describe(value)))
        if self._ignore_unknown or len(record) == len(self._names) + (index in ids):
            return bad
        known = {*self._names, self._id_field}
        return bad + [
            BadCell(index, shorten(str(key)), "no such column in this model", describe(value))
            for key, value in record.items()
            if key not in known
        ]


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


def _given(ids: list[Any] | None) -> dict[int, Any] | None:
    if ids is None:
        return None
    return {index: value for index, value in enumerate(ids) if value is not UNSET}
