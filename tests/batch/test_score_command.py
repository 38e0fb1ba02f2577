"""`python -m batch.score` over SQLite: which intervals it scores, and what it leaves in the database."""

from __future__ import annotations

import signal
from datetime import timedelta
from pathlib import Path

import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import skdeploy
from skdeploy.schema import RecordReader
from skdeploy.scoring import Scorer
from tests.batch.jobs import FIRST, Database, records, statuses
from tests.conftest import small_frame, small_pipeline
from tests.live import wait_until

DAY = ("--interval", "daily", "--at", "2026-03-01")
ALL = ("--interval", "daily", "--backfill", "2026-03-01", "2026-03-03")


@pytest.fixture
def database(tmp_path: Path, regressor_file: Path) -> Database:
    """Thirty records on each of three days."""
    database = Database(
        f"sqlite:///{tmp_path / 'trees.db'}", regressor_file, settings={"SKDEPLOY_ENGINE": "sklearn"}
    )
    database.fill(records(90))
    return database


@pytest.fixture(scope="session")
def other_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another version of the same model."""
    frame = small_frame()
    target = frame["age"] * -1.0
    path = tmp_path_factory.mktemp("other") / "tree.bin"
    skdeploy.save(small_pipeline(LinearRegression()).fit(frame, target), frame, target, path, name="tree")
    return path


def ids(database: Database, table: str = "predictions") -> list[int]:
    return [row[0] for row in database.rows(f"SELECT id FROM {table} ORDER BY id")]


def ids_of_day(place: int) -> list[int]:
    end = FIRST + timedelta(days=place + 1)
    return sorted(row["id"] for row in records(90) if end - timedelta(days=1) <= row["at"] < end)


def test_an_interval_is_scored(database: Database, regressor_file: Path) -> None:
    """The day's records alone have predictions: those that the model gives, and what tells their origin."""
    run = database.score_here(*DAY)
    assert run.code == 0, run.stderr
    model = skdeploy.load(regressor_file)
    names = model.schema.names
    of_day = {row["id"]: [row[name] for name in names] for row in records(90) if row["id"] in ids_of_day(0)}
    found = database.rows(
        "SELECT id, prediction, model_name, model_version, interval_start, interval_end FROM predictions"
    )
    read = RecordReader(model.schema).read([dict(zip(names, of_day[row[0]], strict=True)) for row in found])
    expected = Scorer(model).predict(read.table).values
    assert sorted(row[0] for row in found) == sorted(of_day)
    assert [row[1] for row in found] == pytest.approx(expected, rel=1e-12)
    day = ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")
    assert {row[2:] for row in found} == {("tree", model.passport.version, *day)}


def test_the_summary_is_one_line_of_json(database: Database, regressor_file: Path) -> None:
    """It is all there is on standard output, and says what became of what."""
    run = database.score_here(*ALL)
    model = skdeploy.load(regressor_file)
    assert run.stdout.count("\n") == 1
    assert run.summary["job"] == "tree"
    assert run.summary["model"]["sha256"] == model.digest
    assert run.summary["rows"] == {"read": 90, "predicted": 90, "rejected": 0}
    assert run.summary["rows_without_event_time"] == 0
    assert [(one["interval"], one["status"], one["rows"]["read"]) for one in run.summary["intervals"]] == [
        (f"2026-03-0{day}", "completed", 30) for day in (1, 2, 3)
    ]


def test_the_ledger_has_a_row_per_interval(database: Database, regressor_file: Path) -> None:
    """What was read, predicted and rejected, by which model, and when."""
    database.score_here(*ALL)
    rows = database.ledger("status, rows_read, rows_predicted, rows_rejected, model_sha256, is_current")
    digest = skdeploy.load(regressor_file).digest
    assert rows == [("completed", 30, 30, 0, digest, 1)] * 3
    assert all(moment > "2026" for [moment] in database.ledger("scored_at"))


def test_a_rerun_is_a_no_op(database: Database) -> None:
    """A completed interval is skipped, and nothing in the database changes."""
    database.score_here(*ALL)
    before = database.predictions(), database.ledger("*")
    run = database.score_here(*ALL)
    assert (run.code, statuses(run)) == (0, ["skipped"] * 3)
    assert (database.predictions(), database.ledger("*")) == before


def test_completed_intervals_are_replaced_as_wholes(database: Database) -> None:
    """With --reprocess completed: records that vanished have no predictions any more, changed ones others."""
    database.score_here(*DAY)
    gone, changed = ids_of_day(0)[:2]
    database.execute(f"DELETE FROM trees WHERE id = {gone}")
    database.execute(f"UPDATE trees SET age = age + 1 WHERE id = {changed}")
    before = dict(database.rows("SELECT id, prediction FROM predictions"))
    run = database.score_here(*ALL, "--reprocess", "completed")
    after = dict(database.rows("SELECT id, prediction FROM predictions"))
    assert statuses(run) == ["completed", "skipped", "skipped"]
    assert sorted(after) == ids_of_day(0)[1:]
    assert {key for key in after if after[key] != before[key]} == {changed}
    assert database.ledger("rows_read") == [(29,)]


