"""`python -m batch.score` from files to files."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.batch.files.conftest import Place
from tests.batch.files.test_input import put
from tests.batch.files.writing import Seen
from tests.batch.jobs import FIRST, Database, records, statuses

DAY = ("--interval", "daily", "--at", "2026-03-01")
ALL = ("--interval", "daily", "--backfill", "2026-03-01", "2026-03-03")


def job(url: str, output: str, model: Path, **settings: str) -> Database:
    """The command line over files; a database only by its name."""
    environment = {
        "SKDEPLOY_INPUT_TABLE": "",
        "SKDEPLOY_OUTPUT_URL": output,
        "SKDEPLOY_ENGINE": "sklearn",
        "SKDEPLOY_JOB": "trees",
        **settings,
    }
    return Database(url, model, settings=environment)


def table(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows).set_column(
        1, "at", pa.array([row["at"] for row in rows], pa.timestamp("us", "UTC"))
    )


def fill(place: Place, count: int = 90, name: str = "in/a.parquet") -> None:
    put(place, name, table(records(count)), row_group_size=20)


def predictions(url: str) -> dict[int, float]:
    """By record, of all that counts."""
    seen = Seen(url)
    found: dict[int, float] = {}
    for manifest in seen.manifests():
        for part in manifest.models[manifest.current or ""].parts["predictions"]:
            read = seen.read(part.name)
            found |= dict(zip(read["id"].to_pylist(), read["prediction"].to_pylist(), strict=True))
    return found


def test_files_are_scored_as_a_database_is(place: Place, regressor_file: Path, tmp_path: Path) -> None:
    """The same predictions, rejects and summary; a second run does nothing."""
    rows = records(90)
    rows[4]["kind"] = "palm"
    put(place, "in/a.parquet", table(rows))
    files = job(place("in"), place("out"), regressor_file)
    database = Database(
        f"sqlite:///{tmp_path / 'trees.db'}", regressor_file, settings={"SKDEPLOY_ENGINE": "sklearn"}
    )
    database.fill(rows)
    ours, theirs = files.score_here(*ALL), database.score_here(*ALL, SKDEPLOY_JOB="trees")
    assert ours.code == theirs.code == 0, ours.stderr
    for run in (ours, theirs):
        for interval in run.summary["intervals"]:
            interval.pop("seconds")
    assert ours.summary == theirs.summary
    assert ours.summary["rows"] == {"read": 90, "predicted": 89, "rejected": 1}
    assert predictions(place("out")) == dict(database.rows("SELECT id, prediction FROM predictions"))
    seen = Seen(place("out"))
    (part,) = [name for name in seen.names() if "rejects" in name]
    columns = ["row_key", "column_name", "reason", "expected", "got"]
    assert [tuple(row.values()) for row in seen.read(part).select(columns).to_pylist()] == database.rows(
        f"SELECT {', '.join(columns)} FROM predictions_rejects"
    )
    before = seen.exact()
    assert set(statuses(files.score_here(*ALL))) == {"skipped"}
    assert seen.exact() == before


def test_late_records_are_picked_up(place: Place, regressor_file: Path) -> None:
    """A file that came later is read by a reprocess, and replaces the day's predictions whole."""
    fill(place)
    files = job(place("in"), place("out"), regressor_file)
    assert files.score_here(*ALL).code == 0
    late = [{**records(1)[0], "id": 1000, "at": FIRST + timedelta(hours=1)}]
    put(place, "in/late.parquet", table(late))
    run = files.score_here(*DAY, "--reprocess", "completed")
    assert (run.code, run.summary["rows"]["read"]) == (0, 31)
    assert set(predictions(place("out"))) == {*range(90), 1000}


def test_settings_that_cannot_be_are_said(folder: Place, tmp_path: Path, regressor_file: Path) -> None:
    """Predictions among the records, a table of files, a column that is not there."""
    fill(folder)
    for output in ("", folder("in"), folder("in/out/")):
        run = job(folder("in"), output, regressor_file).score_here(*DAY)
        assert (run.code, "SKDEPLOY_OUTPUT_URL is SKDEPLOY_INPUT_URL or a folder in it" in run.stderr) == (
            2,
            True,
        )
    run = job(folder("in"), folder("out"), regressor_file, SKDEPLOY_INPUT_TABLE="trees").score_here(*DAY)
    assert (run.code, "unset SKDEPLOY_INPUT_TABLE" in run.stderr) == (2, True)
    run = job(folder("in"), folder("out"), regressor_file, SKDEPLOY_KEY_COLUMNS="number").score_here(*DAY)
    assert (run.code, "has no column 'number'; it has id, at, size" in run.stderr) == (4, True)
    assert not (tmp_path / "out").exists()


def test_files_go_into_a_database_and_back(folder: Place, tmp_path: Path, regressor_file: Path) -> None:
    """Input and output may be of either kind."""
    fill(folder)
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file)
    assert job(folder("in"), database.url, regressor_file).score_here(*ALL).code == 0
    scored = dict(database.rows("SELECT id, prediction FROM predictions"))
    assert len(scored) == 90
    database.fill(records(90))
    run = job(database.url, folder("out"), regressor_file, SKDEPLOY_INPUT_TABLE="trees").score_here(*ALL)
    assert run.code == 0, run.stderr
    assert predictions(folder("out")) == scored


@pytest.mark.heavy
def test_a_job_that_is_killed_leaves_what_an_undisturbed_one_leaves(
    place: Place, regressor_file: Path
) -> None:
    """At random moments of a reprocess: manifests speak of whole days always; in the end all is equal."""
    rows = records(6_000)
    put(place, "in/a.parquet", table(rows), row_group_size=5000)
    environment = {"SKDEPLOY_CHUNK_RECORDS": "100"}
    undisturbed = job(place("in"), place("undisturbed"), regressor_file, **environment)
    killed = job(place("in"), place("killed"), regressor_file, **environment)
    for one in (undisturbed, killed):
        assert one.score_here(*ALL).code == 0
    whole = predictions(place("undisturbed"))
    began = time.monotonic()
    assert undisturbed.score(*ALL, "--reprocess", "all").code == 0
    seconds = time.monotonic() - began
    moments = random.Random(5)
    for _ in range(4):
        process = killed.start(*ALL, "--reprocess", "all")
        try:
            process.wait(moments.uniform(0.5, 1.0) * seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
        assert predictions(place("killed")) == whole
    assert killed.score(*ALL, "--reprocess", "all").code == 0
    assert predictions(place("killed")) == whole
    ours, theirs = (
        {part_of(name) for name in Seen(place(part)).names()} for part in ("killed", "undisturbed")
    )
    assert ours == theirs
    for manifest in Seen(place("killed")).manifests():
        assert manifest.swept


def part_of(name: str) -> str:
    """A part's name without its generation, which counts how often the day was completed."""
    path = name.removesuffix(".parquet")
    return path if path[-13] == "-" else path.rpartition(".")[0]


def test_parquet_s_own_readers_see_what_was_written(
    folder: Place, tmp_path: Path, regressor_file: Path
) -> None:
    """The folder is a partitioned table to whoever reads it whole, while nobody writes."""
    fill(folder)
    assert job(folder("in"), folder("out"), regressor_file).score_here(*ALL).code == 0
    found = pq.read_table(tmp_path / "out" / "predictions")
    assert sorted(found["id"].to_pylist()) == list(range(90))
    assert set(found["interval"].to_pylist()) == {"2026-03-01", "2026-03-02", "2026-03-03"}
    assert set(found["job"].to_pylist()) == set(found["job_name"].to_pylist()) == {"trees"}
