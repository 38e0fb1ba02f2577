"""Jobs over real databases: a table of records, the command line, and what it leaves."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from skdeploy.batch.command import main
from skdeploy.batch.databases.engines import make_engine, parse_url
from skdeploy.config import DECLARED

_ROOT = Path(__file__).resolve().parents[2]
FIRST = datetime(2026, 3, 1, tzinfo=UTC)
KINDS = ("ash", "elm", "oak")
# What a developer's shell may hold must neither help nor hurt.


def records(count: int, *, days: int = 3, first_id: int = 0, start: datetime = FIRST) -> list[dict[str, Any]]:
    """Records that the small models take, evenly over some days; ids are not in the order of time."""
    step = timedelta(days=days) / max(count, 1)
    return [
        {
            "id": first_id + (place * 7919) % count,
            "at": start + step * place,
            "size": None if place % 9 == 0 else 10 + (place % 17) / 4,
            "kind": KINDS[place % 3],
            "age": place % 8 + 1,
        }
        for place in range(count)
    ]


@dataclass(frozen=True)
class Finished:
    """A run of the command line that has ended."""

    code: int
    summary: dict[str, Any]
    stderr: str
    stdout: str


@dataclass
class Database:
    """A database with a table of records, and the settings of a job over it."""

    url: str
    model: Path
    table: str = "trees"
    settings: dict[str, str] = field(default_factory=dict)

    def engine(self, *, writes: bool = True) -> sa.Engine:
        """A connection per use, as the job's own; one that does not write waits for no job."""
        engine = make_engine(parse_url(self.url, "SKDEPLOY_INPUT_URL"), "SKDEPLOY_INPUT_URL", 10)
        return engine.execution_options(writes=writes)

    def fill(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Make the table if it is not there, and add records."""
        table = self.records_table()
        with self.engine().begin() as connection:
            table.create(connection, checkfirst=True)
            connection.execute(table.insert(), [self._written(row) for row in rows])

    def records_table(self) -> sa.Table:
        """As the records are in it; SQLite, which has no date-times, gets text as people write it."""
        text = self.url.startswith("sqlite")
        return sa.Table(
            self.table,
            sa.MetaData(),
            sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
            sa.Column("at", sa.Text if text else sa.DateTime(timezone=True)),
            sa.Column("size", sa.Double),
            sa.Column("kind", sa.String(20)),
            sa.Column("age", sa.BigInteger),
        )

    def execute(self, statement: str) -> None:
        """Run a statement."""
        with self.engine().begin() as connection:
            connection.execute(_text(statement))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What a SELECT gives."""
        with self.engine(writes=False).connect() as connection:
            return [tuple(row) for row in connection.execute(_text(statement))]

    def predictions(self, table: str = "predictions") -> list[tuple[Any, ...]]:
        """All of them, in an order."""
        return self.rows(f"SELECT * FROM {table} ORDER BY job, model_digest, id")

    def rejects(self, table: str = "predictions") -> list[tuple[Any, ...]]:
        """All of them, in an order."""
        return self.rows(f"SELECT * FROM {table}_rejects ORDER BY interval_start, row_key, column_name")

    def ledger(self, columns: str, table: str = "predictions") -> list[tuple[Any, ...]]:
        """Columns of the ledger, in the order of time."""
        return self.rows(f"SELECT {columns} FROM {table}_ledger ORDER BY interval_start, scored_at")

    def dump(self, table: str = "predictions") -> dict[str, str]:
        """All that a job left, as text that is equal if every bit is; but for when it was scored."""
        columns = [column["name"] for column in self._inspector().get_columns(f"{table}_ledger")]
        ledger = ", ".join(name for name in columns if name != "scored_at")
        left = {
            "predictions": self.predictions(table),
            "rejects": self.rejects(table),
            "ledger": self.rows(f"SELECT {ledger} FROM {table}_ledger ORDER BY job, interval_start"),
            "progress": self.rows(f"SELECT * FROM {table}_progress"),
            "staging": [(name,) for name in self.tables() if f"{table}_staging" in name],
        }
        return {name: "\n".join(map(repr, rows)) for name, rows in left.items()}

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a job."""
        inherited = {name: value for name, value in os.environ.items() if name not in DECLARED}
        job = {
            "SKDEPLOY_MODEL_URI": str(self.model),
            "SKDEPLOY_INPUT_URL": self.url,
            "SKDEPLOY_INPUT_TABLE": self.table,
            "SKDEPLOY_KEY_COLUMNS": "id",
            "SKDEPLOY_TIME_COLUMN": "at",
            "SKDEPLOY_EVENT_TZ": "UTC",
        }
        return inherited | job | self.settings | more

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        """The command line, in a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "batch.score", *arguments],
            cwd=_ROOT,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def score(self, *arguments: str, **more: str) -> Finished:
        """The command line, awaited."""
        with self.start(*arguments, **more) as process:
            return finished(process)

    def score_here(self, *arguments: str, **more: str) -> Finished:
        """The command line in this process, which is quicker by the imports; SKDEPLOY_LOG_LEVEL holds."""
        out, err = io.StringIO(), io.StringIO()
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            _logged(err, more.get("SKDEPLOY_LOG_LEVEL", "info")),
        ):
            try:
                code = main(arguments, self.environment(**more))
            except SystemExit as error:  # argparse's
                code = int(error.code or 0)
        return _finished(code, out.getvalue(), err.getvalue())

    def tables(self) -> list[str]:
        """The names of all tables and views."""
        inspector = self._inspector()
        return sorted([*inspector.get_table_names(), *inspector.get_view_names()])

    def _inspector(self) -> sa.Inspector:
        return sa.inspect(self.engine(writes=False))

    def _written(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if not self.url.startswith("sqlite") or row["at"] is None:
            return dict(row)
        return {**row, "at": row["at"].strftime("%Y-%m-%dT%H:%M:%SZ")}


def finished(process: subprocess.Popen[str], timeout: float = 120) -> Finished:
    """What the process said; its last line on standard output is the summary."""
    out, err = process.communicate(timeout=timeout)
    return _finished(process.returncode, out, err)


def _finished(code: int, out: str, err: str) -> Finished:
    lines = out.strip().splitlines()
    summary = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    return Finished(code, summary, err, out)


def statuses(run: Finished) -> Sequence[str]:
    """What became of each interval."""
    return [interval["status"] for interval in run.summary["intervals"]]


@contextlib.contextmanager
def _logged(to: io.StringIO, level: str) -> Iterator[None]:
    """All logging goes to `to` as well."""
    root, handler = logging.getLogger(), logging.StreamHandler(to)
    before = root.level
    root.addHandler(handler)
    root.setLevel(level.upper())
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(before)


def _text(statement: str) -> sa.TextClause:
    """A colon is no parameter, a percent sign no placeholder."""
    return sa.text(statement.replace(":", r"\:"))
