"""One run per interval: locks that a database, or the kernel, gives back when their holder dies."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from skdeploy.batch.chunks import Task
from skdeploy.batch.intervals import Interval, as_utc
from skdeploy.errors import IntervalHeld


def lock_name(table: str, task: Task) -> str:
    """What nobody else may hold while `task` is written to `table`."""
    start = as_utc(task.interval.start).isoformat()
    return hashlib.sha256(f"{table}\0{task.job}\0{start}".encode()).hexdigest()[:16]


@contextlib.contextmanager
def hold(connection: sa.Connection, locks: sa.Table, name: str, interval: Interval) -> Iterator[None]:
    """Hold the lock `name`; IntervalHeld at once if another run has it.

    connection   the one that writes: PostgreSQL's lock ends with it, so that nothing is written without
    locks        a table with a row per lock, for databases that lock rows alone
    """
    backend = connection.dialect.name
    if backend == "postgresql":
        holding = _advisory(connection, name)
    elif backend == "sqlite":
        holding = _file(connection, name)
    else:
        holding = _row(connection, locks, name)
    with holding as held:
        if not held:
            raise IntervalHeld(
                f"Another run is scoring {interval.label}: let it finish, or end it. It holds a lock that "
                "ends with it."
            )
        yield


@contextlib.contextmanager
def _advisory(connection: sa.Connection, name: str) -> Iterator[bool]:
    """The session's own lock: it lasts over transactions, and no longer than the connection."""
    number = int(name, 16) - 2**63
    with connection.begin():
        held = connection.execute(sa.select(sa.func.pg_try_advisory_lock(number))).scalar_one()
    # Given back when the connection is closed, which `writing` does in any case.
    yield bool(held)


@contextlib.contextmanager
def _file(connection: sa.Connection, name: str) -> Iterator[bool]:
    """A file beside the database's: SQLite's own locks end with every transaction."""
    database = connection.engine.url.database
    if not database or database == ":memory:":
        yield True
        return
    path = Path(f"{database}.{name}.lock")
    while True:
        with path.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            if not _is_at(path, file.fileno()):  # its holder removed it between our two steps
                continue
            try:
                yield True
            finally:
                path.unlink(missing_ok=True)
            return


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _row(connection: sa.Connection, locks: sa.Table, name: str) -> Iterator[bool]:
    """A row that a second connection locks: a transaction of its own, which lasts over the others'."""
    with contextlib.suppress(IntegrityError), connection.engine.begin() as first:
        first.execute(locks.insert().values(name=name))
    with connection.engine.connect() as holder:
        try:
            row = sa.select(locks.c.name).where(locks.c.name == name).with_for_update(nowait=True)
            holder.execute(row).one()
        except DBAPIError:
            yield False
            return
        yield True
        holder.rollback()
