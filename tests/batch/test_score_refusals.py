"""`python -m batch.score` over SQLite: records, tables and settings that it does not take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skdeploy
from tests.batch.jobs import Database, records, statuses
from tests.conftest import small_frame, small_pipeline

DAY = ("--interval", "daily", "--at", "2026-03-01")
SECRET = "hunter2-correct-horse"


@pytest.fixture
def database(tmp_path: Path, regressor_file: Path) -> Database:
    """Thirty records of one day."""
    database = Database(
        f"sqlite:///{tmp_path / 'trees.db'}", regressor_file, settings={"SKDEPLOY_ENGINE": "sklearn"}
    )
    database.fill(records(30, days=1))
    return database


def reasons(database: Database) -> list[tuple[Any, ...]]:
    rows = database.rows("SELECT row_key, column_name, reason, expected, got FROM predictions_rejects")
    return sorted(rows, key=str)


def test_bad_records_are_rejected_beside_good_ones(database: Database) -> None:
    """Every bad cell has a row with its reason; the good records' predictions are not touched by them."""
    database.score_here(*DAY)
    good = dict(database.rows("SELECT id, prediction FROM predictions WHERE id > 2"))
    database.execute("UPDATE trees SET age = 2.9, kind = 'palm' WHERE id = 1")
    database.execute("UPDATE trees SET age = 'twelve' WHERE id = 2")
    database.execute("UPDATE trees SET kind = NULL WHERE id = 0")
    run = database.score_here(*DAY, "--reprocess", "all")
    assert (run.code, run.summary["rows"]) == (0, {"read": 30, "predicted": 27, "rejected": 3})
    assert dict(database.rows("SELECT id, prediction FROM predictions")) == good
    assert reasons(database) == [
        ('{"id": 0}', "kind", "null", 'string, one of "ash", "elm", "oak"', "null"),
        ('{"id": 1}', "age", "type", "integer", "number 2.9"),
        (
            '{"id": 1}',
            "kind",
            "category",
            'string, one of "ash", "elm", "oak"',
            'string "palm" (not seen in training)',
        ),
        ('{"id": 2}', "age", "type", "integer", 'string "twelve"'),
    ]
    assert database.ledger("status, rows_rejected") == [("completed", 3)]


def test_rejects_go_when_records_are_mended(database: Database) -> None:
    """An interval's rejects are replaced with it."""
    database.execute("UPDATE trees SET kind = 'palm' WHERE id = 1")
    assert database.score_here(*DAY, SKDEPLOY_MAX_REJECTED="0.01").code == 6
    database.execute("UPDATE trees SET kind = 'oak' WHERE id = 1")
    assert database.score_here(*DAY, "--reprocess", "all", SKDEPLOY_MAX_REJECTED="0.01").code == 0
    assert database.rejects() == []


def test_an_interval_of_bad_records_alone_is_said(database: Database) -> None:
    """All are rejected: it is completed, so that it is not tried for ever, and the exit code is 6."""
    database.execute("UPDATE trees SET kind = 'palm'")
    run = database.score_here(*DAY)
    assert (run.code, statuses(run)) == (6, ["completed"])
    assert run.summary["rows"] == {"read": 30, "predicted": 0, "rejected": 30}
    assert len(database.rejects()) == 30
    assert database.score_here(*DAY).code == 0


def test_a_key_that_is_null_or_stands_twice_is_rejected(database: Database) -> None:
    """Neither of two records with one key is scored, whatever chunks they come in; a null is no key."""
    database.execute("CREATE TABLE loose AS SELECT * FROM trees")
    database.execute("UPDATE loose SET id = 4 WHERE id = 5")
    database.execute("UPDATE loose SET id = NULL WHERE id = 9")
    for size in ("3", "5", "100"):
        run = database.score_here(
            *DAY, "--reprocess", "all", SKDEPLOY_INPUT_TABLE="loose", SKDEPLOY_CHUNK_RECORDS=size
        )
        assert run.summary["rows"] == {"read": 30, "predicted": 27, "rejected": 3}, run.stderr
        assert [row[0] for row in reasons(database)] == ['{"id": 4}', '{"id": 4}', '{"id": null}']
        keys = {row[0] for row in database.rows("SELECT id FROM predictions")}
        assert keys == set(range(30)) - {4, 5, 9}