@pytest.mark.parametrize("large", ["0", "1000000"])
def test_what_somebody_took_out_of_the_ledger_is_scored_anew(database: Database, large: str) -> None:
    """The rows that are there of it are replaced as a whole; a record that vanished has none any more."""
    database.settings["SKDEPLOY_LARGE_INTERVAL"] = large
    database.score_here(*ALL)
    gone = ids_of_day(0)[-1]
    database.execute(f"DELETE FROM trees WHERE id = {gone}")
    database.execute("DELETE FROM predictions_ledger")
    run = database.score_here(*ALL)
    assert run.code == 0, run.stderr
    assert sorted(row[0] for row in database.rows("SELECT id FROM predictions")) == [
        key for key in range(90) if key != gone
    ]


def test_failed_intervals_are_tried_again_alone(database: Database) -> None:
    """With --reprocess failed what was never scored stays so; a failure is forgotten when it is mended."""
    database.execute("ALTER TABLE trees RENAME COLUMN size TO girth")
    failing = "abs(CASE id WHEN 0 THEN -9223372036854775807 - 1 END)"
    database.execute(f"CREATE VIEW renamed AS SELECT *, {failing} AS size FROM trees")
    run = database.score_here(*DAY, SKDEPLOY_INPUT_TABLE="renamed")
    assert (run.code, statuses(run)) == (1, ["failed"])
    assert database.ledger("status, is_current, rows_read") == [("failed", 0, 0)]
    assert database.predictions() == []
    database.execute("ALTER TABLE trees RENAME COLUMN girth TO size")
    run = database.score_here(*ALL, "--reprocess", "failed")
    assert statuses(run) == ["completed", "skipped", "skipped"]
    assert database.ledger("status, rows_read, error") == [("completed", 30, None)]


def test_everything_is_scored_anew_if_asked(database: Database) -> None:
    """With --reprocess all completed and new intervals alike."""
    database.score_here(*DAY)
    run = database.score_here(*ALL, "--reprocess", "all")
    assert statuses(run) == ["completed"] * 3
    assert ids(database) == list(range(90))


def test_late_records_are_looked_back_for(database: Database) -> None:
    """--lookback scores the intervals before as wholes, the oldest first."""
    database.score_here(*ALL)
    database.fill(records(6, days=2, first_id=1000))
    run = database.score_here("--interval", "daily", "--at", "2026-03-03", "--lookback", "2")
    assert statuses(run) == ["completed", "completed", "skipped"]
    assert database.ledger("rows_read") == [(33,), (33,), (30,)]
    assert len(ids(database)) == 96


def test_a_backfill_goes_backwards_and_looks_back_from_its_first_day(database: Database) -> None:
    """In the order that was asked for; lookback begins before the earliest, and scores none twice."""
    run = database.score_here(
        "--interval", "daily", "--backfill", "2026-03-02", "2026-03-03", "--backwards", "--lookback", "1"
    )
    labels = [interval["interval"] for interval in run.summary["intervals"]]
    assert labels == ["2026-03-01", "2026-03-03", "2026-03-02"]
    assert statuses(run) == ["completed"] * 3


def test_a_dry_run_writes_nothing(database: Database, tmp_path: Path) -> None:
    """It says what would be done and why, on a database without tables, and leaves none."""
    files = sorted(tmp_path.iterdir())
    run = database.score_here(*ALL, "--dry-run")
    assert run.code == 0, run.stderr
    assert run.stdout.splitlines()[0] == "2026-03-01: score, never completed, 30 records"
    assert "3 of 3 intervals would be scored by tree" in run.stdout
    assert database.tables() == ["trees"]
    assert sorted(tmp_path.iterdir()) == files


def test_a_dry_run_after_a_run_names_what_is_done(database: Database) -> None:
    """What is completed would be skipped."""
    database.score_here(*DAY)
    run = database.score_here(*ALL, "--dry-run")
    assert run.stdout.splitlines()[0] == "2026-03-01: skip, completed before"
    assert "2 of 3 intervals would be scored" in run.stdout
    assert len(database.ledger("*")) == 1


def test_an_empty_interval_is_completed(database: Database) -> None:
    """It has a row in the ledger, and is not asked again."""
    run = database.score_here("--interval", "daily", "--at", "2026-02-01")
    assert (run.code, statuses(run), run.summary["rows"]["read"]) == (0, ["completed"], 0)
    assert database.ledger("status, rows_read") == [("completed", 0)]
    assert database.predictions() == []


