"""A database that is only known through SQLAlchemy: MariaDB."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from sklearn.linear_model import LinearRegression

import skdeploy
from tests.batch.databases import running_mariadb
from tests.batch.forking import forks
from tests.batch.jobs import Database, records, statuses
from tests.conftest import small_frame, small_pipeline

pytestmark = pytest.mark.heavy

DAY = ("--interval", "daily", "--at", "2026-03-01")
ALL = ("--interval", "daily", "--backfill", "2026-03-01", "2026-03-03")
SMALL = {"SKDEPLOY_CHUNK_RECORDS": "20", "SKDEPLOY_ENGINE": "sklearn"}
WAYS = {"whole": {"SKDEPLOY_LARGE_INTERVAL": "1000000"}, "staged": {"SKDEPLOY_LARGE_INTERVAL": "0"}}
HELD = 5


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory, regressor_file: Path) -> Iterator[Database]:
    """Three days of 200 records, some of them bad."""
    with running_mariadb(tmp_path_factory.mktemp("mariadb")) as url:
        database = Database(url, regressor_file, settings=SMALL)
        fill(database)
        yield database


def fill(database: Database) -> None:
    database.fill(records(600))
    database.execute("UPDATE trees SET kind = 'palm' WHERE id % 50 = 3")


@pytest.mark.parametrize("way", WAYS)
def test_predictions_are_those_of_sqlite(
    database: Database, tmp_path: Path, regressor_file: Path, way: str
) -> None:
    """The same rows, rejects and ledger, also when they are replaced."""
    other = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file, settings=SMALL)
    fill(other)
    for more in ((), ("--reprocess", "all")):
        for one in (database, other):
            run = one.score_here(*ALL, *more, SKDEPLOY_OUTPUT_TABLE=f"same_{way}", **WAYS[way])
            assert (run.code, run.summary["rows"]["rejected"]) == (0, 12), run.stderr
        assert database.dump(f"same_{way}") == other.dump(f"same_{way}")


@pytest.mark.parametrize("way", WAYS)
def test_a_record_that_moved_is_in_one_interval(database: Database, tmp_path: Path, way: str) -> None:
    """Another model's predictions of its former interval go as well."""
    table = f"moved_{way}"
    frame = small_frame()
    model = tmp_path / "tree.bin"
    pipeline = small_pipeline(LinearRegression()).fit(frame, -frame["age"])
    skdeploy.save(pipeline, frame, -frame["age"], model, name="tree")
    database.score_here(*ALL, SKDEPLOY_OUTPUT_TABLE=table, **WAYS[way])
    database.execute("UPDATE trees SET at = '2026-03-03 10:00:00' WHERE id = 0")
    for uri in (database.model, model):
        run = database.score_here(
            "--interval", "daily", "--at", "2026-03-03", "--reprocess", "all",
            SKDEPLOY_OUTPUT_TABLE=table, SKDEPLOY_MODEL_URI=str(uri), **WAYS[way],
        )  # fmt: skip
        assert run.code == 0, run.stderr
        current = database.rows(f"SELECT id, interval_start FROM {table}_current ORDER BY id")
        assert current[0] == (0, "2026-03-03T00:00:00Z")
        assert [row[0] for row in current] == [key for key in range(600) if key % 50 != 3]
    database.execute("UPDATE trees SET at = '2026-03-01 00:00:00' WHERE id = 0")


@pytest.mark.parametrize("way", WAYS)
def test_kills(database: Database, tmp_path: Path, way: str) -> None:
    """After SIGKILL and a rerun everything is as if nothing had been."""
    assert database.score_here(*DAY, SKDEPLOY_OUTPUT_TABLE="undisturbed", **WAYS[way]).code == 0
    expected = database.dump("undisturbed")
    moments = random.Random(7)
    with forks(tmp_path, database.environment()) as forked:
        seconds = forked.run(
            DAY, database.environment(SKDEPLOY_OUTPUT_TABLE=f"first_{way}", **WAYS[way])
        ).seconds
        for place in range(8):
            environ = database.environment(SKDEPLOY_OUTPUT_TABLE=f"killed_{way}_{place}", **WAYS[way])
            forked.run(DAY, environ, moments.uniform(seconds / 4, seconds))
            while (again := forked.run(DAY, environ)).code == HELD:
                pass
            assert again.code == 0, again.stderr
            assert database.dump(f"killed_{way}_{place}") == expected


def test_one_of_two_runs_writes(database: Database, tmp_path: Path) -> None:
    """A row that is locked is an interval that is held; two intervals do not hinder each other."""
    both = ("--interval", "daily", "--at", "2026-03-02")
    assert database.score_here(*DAY, SKDEPLOY_OUTPUT_TABLE="raced").code == 0
    with forks(tmp_path, database.environment()) as forked:
        for _ in range(5):
            runs = forked.together([both, both], database.environment(SKDEPLOY_OUTPUT_TABLE="raced"))
            found = sorted(run.summary["intervals"][0]["status"] for run in runs)
            assert found in (["completed", "held"], ["completed", "skipped"]), [run.stderr for run in runs]
            database.execute("DELETE FROM raced_ledger WHERE interval_start LIKE '2026-03-02%'")
        again = (*both, "--reprocess", "all")
        runs = forked.together([DAY + again[4:], again], database.environment(SKDEPLOY_OUTPUT_TABLE="raced"))
        assert [run.code for run in runs] == [0, 0], [run.stderr for run in runs]


def test_a_lock_of_somebody_else_is_named(database: Database) -> None:
    """It is waited for SKDEPLOY_LOCK_TIMEOUT seconds."""
    assert database.score_here(*DAY, SKDEPLOY_OUTPUT_TABLE="locked").code == 0
    with database.engine().connect() as other:
        other.exec_driver_sql("SELECT * FROM locked FOR UPDATE")
        run = database.score_here(
            *DAY, "--reprocess", "all", SKDEPLOY_OUTPUT_TABLE="locked", SKDEPLOY_LOCK_TIMEOUT="1"
        )
    assert (run.code, statuses(run)) == (1, ["failed"])
    assert "Lock wait timeout" in run.stderr
    assert "SKDEPLOY_LOCK_TIMEOUT" in run.stderr
