"""An interval being written: in one transaction, or by chunks into a table beside it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from skdeploy.batch.chunks import Counts, Key, ScoredChunk, Task, Writing
from skdeploy.batch.databases.inserting import insert
from skdeploy.batch.databases.keys import key_as_text, key_from_text
from skdeploy.batch.databases.rows import as_predictions, as_rejects, digest_of
from skdeploy.batch.databases.tables import Tables
from skdeploy.errors import OutputError


class WholeWriting(Writing):
    """In one transaction: what a run that dies had written is gone with it."""

    def __init__(self, connection: sa.Connection, tables: Tables, task: Task, name: str) -> None:
        self.after: Key | None = None
        self.counts = Counts()
        self._connection = connection
        self._tables = tables
        self._task = task
        forget_progress(connection, tables, task, name)
        _delete(connection, (tables.rejects,), task)
        # To look for them among a history's predictions takes longer than to write an interval.
        if _was_completed(connection, tables, task):
            _delete(connection, (tables.predictions,), task)

    def write(self, scored: ScoredChunk) -> None:
        """Take a chunk."""
        rows = as_predictions(scored.predictions, self._task)
        first = not self.counts.read
        _insert_moved_too(self._connection, self._tables, rows, self._task, first=first)
        insert(self._connection, self._tables.rejects, as_rejects(scored.rejects, self._task))
        self.counts.add(scored)

    def finish(self) -> None:
        """Commit, with the ledger's entry."""
        _complete(self._connection, self._tables, self._task, self.counts)
        self._connection.commit()


class StagedWriting(Writing):
    """By chunks, each committed with the key that it ends with, into tables of the interval's own."""

    def __init__(self, connection: sa.Connection, tables: Tables, task: Task, name: str) -> None:
        self._connection = connection
        self._tables = tables
        self._task = task
        self._name = name
        self._run = uuid.uuid4().hex
        self._predictions, self._rejects = self._staging(name)
        self.after, self.counts = self._go_on() or self._begin_anew()
        connection.commit()

    def write(self, scored: ScoredChunk) -> None:
        """Take a chunk, and commit it."""
        insert(self._connection, self._predictions, as_predictions(scored.predictions, self._task))
        insert(self._connection, self._rejects, as_rejects(scored.rejects, self._task))
        self.counts.add(scored)
        self._update({"last_key": key_as_text(scored.last)} | _counts(self.counts))
        self._connection.commit()

    def finish(self) -> None:
        """Put what is staged in its place, in one transaction with the ledger's entry."""
        connection, tables = self._connection, self._tables
        self._update({})
        _delete(connection, (tables.predictions, tables.rejects), self._task)
        _delete_moved(connection, tables, self._staged(self._predictions), self._task)
        moved = self._move(self._predictions, tables.predictions)
        if moved not in (-1, self.counts.predicted):
            raise OutputError(f"{moved} predictions are staged, and {self.counts.predicted} should be.")
        self._move(self._rejects, tables.rejects)
        _complete(connection, tables, self._task, self.counts)
        connection.execute(tables.progress.delete().where(*_here(tables.progress, self._task)))
        if connection.dialect.name in _DROPS_COMMIT:
            connection.commit()
        self._drop_staged()
        connection.commit()

    def _drop_staged(self) -> None:
        _drop(self._connection, self._predictions, self._rejects)

    def _move(self, made: sa.Table, table: sa.Table) -> int:
        """How many rows they were, if the database says so; else -1."""
        staged = self._staged(made)
        columns = [column.name for column in staged.columns]
        move = table.insert().from_select(columns, sa.select(staged))
        return self._connection.execute(move, execution_options={"preserve_rowcount": True}).rowcount

    def _staging(self, name: str) -> tuple[sa.Table, sa.Table]:
        """The tables of the interval's own."""
        return self._tables.staging(name)

    def _staged(self, table: sa.Table) -> sa.FromClause:
        """What of such a table is put in its place."""
        return table

    def _go_on(self) -> tuple[Key | None, Counts] | None:
        """Take over what a run left that died at the same task."""
        row = self._connection.execute(self._mine()).one_or_none()
        if row is None or (row.model_digest, row.asked) != (digest_of(self._task), self._task.asked):
            return None
        self._update({}, by_anyone=True)
        after = None if row.last_key is None else key_from_text(row.last_key)
        return after, Counts(row.rows_read, row.rows_predicted, row.rows_rejected)

    def _begin_anew(self) -> tuple[None, Counts]:
        forget_progress(self._connection, self._tables, self._task, self._name)
        self._predictions.metadata.create_all(self._connection)
        row = {
            "job": self._task.job,
            "interval_start": self._task.interval.start,
            "model_digest": digest_of(self._task),
            "asked": self._task.asked,
            "run": self._run,
            **_counts(Counts()),
        }
        self._connection.execute(self._tables.progress.insert().values(row))
        return None, Counts()

    def _mine(self) -> sa.Select[Any]:
        return sa.select(self._tables.progress).where(*_here(self._tables.progress, self._task))

    def _update(self, values: Mapping[str, Any], *, by_anyone: bool = False) -> None:
        """Change the progress' row, which must still be this run's: a lock may be lost unnoticed."""
        progress = self._tables.progress
        mine = [*_here(progress, self._task)] + ([] if by_anyone else [progress.c.run == self._run])
        changed = self._connection.execute(
            progress.update().where(*mine).values({"run": self._run, **values})
        )
        if changed.rowcount != 1:
            raise OutputError("Another run has taken this interval over: this one ends, and leaves it alone.")