@pytest.mark.parametrize("large", ["0", "1000000"])
def test_a_new_model_shows_its_own_predictions(database: Database, other_file: Path, large: str) -> None:
    """predictions_current has per interval the rows of the model that scored it last, no vanished one."""
    database.settings["SKDEPLOY_LARGE_INTERVAL"] = large
    database.score_here(*ALL)
    gone = ids_of_day(0)[0]
    database.execute(f"DELETE FROM trees WHERE id = {gone}")
    run = database.score_here(*DAY, "--reprocess", "all", SKDEPLOY_MODEL_URI=str(other_file))
    assert run.code == 0, run.stderr
    other = skdeploy.load(other_file).passport.version
    current = database.rows("SELECT id, model_version FROM predictions_current ORDER BY id")
    assert [row[0] for row in current] == [key for key in range(90) if key != gone]
    assert [row[0] for row in current if row[1] == other] == ids_of_day(0)[1:]
    assert len(database.predictions()) == 90 + 29
    assert sorted(database.ledger("is_current")) == [(0,), (1,), (1,), (1,)]


@pytest.mark.parametrize("large", ["0", "1000000"])
@pytest.mark.parametrize("another_model", [False, True])
def test_a_record_that_moved_is_in_one_interval(
    database: Database, other_file: Path, large: str, another_model: bool
) -> None:
    """When its event time was changed, and its new interval was scored, it is current nowhere else."""
    database.settings["SKDEPLOY_LARGE_INTERVAL"] = large
    database.score_here(*ALL)
    moved = ids_of_day(0)[0]
    database.execute(f"UPDATE trees SET at = '2026-03-03T10:00:00Z' WHERE id = {moved}")
    model = {"SKDEPLOY_MODEL_URI": str(other_file)} if another_model else {}
    run = database.score_here("--interval", "daily", "--at", "2026-03-03", "--reprocess", "all", **model)
    assert run.code == 0, run.stderr
    assert ids(database, "predictions_current") == list(range(90))
    starts = f"SELECT interval_start FROM predictions_current WHERE id = {moved}"
    assert database.rows(starts) == [("2026-03-03T00:00:00Z",)]
    database.score_here(*ALL, "--reprocess", "all", **model)
    assert ids(database, "predictions_current") == list(range(90))


def test_other_jobs_are_left_alone(database: Database) -> None:
    """Two jobs write the same records to the same table, each with a ledger of its own."""
    database.score_here(*ALL, SKDEPLOY_JOB="one")
    database.score_here(*DAY, SKDEPLOY_JOB="two")
    database.score_here(*ALL, "--reprocess", "all", SKDEPLOY_JOB="one")
    assert database.rows("SELECT job, count(*) FROM predictions GROUP BY job") == [("one", 90), ("two", 30)]


def test_probabilities_beside_labels(database: Database, tmp_path: Path) -> None:
    """With SKDEPLOY_PROBA=1 there is a column per class, and they add up to 1."""
    frame = small_frame()
    target = (frame["age"] > 4).map({True: "old", False: "young"})
    path = tmp_path / "classes.bin"
    skdeploy.save(small_pipeline(LogisticRegression()).fit(frame, target), frame, target, path, name="tree")
    database.model = path
    run = database.score_here(*DAY, SKDEPLOY_PROBA="1")
    assert run.code == 0, run.stderr
    rows = database.rows("SELECT prediction, probability_old, probability_young FROM predictions")
    assert len(rows) == 30
    assert all(old + young == pytest.approx(1) for _, old, young in rows)
    assert all((label == "old") == (old > young) for label, old, young in rows)


def test_sigterm_undoes_the_interval_under_way(database: Database) -> None:
    """The process says so, ends with 143, and a rerun completes what is left."""
    database.fill(records(8_000, days=1, first_id=1000, start=FIRST + timedelta(days=1)))
    process = database.start(*ALL, SKDEPLOY_CHUNK_RECORDS="5")
    with process:
        _wait_for_ledger(database)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert '"interrupted"' in out
    assert "Told to stop" in err
    assert [row[0] for row in database.ledger("interval_start")] == ["2026-03-01T00:00:00Z"]
    assert len(database.predictions()) == 30
    run = database.score_here(*ALL)
    assert statuses(run) == ["skipped", "completed", "completed"]
    assert len(database.predictions()) == 8_090


def _wait_for_ledger(database: Database) -> None:
    def first_day_is_completed() -> bool:
        return "predictions_ledger" in database.tables() and bool(database.ledger("status"))

    wait_until(first_day_is_completed, "the first day is completed", 60)
