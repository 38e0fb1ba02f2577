"""Records of PostgreSQL, fetched by ADBC: `COPY`'s binary form, straight into Arrow's columns."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from skdeploy.batch.chunks import Chunk, Key
from skdeploy.batch.databases.engines import lock_remedy, postgres_arguments, told_as
from skdeploy.batch.databases.event_time import EventTime
from skdeploy.batch.databases.relation import Statements, require_columns
from skdeploy.batch.databases.sql_input import READING, SqlInput, Wanted
from skdeploy.batch.intervals import Interval
from skdeploy.batch.rechunk import rechunk
from skdeploy.errors import InputError
from skdeploy.redacting import redacted

_BATCH_BYTES = 2 * 1024**2
# ADBC takes the text of a statement; the colons of a query are no parameters.
_DIALECT = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]


class PostgresInput(SqlInput):
    """Records of a table or query, in chunks of Arrow's columns.

    types   the key's columns and the model's, as they come
    """

    types: Mapping[str, pa.DataType]

    @property
    def url(self) -> sa.URL:
        """Where the records are; with credentials."""
        return self._engine.url

    @property
    def statements(self) -> Statements:
        """What is asked of the records."""
        return self._statements

    def value(self, statement: sa.Select[Any]) -> Any:
        """The one value that a statement gives."""
        with told_as(InputError, READING), self._engine.connect() as connection:
            return connection.execute(statement).scalar_one()

    _lock_timeout: float

    def chunks(self, interval: Interval, size: int, after: Key | None = None) -> Iterator[Chunk]:
        """The interval's records behind `after`; see `Input`."""
        statement = self._statements.records(interval, after)
        with self._reader(statement) as reader:
            yield from rechunk(_told(iter(reader)), size, list(self.key_types))

    def _look(
        self, connection: sa.Connection, wanted: Wanted
    ) -> tuple[Mapping[str, pa.DataType], Statements]:
        del connection  # the types are Arrow's
        self._lock_timeout = wanted.lock_timeout
        every: sa.Select[Any] = sa.select(sa.literal_column("*")).select_from(wanted.source).limit(0)
        with self._reader(every) as reader:
            found = reader.schema
        require_columns(found.names, [*wanted.names, wanted.time_column])
        self.types = {name: found.field(name).type for name in wanted.names}
        columns = [as_written(name, found.field(name).type) for name in wanted.keys]
        types = {
            name: pa.string() if isinstance(column, sa.Label) else found.field(name).type
            for name, column in zip(wanted.keys, columns, strict=True)
        }
        time = _event_time(wanted.time_column, found.field(wanted.time_column).type)
        rest: list[sa.ColumnElement[Any]] = [sa.column(name) for name in wanted.names[len(columns) :]]
        return types, Statements(wanted.source, columns, rest, time, "postgresql")

    @contextlib.contextmanager
    def _reader(self, statement: sa.Select[Any]) -> Iterator[pa.RecordBatchReader]:
        from adbc_driver_postgresql import dbapi

        text = as_text(statement)
        url = self._engine.url.set(drivername="postgresql")
        with _telling():
            connection = dbapi.connect(_libpq(url, self._lock_timeout), autocommit=True)
        with contextlib.closing(connection), contextlib.closing(connection.cursor()) as cursor:
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
            with _telling():
                cursor.execute(text)
                reader = cursor.fetch_record_batch()
            yield reader


def as_text(element: sa.ClauseElement) -> str:
    """A statement, or a part of one, with its values in it."""
    return str(element.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))


def _libpq(url: sa.URL, lock_timeout: float) -> str:
    """As libpq reads it, to which a plus is no space."""
    arguments = {name: str(value) for name, value in postgres_arguments(lock_timeout).items()}
    text = url.update_query_dict(arguments).render_as_string(hide_password=False)
    server, _, query = text.partition("?")
    return f"{server}?{query.replace('+', '%20')}"


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    from adbc_driver_manager.dbapi import Error

    try:
        yield
    except Error as error:
        lines = str(error).strip().splitlines() or [""]
        said = redacted(" ".join(lines[:2]))
        raise InputError(f"{READING} failed: {said}{lock_remedy(said)}") from None


def _told(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    while True:
        with _telling():
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def as_written(name: str, kind: pa.DataType) -> sa.ColumnElement[Any]:
    """A column; as text if its type is one that not every database has."""
    plain = (
        pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_date(kind)
        or pa.types.is_timestamp(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)
    )  # fmt: skip
    column: sa.ColumnElement[Any] = sa.column(name)
    return column if plain else sa.cast(column, sa.Text).label(name)


def _event_time(name: str, kind: pa.DataType) -> EventTime:
    if pa.types.is_timestamp(kind):
        return EventTime(sa.column(name), "moment", wall=kind.tz is None)
    if pa.types.is_date(kind):
        return EventTime(sa.column(name), "date", wall=True)
    raise InputError(
        f"SKDEPLOY_TIME_COLUMN {name} is {kind}, no date-time: name another column, or convert it in "
        "SKDEPLOY_INPUT_QUERY."
    )
