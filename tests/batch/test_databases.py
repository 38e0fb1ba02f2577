"""The PostgreSQL server that other tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from examples.servers.postgres import Postgres
from tests.batch.databases import running_postgres

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres"), {"work_mem": "5MB"}) as server:
        yield server


def _value(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def test_databases_speak_utf8_and_settings_hold(postgres: Postgres) -> None:
    """A database that was made keeps any text, and the server has the settings it was given."""
    url = postgres.create_database("one")
    assert _value(url, "SELECT current_database()") == "one"
    assert _value(url, "SELECT 'žluťoučký' || chr(128012)") == "žluťoučký🐌"
    assert _value(url, "SHOW work_mem") == "5MB"
    assert _value(url, "SHOW listen_addresses") == "127.0.0.1"


def test_killed_server_starts_again_with_what_was_committed(postgres: Postgres) -> None:
    """Killed with all its sessions, it answers on the same port, and has what was committed and no more."""
    url = postgres.create_database("killed")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (1)")
        connection.commit()
        connection.execute("INSERT INTO kept VALUES (2)")
        postgres.process.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres.process.start()
    assert _value(url, "SELECT sum(number) FROM kept") == 1


def test_server_stops_though_a_client_stays(postgres: Postgres) -> None:
    """An open session does not keep the server from ending; it is told."""
    with psycopg.connect(postgres.url) as connection:
        connection.execute("SELECT 1")
        postgres.process.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    postgres.process.start()


def test_data_goes_with_the_server(tmp_path: Path) -> None:
    """What is left is the log."""
    with running_postgres(tmp_path) as server:
        data = Path(str(_value(server.url, "SHOW data_directory")))
        assert data.exists()
    assert not data.parent.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["postgres.log"]
