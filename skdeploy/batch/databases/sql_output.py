"""Predictions, rejects and ledger in a database, an interval per transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from skdeploy.batch.chunks import Counts, Entry, Output, Task, Writing
from skdeploy.batch.databases.engines import told_as
from skdeploy.batch.databases.locks import hold, lock_name
from skdeploy.batch.databases.spread import SpreadWriting, SqlStage
from skdeploy.batch.databases.tables import Tables
from skdeploy.batch.databases.writing import StagedWriting, WholeWriting, ledger_row
from skdeploy.batch.intervals import Interval
from skdeploy.batch.spreading import Spreading
from skdeploy.errors import IntervalCompleted, OutputError

WRITING = "Writing the output"
# Seconds that a process of a cluster waits for a lock on its staging table, which nobody holds for long.
_PATIENCE = 30.0


class SqlOutput(Output):
    """Tables of one database, whose names begin with `table`. `prepare` comes first."""

    def __init__(self, engine: sa.Engine, table: str) -> None:
        self._engine = engine.execution_options(writes=True)
        self._name = table
        self._made: Tables | None = None
        self._is_new = False

    @property
    def _tables(self) -> Tables:
        if self._made is None:
            raise OutputError("The output's tables are not prepared.")
        return self._made

    def prepare(
        self, key_types: Mapping[str, pa.DataType], predicted: pa.Schema, *, make: bool = True
    ) -> None:
        """Make tables that are not there, if `make`; refuse those that do not fit."""
        self._made = Tables(self._name, key_types, predicted)
        if self._is_ready() or not make:
            return
        with told_as(OutputError, WRITING), self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # Readers, the job's own among them, go on while an interval is written.
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            _make(connection, self._tables)
            connection.commit()
        self._is_new = False

    def _is_ready(self) -> bool:
        """Whether all tables are there; no lock is taken, which a run at another interval may hold."""
        tables = self._tables
        with told_as(OutputError, "Reading the ledger"), self._reading() as connection:
            inspector = sa.inspect(connection)
            found = {*inspector.get_table_names(tables.schema), *inspector.get_view_names(tables.schema)}
            self._is_new = tables.ledger.name not in found
            if tables.predictions.name in found:
                _require_fit(connection, tables.predictions)
            lets_read = connection.dialect.name != "sqlite" or _journal(connection) == "wal"
        return lets_read and found.issuperset(tables.names)

    def entries(self, job: str, start: datetime, end: datetime) -> list[Entry]:
        """What the ledger says of the intervals that start in [start, end)."""
        ledger = self._tables.ledger
        wanted = (ledger.c.job == job, ledger.c.interval_start >= start, ledger.c.interval_start < end)
        latest: dict[Interval, Entry] = {}
        for entry in self._read(
            sa.select(ledger).where(*wanted).order_by(ledger.c.is_current, ledger.c.scored_at)
        ):
            known = latest.get(entry.interval)
            if known is None or entry.status == "completed" or known.status != "completed":
                latest[entry.interval] = entry
        return sorted(latest.values(), key=lambda entry: entry.interval)

    def last(self, job: str) -> Entry | None:
        """The entry of the latest interval that was completed."""
        ledger = self._tables.ledger
        completed = sa.select(ledger).where(ledger.c.job == job, ledger.c.status == "completed")
        return next(iter(self._read(completed.order_by(ledger.c.interval_start.desc()).limit(1))), None)

    @contextlib.contextmanager
    def writing(self, task: Task, large: bool) -> Iterator[Writing]:
        """Begin to write an interval; leaving it without `finish` undoes it."""
        kind = StagedWriting if large else WholeWriting
        name = lock_name(self._name, task)
        with (
            told_as(OutputError, WRITING),
            self._engine.connect() as connection,
            hold(connection, self._tables.locks, name, task.interval),
        ):
            self._require_wanted(connection, task)
            yield kind(connection, self._tables, task, name)

    @contextlib.contextmanager
    def spreading(self, task: Task) -> Iterator[Spreading]:
        """Begin to write an interval from many processes; leaving it without `finish` undoes it."""
        name = lock_name(self._name, task)
        stage = self._stage(task, name)
        with (
            told_as(OutputError, WRITING),
            self._engine.connect() as connection,
            hold(connection, self._tables.locks, name, task.interval),
        ):
            self._require_wanted(connection, task)
            writing = SpreadWriting(connection, self._tables, task, name, stage)
            try:
                yield writing
            finally:
                writing.undo()

    def _stage(self, task: Task, name: str) -> SqlStage:
        url = self._engine.url
        if url.get_backend_name() == "sqlite":
            raise OutputError(
                "SKDEPLOY_OUTPUT_URL: a cluster cannot write to SQLite, which is a file of one machine."
            )
        return SqlStage(
            url=url.render_as_string(hide_password=False),
            lock_timeout=_PATIENCE,
            table=self._name,
            staging=name,
            key_types=self._tables.key_types,
            predicted=self._tables.predicted,
            task=task,
        )

    def fail(self, task: Task, error: str) -> None:
        """Note that a task failed, unless the interval is completed already."""
        ledger = self._tables.ledger
        mine = (ledger.c.job == task.job, ledger.c.interval_start == task.interval.start)
        with told_as(OutputError, WRITING), self._engine.begin() as connection:
            if self._is_completed(connection, task):
                return
            # Not one that another run completes at this very moment.
            connection.execute(ledger.delete().where(*mine, ledger.c.status == "failed"))
            connection.execute(ledger.insert().values(ledger_row(task, Counts(), "failed", error)))

    def _require_wanted(self, connection: sa.Connection, task: Task) -> None:
        if not task.again and self._is_completed(connection, task):
            raise IntervalCompleted(f"Another run has completed {task.interval.label}.")

    def _is_completed(self, connection: sa.Connection, task: Task) -> bool:
        ledger = self._tables.ledger
        completed = sa.select(sa.func.count()).where(
            ledger.c.job == task.job,
            ledger.c.interval_start == task.interval.start,
            ledger.c.status == "completed",
        )
        return bool(connection.execute(completed).scalar_one())

    def _reading(self) -> sa.Connection:
        return self._engine.execution_options(writes=False).connect()

    def _read(self, statement: sa.Select[Any]) -> list[Entry]:
        if self._is_new:
            return []
        with told_as(OutputError, "Reading the ledger"), self._reading() as connection:
            return [_entry(row) for row in connection.execute(statement)]


def _entry(row: Any) -> Entry:
    return Entry(
        interval=Interval(row.interval_start, row.interval_end, row.interval_kind),
        status=row.status,
        digest=row.model_sha256,
        counts=Counts(row.rows_read, row.rows_predicted, row.rows_rejected),
        scored_at=row.scored_at,
        error=row.error,
    )


def _make(connection: sa.Connection, tables: Tables) -> None:
    """Make what is not there, one run after the other."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
    tables.metadata.create_all(connection)
    if tables.current not in sa.inspect(connection).get_view_names(schema=tables.schema):
        connection.exec_driver_sql(tables.view(connection.dialect))


