"""An interval that processes of a cluster write into tables beside it, and one puts in its place."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from skdeploy.batch.chunks import Counts, ScoredChunk, Task
from skdeploy.batch.databases.engines import first_line, make_engine, parse_url, told_as
from skdeploy.batch.databases.inserting import insert
from skdeploy.batch.databases.rows import as_predictions, as_rejects
from skdeploy.batch.databases.tables import Tables
from skdeploy.batch.databases.writing import StagedWriting, forget_progress
from skdeploy.batch.spreading import Attempt, PartWriting, Receipt, Spreading, Stage, total
from skdeploy.errors import OutputError

_log = logging.getLogger(__name__)

_ATTEMPT = "skdeploy_attempt"
# What no run of one machine says, so that none goes on with what a cluster left.
_ASKED = "a cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlStage(Stage):
    """Tables that every attempt inserts into, in one transaction; each row names its attempt."""

    url: str = field(repr=False)
    lock_timeout: float
    table: str
    staging: str
    key_types: Mapping[str, pa.DataType]
    predicted: pa.Schema
    task: Task

    @contextlib.contextmanager
    def writing(self, attempt: Attempt) -> Iterator[PartWriting]:
        """Begin a transaction."""
        engine = make_engine(
            parse_url(self.url, "SKDEPLOY_OUTPUT_URL"), "SKDEPLOY_OUTPUT_URL", self.lock_timeout
        )
        tables = Tables(self.table, self.key_types, self.predicted)
        with told_as(OutputError, "Writing the output"), engine.connect() as connection:
            # COPY passes SQLAlchemy by, which would know of no transaction to commit.
            connection.begin()
            yield SqlPart(connection, with_attempt(tables.staging(self.staging)), self.task, attempt)


class SqlPart(PartWriting):
    """A part within its transaction."""

    def __init__(
        self, connection: sa.Connection, tables: tuple[sa.Table, sa.Table], task: Task, attempt: Attempt
    ) -> None:
        self._connection = connection
        self._predictions, self._rejects = tables
        self._task = task
        self._attempt = attempt
        self._counts = Counts()

    def write(self, scored: ScoredChunk) -> None:
        """Insert a chunk."""
        for table, rows in (
            (self._predictions, as_predictions(scored.predictions, self._task)),
            (self._rejects, as_rejects(scored.rejects, self._task)),
        ):
            names = pa.repeat(self._attempt.name, rows.num_rows)
            insert(self._connection, table, rows.append_column(_ATTEMPT, names))
        self._counts.add(scored)

    def close(self) -> Receipt:
        """Commit."""
        self._connection.commit()
        return Receipt(self._attempt, self._counts)


class SpreadWriting(StagedWriting, Spreading):
    """What attempts staged; `finish` moves the rows of those that count."""

    def __init__(
        self, connection: sa.Connection, tables: Tables, task: Task, name: str, stage: SqlStage
    ) -> None:
        self.stage = stage
        self._counting: Sequence[str] = ()
        self._finished = False
        super().__init__(connection, tables, replace(task, asked=_ASKED), name)

    def finish(self, receipts: Sequence[Receipt] = ()) -> None:
        """Put what these attempts wrote in its place, in one transaction with the ledger's entry."""
        self._counting = [receipt.attempt.name for receipt in receipts]
        self.counts = total(receipts)
        super().finish()
        self._finished = True

    def undo(self) -> None:
        """Drop what was staged in vain; who still writes to it fails."""
        if self._finished:
            return
        self._connection.rollback()
        self._forget()

    def _drop_staged(self) -> None:
        """After the commit: an attempt that nobody waits for may hold a table for a while."""
        self._connection.commit()
        self._forget()

    def _forget(self) -> None:
        try:
            forget_progress(self._connection, self._tables, self._task, self._name)
            self._connection.commit()
        except SQLAlchemyError as error:
            self._connection.rollback()
            _log.warning("What was staged is left for the next run to drop: %s", first_line(error))

    def _go_on(self) -> None:
        """Attempts that nobody collects are of no use."""

    def _staging(self, name: str) -> tuple[sa.Table, sa.Table]:
        return with_attempt(self._tables.staging(name))

    def _staged(self, table: sa.Table) -> sa.FromClause:
        rest = [column for column in table.columns if column.name != _ATTEMPT]
        return sa.select(*rest).where(table.c[_ATTEMPT].in_(self._counting)).subquery()


def with_attempt(tables: tuple[sa.Table, sa.Table]) -> tuple[sa.Table, sa.Table]:
    """Staging tables whose rows say which attempt wrote them."""
    for table in tables:
        table.append_column(sa.Column[Any](_ATTEMPT, sa.String(64), nullable=False))
    return tables
