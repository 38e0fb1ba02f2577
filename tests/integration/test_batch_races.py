"""Two jobs at once, over PostgreSQL and SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.databases import running_postgres
from tests.batch.forking import Died, forks
from tests.batch.jobs import Database, records

pytestmark = pytest.mark.heavy

DAY = ("--interval", "daily", "--at", "2026-03-01")
NEXT = ("--interval", "daily", "--at", "2026-03-02")
SMALL = {"SKDEPLOY_CHUNK_RECORDS": "20", "SKDEPLOY_ENGINE": "sklearn"}
WAYS = {"whole": {"SKDEPLOY_LARGE_INTERVAL": "1000000"}, "staged": {"SKDEPLOY_LARGE_INTERVAL": "0"}}
HELD = 5


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory, regressor_file: Path) -> Iterator[Database]:
    """Two days of 300 records on a real server."""
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        database = Database(server.create_database("trees"), regressor_file, settings=SMALL)
        database.fill(records(600, days=2))
        yield database


@pytest.fixture
def sqlite(tmp_path: Path, regressor_file: Path) -> Database:
    """The same in a file."""
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file, settings=SMALL)
    database.fill(records(600, days=2))
    return database


def one_writes(runs: list[Died]) -> bool:
    """Whether one of two runs completed the interval, and the other one says that it did not."""
    statuses = sorted(run.summary["intervals"][0]["status"] for run in runs)
    codes = {run.summary["intervals"][0]["status"]: run.code for run in runs}
    return statuses in (["completed", "held"], ["completed", "skipped"]) and codes.get("held", HELD) == HELD


def race(database: Database, folder: Path, way: str) -> None:
    """Ten pairs of runs of one interval, each pair over tables that are not there yet."""
    run = database.score_here(*DAY, SKDEPLOY_OUTPUT_TABLE=f"{way}_alone")
    assert run.code == 0, run.stderr
    expected = database.dump(f"{way}_alone")
    with forks(folder, database.environment()) as forked:
        for place in range(10):
            table = f"{way}_{place}"
            runs = forked.together([DAY, DAY], database.environment(SKDEPLOY_OUTPUT_TABLE=table, **WAYS[way]))
            assert one_writes(runs), [(run.code, run.stdout, run.stderr) for run in runs]
            assert database.dump(table) == expected


@pytest.mark.parametrize("way", WAYS)
def test_one_of_two_runs_writes_over_postgres(postgres: Database, tmp_path: Path, way: str) -> None:
    """The other one is told that the interval is held, or finds it completed."""
    race(postgres, tmp_path, way)


@pytest.mark.parametrize("way", WAYS)
def test_one_of_two_runs_writes_over_sqlite(sqlite: Database, tmp_path: Path, way: str) -> None:
    """The same where the database has one writer at a time."""
    race(sqlite, tmp_path, way)


@pytest.mark.parametrize("way", WAYS)
def test_two_intervals_at_once(postgres: Database, tmp_path: Path, way: str) -> None:
    """Runs of different intervals do not hinder each other."""
    run = postgres.score_here(
        *DAY[:2], "--backfill", "2026-03-01", "2026-03-02", SKDEPLOY_OUTPUT_TABLE=f"both_{way}"
    )
    assert run.code == 0, run.stderr
    with forks(tmp_path, postgres.environment()) as forked:
        for place in range(3):
            table = f"at_once_{way}_{place}"
            runs = forked.together(
                [DAY, NEXT], postgres.environment(SKDEPLOY_OUTPUT_TABLE=table, **WAYS[way])
            )
            assert [run.code for run in runs] == [0, 0], [run.stderr for run in runs]
            assert postgres.dump(table) == postgres.dump(f"both_{way}")