def test_what_is_no_key_at_all_is_said(database: Database) -> None:
    """A column that hardly tells records apart is named before memory is full of them."""
    run = database.score_here(*DAY, SKDEPLOY_KEY_COLUMNS="kind", SKDEPLOY_CHUNK_RECORDS="4")
    assert (run.code, statuses(run)) == (1, ["failed"])
    assert "kind: that is no key" in run.stderr
    assert database.rows("SELECT * FROM predictions") == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SKDEPLOY_KEY_COLUMNS": "number"}, "no column number. It has id, at, size, kind, age"),
        ({"SKDEPLOY_TIME_COLUMN": "when"}, "no column when"),
        ({"SKDEPLOY_INPUT_TABLE": "shrubs"}, "shrubs"),
        (
            {"SKDEPLOY_INPUT_TABLE": "", "SKDEPLOY_INPUT_QUERY": "SELECT id, at, size, kind FROM trees"},
            "no column age",
        ),
        ({"SKDEPLOY_INPUT_TABLE": "", "SKDEPLOY_INPUT_QUERY": "SELEKT 1"}, "syntax error"),
        ({"SKDEPLOY_TIME_COLUMN": "kind"}, "SKDEPLOY_TIME_COLUMN"),
    ],
)
def test_an_input_that_does_not_fit_is_named(
    database: Database, change: Mapping[str, str], said: str
) -> None:
    """The exit code is 4, the message says what is missing, and no table was made."""
    run = database.score_here(*DAY, **change)
    assert run.code == 4
    assert said in run.stderr
    assert database.tables() == ["trees"]


def test_a_query_stands_in_for_a_table(database: Database) -> None:
    """SKDEPLOY_INPUT_QUERY may name columns anew, filter, and hold colons and percent signs."""
    query = "SELECT id AS tree, at, size, kind, age FROM trees WHERE kind NOT LIKE 'e%:x' AND id < 7;"
    run = database.score_here(
        *DAY, SKDEPLOY_INPUT_TABLE="", SKDEPLOY_INPUT_QUERY=query, SKDEPLOY_KEY_COLUMNS="tree"
    )
    assert run.code == 0, run.stderr
    assert [row[0] for row in database.rows("SELECT tree FROM predictions ORDER BY tree")] == list(range(7))


@pytest.mark.parametrize(
    ("written", "zone", "in_march"),
    [
        ("strftime('%Y-%m-%dT%H:%M:%S-05:00', at)", "America/New_York", 30),
        ("strftime('%Y-%m-%d %H:%M:%S', at)", "America/New_York", 30),
        ("strftime('%Y-%m-%dT%H:%M:%SZ', at)", "America/New_York", 23),
        ("CAST(strftime('%s', at) AS INTEGER)", "UTC", 30),
        ("CAST(strftime('%s', at) AS REAL) + 0.25", "America/New_York", 23),
        ("date(at)", "Asia/Tokyo", 30),
    ],
)
def test_event_times_of_sqlite(database: Database, written: str, zone: str, in_march: int) -> None:
    """Texts with a zone and seconds since 1970 are instants, without one a clock's of SKDEPLOY_EVENT_TZ."""
    database.execute(f"CREATE TABLE timed AS SELECT id, {written} AS at, size, kind, age FROM trees")
    database.table = "timed"
    run = database.score_here(
        "--interval", "daily", "--backfill", "2026-02-28", "2026-03-02", SKDEPLOY_EVENT_TZ=zone
    )
    assert run.code == 0, run.stderr
    found = {row["interval"]: row["rows"]["read"] for row in run.summary["intervals"]}
    assert found == {"2026-02-28": 30 - in_march, "2026-03-01": in_march, "2026-03-02": 0}
    assert run.summary["rows_without_event_time"] == 0


