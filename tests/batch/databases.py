"""Database servers for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

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
