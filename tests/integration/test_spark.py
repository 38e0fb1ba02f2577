"""The job on a real cluster of Spark, a master and two workers: what it leaves is what one machine leaves."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg import sql

from examples.servers.postgres import Postgres
from examples.servers.spark import Cluster
from tests.batch.clusters import executors, running_spark, score, start, submit
from tests.batch.databases import running_postgres
from tests.batch.files.writing import Seen
from tests.batch.jobs import FIRST, Database, Finished, finished, records
from tests.live import wait_until

pytestmark = pytest.mark.heavy

# Seconds; most of it is the start of Java's processes.
PATIENCE = 240
DAY = ("--interval", "daily", "--at", "2026-03-01")
# Machines of a cluster may be set to any zone; 02:30 is no time there on this day.
SKIPPED = datetime(2026, 3, 8, 2, 30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TZ", "America/New_York")
        with running_spark(tmp_path_factory.mktemp("spark")) as running:
            yield running


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
def trees(postgres: Postgres, regressor_file: Path) -> Database:
    """Twenty parts of records; one machine's predictions are in the table "one"."""
    database = _database(postgres, regressor_file, "trees")
    database.fill(records(20_000, days=1))
    database.settings["SKDEPLOY_CHUNK_RECORDS"] = "100"
    run = database.score(*DAY, SKDEPLOY_OUTPUT_TABLE="one")
    assert run.summary["rows"]["predicted"] == 20_000, run.stderr
    return database


def _database(postgres: Postgres, model: Path, name: str) -> Database:
    return Database(postgres.create_database(name), model)


def _require_same(run: Finished, other: Finished) -> None:
    assert run.code == 0, run.stderr
    assert other.code == 0, other.stderr
    assert run.summary["rows"] == other.summary["rows"]
    assert run.summary["drift"] == pytest.approx(other.summary["drift"], abs=1e-3)


def _require_same_rows(database: Database, one: str, other: str, keys: str) -> None:
    """Row by row; predictions may differ by as much as other chunks make them."""
    order = f"ORDER BY {keys}"
    rows = [database.rows(f"SELECT {keys}, * FROM {table} {order}") for table in (one, other)]
    assert len(rows[0]) == len(rows[1])
    numbers = [[value for row in table for value in row if isinstance(value, float)] for table in rows]
    rest = [[[value for value in row if not isinstance(value, float)] for row in table] for table in rows]
    assert rest[0] == rest[1]
    np.testing.assert_allclose(numbers[0], numbers[1], rtol=1e-9)
    assert database.rejects(one) == database.rejects(other)


def _fill_with_what_is_hard(database: Database) -> None:
    """Keys that doubles lose and a clock skips, decimals, nulls, bad cells, keys that are none."""
    rows = records(3000, days=1)
    database.execute(
        "CREATE TABLE trees "
        "(id bigint, seen timestamp, at timestamptz, size numeric, kind text, age smallint)"
    )
    for place, row in enumerate(rows):
        row |= {"id": 2**53 + row["id"], "seen": SKIPPED}
        row |= {"age": None} if place == 11 else {"kind": "it's"} if place == 12 else {}
        row |= {"seen": None} if place == 13 else {"size": "NaN"} if place == 14 else {}
    rows[100]["id"] = rows[101]["id"] = rows[102]["id"]
    with database.engine().begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO trees VALUES (%(id)s, %(seen)s, %(at)s, %(size)s, %(kind)s, %(age)s)", rows
        )


def test_a_database_gets_what_one_machine_writes(
    cluster: Cluster, postgres: Postgres, regressor_file: Path
) -> None:
    """Through JDBC, in parts: the same predictions, rejects and ledger entry, and nothing beside them."""
    database = _database(postgres, regressor_file, "hard")
    _fill_with_what_is_hard(database)
    job = database.environment(
        SKDEPLOY_CHUNK_RECORDS="50", SKDEPLOY_KEY_COLUMNS="id,seen", SKDEPLOY_OUTPUT_TABLE="many"
    )
    one = database.score(
        *DAY, SKDEPLOY_CHUNK_RECORDS="50", SKDEPLOY_KEY_COLUMNS="id,seen", SKDEPLOY_OUTPUT_TABLE="one"
    )
    many = score(cluster, job, *DAY)
    _require_same(one, many)
    assert one.summary["rows"]["rejected"] > 0
    _require_same_rows(database, "one", "many", "id, seen")
    ledger = "interval_start, interval_end, model_sha256, status, is_current, rows_read, rows_predicted"
    assert database.ledger(ledger, "one") == database.ledger(ledger, "many")
    assert database.rows("SELECT tablename FROM pg_tables WHERE tablename LIKE '%%staging%%'") == []
    assert database.rows("SELECT * FROM many_progress") == []