def ledger_row(task: Task, counts: Counts, status: str, error: str | None = None) -> dict[str, Any]:
    """The ledger's entry for a task."""
    return {
        "job": task.job,
        "interval_start": task.interval.start,
        "interval_end": task.interval.end,
        "interval_kind": task.interval.kind,
        "model_digest": digest_of(task),
        "model_sha256": task.digest,
        "model_name": task.model_name,
        "model_version": task.model_version,
        "status": status,
        "is_current": int(status == "completed"),
        **_counts(counts),
        "scored_at": datetime.now(UTC),
        "error": error,
    }


def _complete(connection: sa.Connection, tables: Tables, task: Task, counts: Counts) -> None:
    ledger = tables.ledger
    here = _here(ledger, task)
    connection.execute(ledger.delete().where(*here, ledger.c.model_digest == digest_of(task)))
    connection.execute(ledger.delete().where(*here, ledger.c.status == "failed"))
    connection.execute(ledger.update().where(*here).values(is_current=0))
    connection.execute(ledger.insert().values(ledger_row(task, counts, "completed")))
    _delete_moved_of_others(connection, tables, task)


def _was_completed(connection: sa.Connection, tables: Tables, task: Task) -> bool:
    """Whether the ledger says so of this model: else it has no predictions of the interval."""
    ledger = tables.ledger
    mine = [*_here(ledger, task), ledger.c.model_digest == digest_of(task), ledger.c.status == "completed"]
    return connection.execute(sa.select(ledger.c.status).where(*mine)).first() is not None


def _insert_moved_too(
    connection: sa.Connection, tables: Tables, rows: pa.Table, task: Task, *, first: bool
) -> None:
    """Insert predictions, of records too that another interval has a prediction of: they have moved.

    first   nothing of the interval was written yet: what is there of it is of an entry that somebody
            took out of the ledger
    """
    savepoint = connection.begin_nested()
    try:
        insert(connection, tables.predictions, rows)
        savepoint.commit()
    except IntegrityError:
        savepoint.rollback()
        if first:
            _delete(connection, (tables.predictions,), task)
        _delete_elsewhere(connection, tables, rows, task)
        try:
            insert(connection, tables.predictions, rows)
        except IntegrityError:
            raise OutputError(_TWICE) from None


_TWICE = (
    "Records of one interval have the same key: add columns to SKDEPLOY_KEY_COLUMNS that tell all records "
    "apart."
)


def _delete_elsewhere(connection: sa.Connection, tables: Tables, rows: pa.Table, task: Task) -> None:
    """Delete the predictions of these keys that belong to other intervals: the event time was changed."""
    table = tables.predictions
    delete = table.delete().where(
        table.c.job == task.job,
        table.c.model_digest == digest_of(task),
        table.c.interval_start != task.interval.start,
        *(table.c[name] == sa.bindparam(f"key_{place}") for place, name in enumerate(tables.keys)),
    )
    keys = rows.select(tables.keys).rename_columns([f"key_{place}" for place in range(len(tables.keys))])
    connection.execute(delete, keys.to_pylist())


def _delete_moved(connection: sa.Connection, tables: Tables, staged: sa.FromClause, task: Task) -> None:
    """The same for all keys of a staged interval."""
    table = tables.predictions
    keys = sa.select(*(staged.c[name] for name in tables.keys))
    mine = (table.c.job == task.job, table.c.model_digest == digest_of(task))
    connection.execute(table.delete().where(*mine, _has_key_of(tables, keys)))


def _delete_moved_of_others(connection: sa.Connection, tables: Tables, task: Task) -> None:
    """The same for other models' predictions: they are the latest ones of the intervals that they are of."""
    table, ledger = tables.predictions, tables.ledger
    other = (ledger.c.job == task.job, ledger.c.is_current == 1, ledger.c.model_digest != digest_of(task))
    digests = connection.execute(sa.select(ledger.c.model_digest).distinct().where(*other)).scalars().all()
    here = (*_here(table, task), table.c.model_digest == digest_of(task))
    keys = sa.select(*(table.c[name] for name in tables.keys)).where(*here)
    for digest in digests:
        # A model at a time, so that its keys are found by the table's own index.
        elsewhere = (table.c.model_digest == digest, table.c.interval_start != task.interval.start)
        connection.execute(
            table.delete().where(table.c.job == task.job, *elsewhere, _has_key_of(tables, keys))
        )


def _has_key_of(tables: Tables, keys: sa.Select[Any]) -> sa.ColumnElement[bool]:
    """IN, not EXISTS, for which SQLite would look at every prediction that there is."""
    columns = [tables.predictions.c[name] for name in tables.keys]
    key: sa.ColumnElement[Any] = columns[0] if len(columns) == 1 else sa.tuple_(*columns)
    return key.in_(keys)


def _delete(connection: sa.Connection, tables: Sequence[sa.Table], task: Task) -> None:
    """What this model's predictions of the interval were."""
    for table in tables:
        mine = [*_here(table, task), table.c.model_digest == digest_of(task)]
        connection.execute(table.delete().where(*mine))


def forget_progress(connection: sa.Connection, tables: Tables, task: Task, name: str) -> None:
    """What another run staged, and will not go on with, or had no time to drop."""
    connection.execute(tables.progress.delete().where(*_here(tables.progress, task)))
    _drop(connection, *tables.staging(name))


# Where DROP TABLE ends the transaction that it stands in.
_DROPS_COMMIT = ("mysql", "mariadb", "oracle")


def _drop(connection: sa.Connection, *staged: sa.Table) -> None:
    for table in staged:
        table.drop(connection, checkfirst=True)


def _here(table: sa.Table, task: Task) -> list[sa.ColumnElement[bool]]:
    return [table.c.job == task.job, table.c.interval_start == task.interval.start]


def _counts(counts: Counts) -> dict[str, int]:
    return {
        "rows_read": counts.read,
        "rows_predicted": counts.predicted,
        "rows_rejected": counts.rejected,
    }
