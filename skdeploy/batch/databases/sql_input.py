"""Records of any database that SQLAlchemy speaks to, fetched row by row."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from skdeploy.batch.chunks import Chunk, Input, Key
from skdeploy.batch.databases.engines import told_as
from skdeploy.batch.databases.event_time import recognise, telling
from skdeploy.batch.databases.relation import Source, Statements, require_columns
from skdeploy.batch.intervals import Interval
from skdeploy.batch.rechunk import rechunk_rows
from skdeploy.errors import InputError
from skdeploy.schema import Schema

READING = "Reading the input"
# Not as many rows as a chunk has: they are Python's objects twice over while they are fetched.
_ROWS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a job wants of its input: which columns of which table or query.

    lock_timeout   seconds to wait for a lock
    """

    source: Source
    keys: Sequence[str]
    time_column: str
    schema: Schema
    lock_timeout: float = 30

    @property
    def names(self) -> list[str]:
        """The key's columns, then the model's others."""
        return [*self.keys, *(name for name in self.schema.names if name not in self.keys)]


class SqlInput(Input):
    """Records of a table or query, in chunks of Python's values."""

    def __init__(self, engine: sa.Engine, wanted: Wanted) -> None:
        self._engine = engine
        self._names = wanted.names
        with told_as(InputError, READING), engine.connect() as connection:
            self.key_types, self._statements = self._look(connection, wanted)
            self._booleans = _booleans_kept_as_numbers(connection, wanted)
        self.wall = self._statements.time.wall

    def count(self, interval: Interval) -> int:
        """How many records the interval has."""
        return self._number(self._statements.count(interval))

    def without_time(self) -> int:
        """How many records have no event time that can be read."""
        return self._number(self._statements.without_time())

    def chunks(self, interval: Interval, size: int, after: Key | None = None) -> Iterator[Chunk]:
        """The interval's records behind `after`; see `Input`."""
        with told_as(InputError, READING), self._engine.connect() as connection:
            streaming = connection.execution_options(stream_results=True, yield_per=_ROWS_AT_ONCE)
            rows = map(tuple, streaming.execute(self._statements.records(interval, after)))
            for chunk in rechunk_rows(rows, self._names, size, list(self.key_types)):
                yield self._with_booleans(chunk)

    def _look(
        self, connection: sa.Connection, wanted: Wanted
    ) -> tuple[Mapping[str, pa.DataType], Statements]:
        """The types of the key, and what to ask, as one of the records shows them."""
        every: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(wanted.source).limit(0)
        require_columns([*connection.execute(every).keys()], [*wanted.names, wanted.time_column])
        time: sa.ColumnClause[Any] = sa.column(wanted.time_column)
        columns: list[sa.ColumnElement[Any]] = [sa.column(name) for name in wanted.names]
        keys = columns[: len(wanted.keys)]
        backend = connection.dialect.name
        sample = connection.execute(
            sa.select(*keys, time).select_from(wanted.source).where(telling(time, backend)).limit(1)
        ).first()
        if sample is None:
            sample = connection.execute(
                sa.select(*keys, time).select_from(wanted.source).where(time.is_not(None)).limit(1)
            ).first()
        values = (None,) * (len(keys) + 1) if sample is None else tuple(sample)
        types = {name: _arrow_type(value) for name, value in zip(wanted.keys, values, strict=False)}
        event_time = recognise(time, values[-1], backend)
        return types, Statements(wanted.source, keys, columns[len(keys) :], event_time, backend)

    def _number(self, statement: sa.Select[Any]) -> int:
        with told_as(InputError, READING), self._engine.connect() as connection:
            return int(connection.execute(statement).scalar_one())

    def _with_booleans(self, chunk: Chunk) -> Chunk:
        if not self._booleans:
            return chunk
        columns = dict(chunk.columns)
        for name in self._booleans:
            columns[name] = [_boolean(value) for value in columns[name]]
        return Chunk(columns, chunk.count)


def _boolean(value: Any) -> Any:
    """0 and 1 where the database says that it means booleans; anything else is a bad cell."""
    return bool(value) if type(value) is int and value in (0, 1) else value


def _booleans_kept_as_numbers(connection: sa.Connection, wanted: Wanted) -> list[str]:
    """The model's booleans that the table declares as such, and the driver gives as numbers."""
    booleans = {column.name for column in wanted.schema.columns if column.type == "bool"}
    if not booleans or not isinstance(wanted.source, sa.TableClause):
        return []
    declared = sa.inspect(connection).get_columns(wanted.source.name, schema=wanted.source.schema)
    return [
        column["name"]
        for column in declared
        if column["name"] in booleans
        and (isinstance(column["type"], sa.Boolean) or "TINYINT" in str(column["type"]).upper())
    ]


_ARROW: dict[type, pa.DataType] = {
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
    bytes: pa.binary(),
    date: pa.date32(),
    # A decimal's digits are the column's affair; as text it is exact.
    Decimal: pa.string(),
    uuid.UUID: pa.string(),
}


def _arrow_type(value: Any) -> pa.DataType:
    """What holds a key like this one; text, if there is none to look at."""
    if isinstance(value, datetime):
        return pa.timestamp("us", tz="UTC" if value.tzinfo else None)
    return _ARROW.get(type(value), pa.string())