def _write_files(folder: Path) -> None:
    """A folder per kind, wall-clock times, a key twice, bad cells."""
    rows = records(2000, days=2, start=FIRST.replace(tzinfo=None))
    rows[5]["age"] = None
    rows[20]["id"] = rows[900]["id"]
    table = pa.Table.from_pylist(rows)
    pq.write_to_dataset(table, folder, partition_cols=["kind"])


def test_files_get_what_one_machine_writes(cluster: Cluster, tmp_path: Path, regressor_file: Path) -> None:
    """By spark-submit, from Parquet files of a partitioned folder into files that one manifest names."""
    source = tmp_path / "records"
    _write_files(source)
    database = Database(str(source), regressor_file)
    job = {
        "SKDEPLOY_INPUT_TABLE": "",
        "SKDEPLOY_EVENT_TZ": "America/New_York",
        "SKDEPLOY_CHUNK_RECORDS": "50",
    }
    places = {name: tmp_path / name for name in ("one", "many")}
    one = database.score(*DAY, **job, SKDEPLOY_OUTPUT_URL=str(places["one"]))
    many = submit(cluster, database.environment(**job, SKDEPLOY_OUTPUT_URL=str(places["many"])), *DAY)
    _require_same(one, many)
    assert one.summary["rows"]["read"] == 1000
    assert one.summary["rows"]["rejected"] > 0
    for kind, key in (("predictions", "id"), ("rejects", "row_key")):
        first, second = (_sorted(place, kind, key) for place in places.values())
        assert first.schema == second.schema
        assert [_without_floats(row) for row in first.to_pylist()] == [
            _without_floats(row) for row in second.to_pylist()
        ]
        if kind == "predictions":
            np.testing.assert_allclose(first["prediction"], second["prediction"], rtol=1e-9)
    # Parts are in the order of their keys, as they are from one machine.
    ids = Seen(str(places["many"])).table()["id"].to_pylist()
    assert ids == sorted(ids)


def _sorted(place: Path, kind: str, key: str) -> pa.Table:
    return Seen(str(place)).table(kind).sort_by(key)


def _without_floats(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if not isinstance(value, float)}


def test_a_killed_executor_and_a_killed_worker_change_nothing(cluster: Cluster, trees: Database) -> None:
    """With some parts done an executor is killed, later a worker: each record is predicted once."""
    job = trees.environment(SKDEPLOY_OUTPUT_TABLE="killed")
    with staging(trees, "killed") as staged, start(cluster, job, *DAY) as process:
        wait_until(lambda: staged() > 0, "a part is staged", PATIENCE)
        os.kill(executors(cluster)[0], signal.SIGKILL)
        before = staged()
        wait_until(lambda: staged() > before, "another part is staged", PATIENCE)
        cluster.workers[0].kill()
        run = finished(process, timeout=PATIENCE)
    cluster.workers[0].start()
    assert run.code == 0, run.stderr
    assert run.summary["rows"]["predicted"] == 20_000
    _require_same_rows(trees, "one", "killed", "id")


def test_a_driver_that_is_killed_or_stopped_leaves_nothing(cluster: Cluster, trees: Database) -> None:
    """Killed, then run again and told to stop, then run by one machine: what an undisturbed run leaves."""
    job = trees.environment(SKDEPLOY_OUTPUT_TABLE="driver")
    with staging(trees, "driver") as staged:
        for signal_number, code in ((signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)):
            with start(cluster, job, *DAY) as process:
                wait_until(lambda: staged() == 0, "what was staged before is gone", PATIENCE)
                wait_until(lambda: staged() > 0, "a part is staged", PATIENCE)
                process.send_signal(signal_number)
                assert finished(process, timeout=PATIENCE).code == code
            assert trees.rows("SELECT * FROM driver") == []
        assert staged() == 0
    assert trees.score(*DAY, SKDEPLOY_OUTPUT_TABLE="driver").code == 0
    _require_same_rows(trees, "one", "driver", "id")


@contextlib.contextmanager
def staging(database: Database, table: str) -> Iterator[Staged]:
    """A `Staged` whose session ends with the block."""
    staged = Staged(database, table)
    try:
        yield staged
    finally:
        staged.close()


class Staged:
    """Asks how many records attempts have committed, in a session of its own: polling must cost little."""

    def __init__(self, database: Database, table: str) -> None:
        self._connection = psycopg.connect(database.url, autocommit=True)
        self._like = f"{table}\\_staging\\_%"

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def __call__(self) -> int:
        tables = self._connection.execute(
            "SELECT tablename FROM pg_tables WHERE tablename LIKE %s AND tablename NOT LIKE '%%_rejects'",
            (self._like,),
        ).fetchall()
        with contextlib.suppress(psycopg.errors.UndefinedTable):  # it is gone by now
            for (name,) in tables:
                counted = self._connection.execute(
                    sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name))
                ).fetchone()
                return int(counted[0]) if counted else 0
        return 0
