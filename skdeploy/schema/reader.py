"""The reader of records: JSON bytes or mappings in, checked columns out, bad cells named.

Fast accept, slow explain. The time of the slow half grows with what came and never with (records x columns):
past the most bad cells that are described, a record is bad at its first bad cell.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from skdeploy.errors import InvalidRecord, MalformedBody, Rejection, TooManyRecords
from skdeploy.schema.column import Schema
from skdeploy.schema.decoder import compile_each, compile_fast
from skdeploy.schema.strict_json import (
    JsonNumber,
    describe,
    describe_key,
    enumerate_names,
    parse_json,
    shorten,
    shorten_name,
)
from skdeploy.schema.table import Checked, Table
from skdeploy.schema.types import Unfit, compile_check, expectation

# A small body can hold thousands of records that each lack a thousand columns, and nobody reads on after
# the first hundred.
MOST_DESCRIBED = 100
# Of the descriptions of one answer, as JSON. A hundred bad cells usually take a tenth of it, but names of
# columns and categories can be long, and `{}` asks for all of them.
_MOST_BYTES = 32 * 1024

# Columns of a model that can fill the list of bad cells when they are missing.
_WIDE = 100
_INT64 = 2**63
_ID_EXPECTED = "string or 64-bit integer, passed through"


class ReaderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of a `RecordReader`."""

    schema: Schema
    id_field: str | None
    ignore_unknown: bool
    strict: bool
    reveal: bool
    max_records: int | None
    max_described: int | None

    def reader(self) -> RecordReader:
        """A reader with these options."""
        options = {name: getattr(self, name) for name in self.__struct_fields__}
        return RecordReader(options.pop("schema"), **options)