def test_records_without_an_event_time_are_counted(database: Database) -> None:
    """They belong to no interval; so do values that are none, even if SQLite makes a moment of them."""
    database.execute("UPDATE trees SET at = NULL WHERE id = 3")
    database.execute("UPDATE trees SET at = 'now' WHERE id = 0")
    database.execute("UPDATE trees SET at = '2026-03-01 10:00:00' WHERE id = 5")
    database.execute("UPDATE trees SET at = 17 WHERE id = 6")
    run = database.score_here(*DAY)
    assert run.summary["rows_without_event_time"] == 4
    assert run.summary["rows"]["read"] == 26
    assert "4 records have no event time" in run.stderr


def test_an_event_time_without_a_zone_needs_one(database: Database) -> None:
    """SKDEPLOY_EVENT_TZ is named in the message; where the column has a zone it may be left out."""
    assert database.score_here(*DAY, SKDEPLOY_EVENT_TZ="").code == 0
    database.execute("UPDATE trees SET at = replace(at, 'Z', '')")
    run = database.score_here(*DAY, SKDEPLOY_EVENT_TZ="")
    assert run.code == 2
    assert "SKDEPLOY_EVENT_TZ is not set, and at has no time zone" in run.stderr


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE predictions (id BIGINT, note TEXT)", "lacks job"),
        ("ALTER TABLE predictions RENAME COLUMN prediction TO forecast", "lacks prediction"),
        ("ALTER TABLE predictions ADD COLUMN note TEXT", "has note"),
    ],
)
def test_an_output_table_of_another_shape_is_refused(database: Database, statement: str, said: str) -> None:
    """It is named with what differs, the exit code is 4, and nothing of it is changed."""
    if not statement.startswith("CREATE"):
        database.score_here(*DAY)
    database.execute(statement)
    before = database.rows("SELECT * FROM predictions")
    run = database.score_here(*DAY, "--reprocess", "all")
    assert run.code == 4
    assert "The table predictions" in run.stderr
    assert said in run.stderr
    assert database.rows("SELECT * FROM predictions") == before


def test_an_output_table_of_another_key_is_refused(database: Database) -> None:
    """Also if the key's column has the same name and another type: 7 and "7" are two keys, or one."""
    database.score_here(*DAY)
    query = "SELECT 'tree ' || id AS id, at, size, kind, age FROM trees"
    for options in ((), ("--dry-run",)):
        run = database.score_here(*DAY, *options, SKDEPLOY_INPUT_TABLE="", SKDEPLOY_INPUT_QUERY=query)
        assert run.code == 4
        assert "has id as BIGINT, not TEXT" in run.stderr


def refuses_thirteen(frame: pd.DataFrame) -> pd.DataFrame:
    """What a pipeline may do with a value that fits its column."""
    if (frame["age"] == 13).any():
        raise ValueError("thirteen is unlucky")
    return frame


