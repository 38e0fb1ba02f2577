"""A database's URL -> an engine that waits for nothing without end, and says nothing secret."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from skdeploy.errors import BatchError, SettingsError
from skdeploy.redacting import redacted

# How to install what speaks to a database, where it is not one of the two that come with the door.
_DRIVER = "The database's driver is not installed: install the package that SQLAlchemy names for it"
_CONNECT_SECONDS = 10


def parse_url(text: str, variable: str) -> URL:
    """The URL with its driver named; SettingsError, without the URL, if it is none."""
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise SettingsError(
            f"{variable} is no URL of a database: give one such as postgresql://user:password@host/database."
        ) from None
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url


def make_engine(url: URL, variable: str, lock_timeout: float) -> sa.Engine:
    """An engine that opens a connection whenever it is asked for one, so that none outlives its use."""
    backend = url.get_backend_name()
    try:
        engine = sa.create_engine(
            url, poolclass=NullPool, hide_parameters=True, connect_args=_arguments(backend, lock_timeout)
        )
    except (NoSuchModuleError, ModuleNotFoundError) as error:
        raise SettingsError(f"{variable}: {_DRIVER} ({error}).") from None
    if backend == "sqlite":
        _take_over_transactions(engine)
    return engine


def _arguments(backend: str, lock_timeout: float) -> dict[str, Any]:
    if backend == "sqlite":
        # Reading, and committing, happen in threads of their own, one connection in one thread at a time.
        return {"timeout": lock_timeout, "check_same_thread": False}
    if backend == "postgresql":
        return postgres_arguments(lock_timeout)
    if backend in ("mysql", "mariadb"):
        return {"init_command": f"SET innodb_lock_wait_timeout={math.ceil(lock_timeout)}"}
    return {}


def postgres_arguments(lock_timeout: float) -> dict[str, Any]:
    """What libpq is told beside the URL; a server that is gone without a word is noticed in two minutes."""
    return {
        "connect_timeout": _CONNECT_SECONDS,
        "application_name": "skdeploy batch",
        "options": f"-c lock_timeout={math.ceil(lock_timeout * 1000)} -c timezone=UTC",
        "keepalives_idle": 60,
        "keepalives_interval": 20,
        "keepalives_count": 3,
    }


def _take_over_transactions(engine: sa.Engine) -> None:
    """sqlite3 begins transactions when it likes, and never for a SELECT: SQLAlchemy's recipe against it."""

    @sa.event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        # A writer that begins as a reader cannot wait for another writer's lock.
        write = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


@contextlib.contextmanager
def told_as(kind: type[BatchError], doing: str) -> Iterator[None]:
    """What the database says, as `kind`; never with a record's values or a password."""
    try:
        yield
    except SQLAlchemyError as error:
        raise kind(f"{doing} failed: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What a database's error says, without the values that follow in later lines."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    lines = str(cause).strip().splitlines() or [""]
    return f"{type(cause).__name__}: {redacted(lines[0])}{lock_remedy(lines[0])}"


def lock_remedy(said: str) -> str:
    """What to do if a database has waited for a lock in vain."""
    if not re.search(r"lock timeout|Lock wait timeout|database is locked", said):
        return ""
    return (
        ". Somebody else holds a lock for longer than SKDEPLOY_LOCK_TIMEOUT: let them finish, or wait longer."
    )