class RecordReader:
    """Reads records of one schema. Fast accept, slow explain.

    id_field   the key that a record may carry beside the columns, passed through; or None
    ignore_unknown   drop columns that the schema does not know instead of refusing the record
    strict     refuse categories unseen in training even where the pipeline accepts them
    reveal     whether messages may name the categories of the training data
    max_records   the longest list that `read_json` takes; None for any
    max_described   the most bad cells that one call describes, of all records together; their texts are
        limited to 32 KB as well. None for all, however long they are
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
        max_described: int | None = MOST_DESCRIBED,
    ) -> None:
        self.options = ReaderOptions(
            schema=schema,
            id_field=id_field,
            ignore_unknown=ignore_unknown,
            strict=strict,
            reveal=reveal,
            max_records=max_records,
            max_described=max_described,
        )
        self._max_records = max_records
        self._names = schema.names
        self._exact = any(column.kind.is_exact for column in schema.columns)
        self._id_field = id_field
        self._checker = _RecordChecker(self.options)
        self._fast = compile_fast(schema.columns, id_field, strict=strict, ignore_unknown=ignore_unknown)
        # Of many bodies with a record in each, those that are plainly good.
        self.read_each_fast = compile_each(
            schema.columns, id_field, strict=strict, ignore_unknown=ignore_unknown
        )

    @cached_property
    def recipe(self) -> bytes | None:
        """The options as MessagePack, from which another process makes the same reader.

        None if it would be another one: MessagePack does not hold everything that a category can be.
        """
        try:
            recipe = msgspec.msgpack.encode(self.options)
            made = msgspec.msgpack.decode(recipe, type=ReaderOptions)
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError):
            return None
        # Not ==: True is 1, and NaN is not NaN.
        return recipe if repr(made) == repr(self.options) else None

    def read_json(self, body: bytes) -> Checked:
        """The record, or list of records, in `body` (UTF-8 JSON).

        Raises MalformedBody if it is neither, InvalidRecord if the list is empty, TooManyRecords.
        """
        fast = self.read_fast(body)
        return self.explain(body) if fast is None else fast

    def read_fast(self, body: bytes) -> Checked | None:
        """The result of `read_json` if `body` is plainly good; None if the slow half has to read it.

        Raises TooManyRecords.
        """
        if self._fast is None or (fast := self._fast(body, self._max_records)) is None:
            return None
        cells, ids, single = fast
        count = len(cells[0])
        self._require_few(count)
        return Checked(Table(cells, count), range(count), count, ids=_given(ids), single=single)

    def explain(self, body: bytes) -> Checked:
        """Read a body as `read_json` does, by the slow half alone."""
        value = parse_json(body, exact=self._exact)
        if isinstance(value, dict):
            self._refuse_foreign(value)
            return self._checker.check([value], single=True)
        if not isinstance(value, list):
            raise MalformedBody(
                f"The body is {describe(value)}: a record (an object) or a list of records is expected."
            )
        if not value:
            raise InvalidRecord([], "The list is empty: there is no record to predict for.")
        self._require_few(len(value))
        return self._checker.check(value)

    def read(self, records: Iterable[Any]) -> Checked:
        """The same for records that are mappings already, as the other doors have them."""
        return self._checker.check(records)

    def read_each(self, bodies: Sequence[bytes]) -> Checked:
        """Read a record per body, as events have them; a bad body does not affect the others.

        The good records stand in the order of their bodies, but for those that had to be looked at
        twice, which come last. Of each body `max_described` bad cells are described.
        """
        cells, ids, places, rest = self.read_each_fast(bodies)
        positions = [*places]
        found = {positions[n]: value for n, value in (_given(ids) or {}).items()}
        bad: dict[int, list[Rejection]] = {}
        unlisted: dict[int, int] = {}
        malformed: dict[int, str] = {}
        for index in rest:
            try:
                one = self._read_one(bodies[index])
            except MalformedBody as error:
                malformed[index] = str(error)
                continue
            if one.bad:
                bad[index] = one.bad[0]
                if one.unlisted:
                    unlisted[index] = one.unlisted[0]
                continue
            positions.append(index)
            for column, (cell,) in zip(cells, one.table.cells, strict=True):
                column.append(cell)
            if one.ids:
                found[index] = one.ids[0]
        table = Table(cells, len(positions))
        return Checked(
            table, positions, len(bodies), bad, found or None, malformed=malformed, unlisted=unlisted
        )

    def _read_one(self, body: bytes) -> Checked:
        if body.lstrip()[:1] == b"[":
            raise MalformedBody("The body is a list: a single record (an object) is expected.")
        return self.read_json(body)

    def _require_few(self, count: int) -> None:
        if self._max_records is not None and count > self._max_records:
            # How many they are is not known where reading stopped at one too many.
            raise TooManyRecords(f"The list has more than {self._max_records:,} records")

    def _refuse_foreign(self, record: Mapping[str, Any]) -> None:
        """An object with none of the columns is no record but another protocol's envelope."""
        keys = set(record) - {self._id_field}
        if keys and keys.isdisjoint(self._names):
            shown = ", ".join(describe_key(key) for key in list(record)[:5])
            raise MalformedBody(
                f"The object is no record of this model: none of its keys ({shown}) is a column. "
                f"A record has the columns {enumerate_names(self._names)}."
            )


def _given(ids: list[Any] | None) -> dict[int, Any] | None:
    if ids is None:
        return None
    return {index: value for index, value in enumerate(ids) if value is not UNSET}


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


class _RecordChecker:
    """Checks records of one schema; see `RecordReader` for the options."""

    def __init__(self, options: ReaderOptions) -> None:
        schema, id_field, strict = options.schema, options.id_field, options.strict
        self._id_field = id_field
        self._ignore_unknown = options.ignore_unknown
        self._max_described = options.max_described
        self._columns = [(column.name, compile_check(column, strict=strict)) for column in schema.columns]
        self._shown = [shorten_name(name) for name in schema.names]
        self._expected = [
            expectation(column, strict=strict, reveal=options.reveal) for column in schema.columns
        ]
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
    """The rejections that are described, at most `limit` (None: all), and the number of the others."""

    def __init__(self, limit: int | None) -> None:
        self.bad: dict[int, list[Rejection]] = {}
        self.unlisted: dict[int, int] = {}
        self.further: list[range] = []
        self.is_full = False
        self._limit = limit
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
        if self._limit is None:
            return True
        text = json.dumps([cell.column, cell.code, *cell.words], ensure_ascii=False)
        self._bytes += len(text.encode("utf-8", "surrogatepass"))
        if self._cells and self._bytes > _MOST_BYTES:
            self.is_full = True
            return False
        self._cells += 1
        self.is_full = self._cells >= self._limit
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
