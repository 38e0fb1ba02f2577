"""A job whose database is restarted, full, or locked by somebody else."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from examples.servers.postgres import Postgres
from tests.batch.databases import running_postgres
from tests.batch.jobs import Database, Finished, finished, records, statuses
from tests.live import wait_until

pytestmark = pytest.mark.heavy

DAY = ("--interval", "daily", "--at", "2026-03-01")
SECRET = "hunter2-correct-horse"
WAYS = {"whole": {"SKDEPLOY_LARGE_INTERVAL": "1000000"}, "staged": {"SKDEPLOY_LARGE_INTERVAL": "0"}}
SMALL = {"SKDEPLOY_CHUNK_RECORDS": "20", "SKDEPLOY_ENGINE": "sklearn"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A real server."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture
def database(server: Postgres, regressor_file: Path, request: pytest.FixtureRequest) -> Database:
    """A database with 2,000 records of a day, of a user whose password must not be seen."""
    url = server.create_database(request.node.name).replace("postgres@", f"postgres:{SECRET}@")
    database = Database(url, regressor_file, settings=dict(SMALL))
    database.fill(records(2000, days=1))
    return database


def told(run: Finished, *words: str) -> None:
    """The run says what went wrong, and no password."""
    assert run.code not in (0, -9), run.stderr
    assert all(word in run.stderr for word in words), run.stderr
    assert SECRET not in run.stderr + run.stdout
    assert "Traceback" not in run.stderr


def undisturbed(database: Database) -> dict[str, str]:
    """What a run leaves that nothing happens to."""
    run = database.score_here(*DAY, SKDEPLOY_OUTPUT_TABLE="undisturbed")
    assert run.code == 0, run.stderr
    return database.dump("undisturbed")


@pytest.mark.parametrize("ended", ["kill", "stop"])
@pytest.mark.parametrize("way", WAYS)
def test_server_that_ends_under_a_job(server: Postgres, database: Database, way: str, ended: str) -> None:
    """Killed or shut down: the job fails and says so; when the server is back, a rerun makes all right."""
    expected = undisturbed(database)
    process = database.start(*DAY, **WAYS[way], SKDEPLOY_CHUNK_RECORDS="5")
    with process:
        wait_until(lambda: _is_writing(database), "the job is writing", 60)
        getattr(server.process, ended)()
        try:
            run = finished(process)
        finally:
            server.process.start()
    told(run, "2026-03-01 failed", "failed: ")
    assert statuses(run) == ["failed"]
    assert database.rows("SELECT count(*) FROM predictions") == [(0,)]
    again = database.score_here(*DAY, **WAYS[way], SKDEPLOY_CHUNK_RECORDS="5")
    assert again.code == 0, again.stderr
    assert again.summary["intervals"][0].get("resumed", False) == (way == "staged")
    assert database.dump() == expected


def _is_writing(database: Database) -> bool:
    """Whether a job is in a transaction that has written, and so is behind its first chunk or two."""
    writing = "application_name = 'skdeploy batch' AND state <> 'idle' AND query ~ 'predictions'"
    tables = database.tables()
    if "predictions_progress" not in tables:
        return False
    staged = database.rows("SELECT count(*) FROM predictions_progress WHERE rows_read > 50")
    copying = database.rows(
        f"SELECT count(*) FROM pg_stat_activity WHERE {writing} AND query ~ '^(COPY|SAVEPOINT|RELEASE)'"
    )
    return bool(staged[0][0] or (copying[0][0] and not _is_staged(tables)))


def _is_staged(tables: list[str]) -> bool:
    return any("staging" in name for name in tables)


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path]:
    """A file system that is soon full; only root can make one."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0777", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def full(disk: Path, left: int) -> Iterator[None]:
    """Nothing but `left` bytes can be written."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"\0" * (_free(disk) - left))
    try:
        yield
    finally:
        ballast.unlink()


def _free(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


@pytest.mark.parametrize("way", WAYS)
def test_disk_full_over_postgres(server: Postgres, database: Database, tmp_path: Path, way: str) -> None:
    """The error says so, nothing is half written; with space again a rerun makes all right."""
    expected = undisturbed(database)
    space = f"small_{way}"
    home = Path(str(database.rows("SHOW data_directory")[0][0])).parent / space
    with small_disk(home, 40) as disk, psycopg.connect(server.url, autocommit=True) as admin:
        (disk / "space").mkdir()
        (disk / "space").chmod(0o700)
        _give_to_server(disk / "space")
        admin.execute(f"CREATE TABLESPACE {space} LOCATION '{disk / 'space'}'".encode())
        admin.execute(f"CREATE DATABASE {space} TABLESPACE {space}".encode())
        output = Database(server.database(space), database.model)
        settings = {**WAYS[way], "SKDEPLOY_OUTPUT_URL": output.url}
        assert database.score_here("--interval", "daily", "--at", "2026-01-01", **settings).code == 0
        with full(disk, 100_000):
            told(database.score_here(*DAY, **settings), "No space left on device")
            assert output.rows("SELECT count(*) FROM predictions") == [(0,)]
        run = database.score_here(*DAY, **settings)
        assert run.code == 0, run.stderr
        output.execute("DELETE FROM predictions_ledger WHERE interval_start < '2026-02-01'")
        assert output.dump() == expected
        admin.execute(f"DROP DATABASE {space}".encode())
        admin.execute(f"DROP TABLESPACE {space}".encode())


def _give_to_server(folder: Path) -> None:
    import shutil

    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")


@pytest.fixture
def sqlite(tmp_path: Path, regressor_file: Path) -> Database:
    """2,000 records of a day in a file."""
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file, settings=dict(SMALL))
    database.fill(records(2000, days=1))
    return database


@pytest.mark.parametrize("way", WAYS)
def test_disk_full_over_sqlite(sqlite: Database, tmp_path: Path, way: str) -> None:
    """The same, of a file."""
    expected = undisturbed(sqlite)
    with small_disk(tmp_path / "small", 8) as disk:
        output = Database(f"sqlite:///{disk / 'predictions.db'}", sqlite.model)
        settings = {**WAYS[way], "SKDEPLOY_OUTPUT_URL": output.url}
        assert sqlite.score_here("--interval", "daily", "--at", "2026-01-01", **settings).code == 0
        with full(disk, 100_000):
            told(sqlite.score_here(*DAY, **settings), "disk is full")
        assert output.rows("SELECT count(*) FROM predictions") == [(0,)]
        run = sqlite.score_here(*DAY, **settings)
        assert run.code == 0, run.stderr
        output.execute("DELETE FROM predictions_ledger WHERE interval_start < '2026-02-01'")
        assert output.dump() == expected


@pytest.mark.parametrize("table", ["predictions", "trees"])
@pytest.mark.parametrize("way", WAYS)
def test_lock_of_somebody_else(database: Database, way: str, table: str) -> None:
    """It is waited for, and then named, with what to do; the interval is as it was, and a rerun completes."""
    assert database.score_here(*DAY, **WAYS[way]).code == 0
    before = database.dump()
    with psycopg.connect(database.url) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        run = database.score_here(*DAY, "--reprocess", "all", SKDEPLOY_LOCK_TIMEOUT="1", **WAYS[way])
        told(run, "lock timeout", "SKDEPLOY_LOCK_TIMEOUT")
        other.rollback()
    assert database.dump()["predictions"] == before["predictions"]
    assert database.score_here(*DAY, "--reprocess", "all", **WAYS[way]).code == 0
    assert database.dump() == before


@pytest.mark.parametrize("way", WAYS)
def test_lock_of_somebody_else_over_sqlite(sqlite: Database, way: str) -> None:
    """The same while another connection writes; what is completed is looked at without a lock."""
    assert sqlite.score_here(*DAY, **WAYS[way]).code == 0
    before = sqlite.dump()
    path = sqlite.url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        run = sqlite.score_here(*DAY, "--reprocess", "all", SKDEPLOY_LOCK_TIMEOUT="1", **WAYS[way])
        told(run, "database is locked", "SKDEPLOY_LOCK_TIMEOUT")
        assert statuses(sqlite.score_here(*DAY, SKDEPLOY_LOCK_TIMEOUT="1")) == ["skipped"]
        other.execute("ROLLBACK")
    assert sqlite.score_here(*DAY, "--reprocess", "all", **WAYS[way]).code == 0
    assert sqlite.dump() == before
