"""Database servers for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from examples.servers.mariadb import mariadb_server
from examples.servers.postgres import Postgres, postgres_server
from examples.servers.process import ServerNotInstalled


@contextlib.contextmanager
def running_postgres(folder: Path, settings: Mapping[str, str] | None = None) -> Iterator[Postgres]:
    """A PostgreSQL server; the test is skipped where none is installed."""
    try:
        server = postgres_server(folder, settings)
        with server as postgres:
            yield postgres
    except ServerNotInstalled as error:
        pytest.skip(str(error))


@contextlib.contextmanager
def running_mariadb(folder: Path) -> Iterator[str]:
    """The URL of an empty database of MariaDB; the test is skipped where it is not installed."""
    pytest.importorskip("pymysql", reason="PyMySQL is not installed: run pip install pymysql")
    try:
        with mariadb_server(folder) as url:
            yield url
    except ServerNotInstalled as error:
        pytest.skip(str(error))
