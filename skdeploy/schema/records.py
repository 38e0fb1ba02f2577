"""The reader of records: JSON bytes or mappings in, checked columns out, bad cells named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import msgspec
from msgspec import UNSET

from skdeploy.errors import InvalidRecord, MalformedBody, Rejection, TooManyRecords
from skdeploy.schema.cells import describe, describe_key, enumerate_names
from skdeploy.schema.checked import Checked
from skdeploy.schema.checking import RecordChecker
from skdeploy.schema.column import Schema
from skdeploy.schema.each import Read, compile_each
from skdeploy.schema.fast import compile_fast
from skdeploy.schema.plain import parse_json
from skdeploy.schema.table import Table

# A small body can hold thousands of records that each lack a thousand columns, and nobody reads on after
# the first hundred.
MOST_DESCRIBED = 100


class ReaderOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a `RecordReader` is made from."""

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
        self._id_field = id_field
        self._checker = RecordChecker(
            schema,
            id_field=id_field,
            ignore_unknown=ignore_unknown,
            strict=strict,
            reveal=reveal,
            max_described=max_described,
        )
        self._fast = compile_fast(schema.columns, id_field, strict=strict, ignore_unknown=ignore_unknown)
        self._each = compile_each(schema.columns, id_field, strict=strict, ignore_unknown=ignore_unknown)

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
        """What `read_json` returns, if `body` is plainly good; None if that takes a closer look.

        Raises TooManyRecords.
        """
        if self._fast is None or (fast := self._fast(body, self._max_records)) is None:
            return None
        cells, ids, single = fast
        count = len(cells[0])
        self._require_few(count)
        return Checked(Table(cells, count), range(count), count, ids=_given(ids), single=single)

    def explain(self, body: bytes) -> Checked:
        """What `read_json` returns and raises, by the slow half alone."""
        value = parse_json(body)
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
        """A record per body, as events have them. What is wrong with one is nothing to the others.

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

    def read_each_fast(self, bodies: Sequence[bytes]) -> Read:
        """The bodies that are plainly a good record each; the `rest` takes a closer look."""
        if self._each is None:
            return Read([[] for _ in self._names], [], [], [*range(len(bodies))])
        return self._each(bodies)

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