def _journal(connection: sa.Connection) -> str:
    return str(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())


# Any number that is no interval's.
_MAKING = 0x736B6465706C6F79


def _require_fit(connection: sa.Connection, table: sa.Table) -> None:
    """Raise OutputError if a table of that name is there and is another."""
    columns = sa.inspect(connection).get_columns(table.name, schema=table.schema)
    found = {column["name"]: column["type"] for column in columns}
    said = [f"lacks {column.name}" for column in table.columns if column.name not in found]
    said += [f"has {name}" for name in found if name not in table.columns]
    said += [
        f"has {column.name} as {found[column.name]}, not {column.type.compile(connection.dialect)}"
        for column in table.columns
        if column.name in found and not _alike(found[column.name], column.type)
    ]
    if said:
        raise OutputError(
            f"The table {table.fullname} {', '.join(said)}: it was made for another key or another kind "
            "of model. Name another SKDEPLOY_OUTPUT_TABLE, or change it by hand."
        )


def _alike(found: sa.types.TypeEngine[Any], needed: sa.types.TypeEngine[Any]) -> bool:
    """Whether a column can hold what is to be in it; of types that not every database has, it is hoped."""
    if isinstance(needed, sa.types.TypeDecorator):
        return True
    sorts = [sort for sort in _HOLDS if isinstance(found, sort)]
    return not sorts or any(isinstance(needed, _HOLDS[sort]) for sort in sorts)


# What a column of a type can hold; MySQL's booleans are integers.
_HOLDS: dict[type, tuple[type, ...]] = {
    sa.Boolean: (sa.Boolean,),
    sa.Integer: (sa.Integer, sa.Boolean),
    sa.Numeric: (sa.Numeric, sa.Integer),
    sa.String: (sa.String,),
    sa.DateTime: (sa.DateTime,),
    sa.Date: (sa.Date,),
    sa.LargeBinary: (sa.LargeBinary,),
}