def test_a_record_on_which_the_pipeline_raises_is_rejected(database: Database, tmp_path: Path) -> None:
    """Alone, however many there are, with a reason that is none of its cells'."""
    frame = small_frame()
    pipeline = make_pipeline(FunctionTransformer(refuses_thirteen), small_pipeline(LinearRegression()))
    database.model = tmp_path / "unlucky.bin"
    skdeploy.save(pipeline.fit(frame, frame["age"]), frame, frame["age"], database.model, name="tree")
    database.fill(records(400, days=1, first_id=1000))
    database.execute("UPDATE trees SET age = 13 WHERE id = 3 OR id BETWEEN 1000 AND 1119")
    run = database.score_here(*DAY)
    assert run.summary["rows"] == {"read": 430, "predicted": 309, "rejected": 121}, run.stderr
    assert reasons(database)[-1][:4] == ('{"id": 3}', None, "unscorable", "a prediction")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"SKDEPLOY_INPUT_URL": ""}, "SKDEPLOY_INPUT_URL is not set"),
        ({"SKDEPLOY_OUTPUT_URL": f"nosuch://u:{SECRET}@x/y"}, "SKDEPLOY_OUTPUT_URL"),
        ({"SKDEPLOY_KEY_COLUMNS": ""}, "SKDEPLOY_KEY_COLUMNS is not set"),
        ({"SKDEPLOY_TIME_COLUMN": ""}, "SKDEPLOY_TIME_COLUMN is not set"),
        ({"SKDEPLOY_INPUT_TABLE": ""}, "Neither SKDEPLOY_INPUT_TABLE nor SKDEPLOY_INPUT_QUERY"),
        ({"SKDEPLOY_INPUT_QUERY": "SELECT 1"}, "SKDEPLOY_INPUT_TABLE and SKDEPLOY_INPUT_QUERY are both set"),
        ({"SKDEPLOY_EVENT_TZ": "Mars/Olympus"}, "SKDEPLOY_EVENT_TZ='Mars/Olympus'"),
        ({"SKDEPLOY_CHUNK_RECORDS": "0"}, "SKDEPLOY_CHUNK_RECORDS='0'"),
        ({"SKDEPLOY_MAX_REJECTED": "2"}, "SKDEPLOY_MAX_REJECTED='2'"),
        ({"SKDEPLOY_PROBA": "1"}, "SKDEPLOY_PROBA"),
    ],
)
def test_wrong_settings_are_named(database: Database, change: Mapping[str, str], said: str) -> None:
    """The exit code is 2, the message names the variable and no secret, and nothing was written."""
    run = database.score_here(*DAY, **change)
    assert run.code == 2, run.stderr
    assert said in run.stderr
    assert SECRET not in run.stderr + run.stdout
    assert database.tables() == ["trees"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--interval", "daily"),
        ("--at", "2026-03-01"),
        ("--interval", "yearly", "--at", "2026-03-01"),
        ("--interval", "daily", "--at", "yesterday"),
        ("--interval", "daily", "--backfill", "2026-03-02", "2026-03-01"),
    ],
)
def test_wrong_command_lines_end_with_2(database: Database, arguments: tuple[str, ...]) -> None:
    """Nothing is scored, and standard error says why."""
    run = database.score_here(*arguments)
    assert run.code == 2
    assert run.stderr
    assert not run.stdout


def test_without_a_model_nothing_is_written(database: Database, tmp_path: Path) -> None:
    """The exit code is 3."""
    run = database.score_here(*DAY, SKDEPLOY_MODEL_URI=str(tmp_path / "none.bin"))
    assert run.code == 3
    assert database.tables() == ["trees"]


def test_no_password_is_in_any_output(database: Database) -> None:
    """Neither where a connection fails nor where it does not, at any level of logging."""
    urls = [
        f"postgresql://user:{SECRET}@127.0.0.1:1/none",
        f"postgresql+psycopg://user:{SECRET}@127.0.0.1:1/none?options=-c%20x%3D{SECRET}",
        f"postgresql://user:{SECRET}@127.0.0.1:1/none?nosuch={SECRET}",
        f"postgresql://user:{SECRET}@[::bad/none",
        f"postgresql:/user:{SECRET}@127.0.0.1:1/none",
    ]
    for name in ("SKDEPLOY_INPUT_URL", "SKDEPLOY_OUTPUT_URL"):
        for url in urls:
            run = database.score_here(*DAY, SKDEPLOY_LOG_LEVEL="debug", **{name: url})
            assert run.code in (2, 4), run.stderr
            assert SECRET not in run.stderr + run.stdout
