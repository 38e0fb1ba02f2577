"""What the scheduler scores each time, over SQLite."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from skdeploy.batch.scheduled import ROUND_INTERVALS, main, tick
from skdeploy.errors import BatchError
from tests.batch.jobs import FIRST, Database, records
from tests.following import saved
from tests.live import ROOT, wait_until


@pytest.fixture
def database(tmp_path: Path, regressor_file: Path) -> Database:
    """Three days of records, scored daily without a delay."""
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file)
    database.settings = {
        "SKDEPLOY_INTERVAL": "daily",
        "SKDEPLOY_SCHEDULE_DELAY": "0",
        "SKDEPLOY_ENGINE": "sklearn",
    }
    database.fill(records(90, days=3))
    return database


def at(day: int, hour: int = 1) -> datetime:
    """A moment of a day, counted from the records' first."""
    return FIRST + timedelta(days=day, hours=hour)


def score(database: Database, now: datetime, **more: str) -> None:
    """One round of the scheduler."""
    tick(database.environment(**more), threading.Event(), now)


def completed(database: Database) -> list[str]:
    """The days that the ledger has as completed."""
    return [
        str(start)[:10]
        for start, status in database.ledger("interval_start, status")
        if status == "completed"
    ]


def test_the_first_round_scores_the_latest_day_alone(database: Database) -> None:
    """Without SKDEPLOY_SCHEDULE_START nothing older than the latest ended interval is touched."""
    score(database, at(2))
    assert completed(database) == ["2026-03-02"]


def test_missed_days_are_caught_up_with(database: Database) -> None:
    """After a time without the scheduler every missed day is scored, and nothing twice."""
    score(database, at(1))
    score(database, at(3))
    assert completed(database) == ["2026-03-01", "2026-03-02", "2026-03-03"]
    before = database.ledger("scored_at")
    score(database, at(3, hour=2))
    assert database.ledger("scored_at") == before


def test_the_schedule_begins_where_it_is_told(database: Database) -> None:
    """SKDEPLOY_SCHEDULE_START is the first interval; what is more than a round is scored in the next."""
    start = date(2026, 3, 1) - timedelta(days=ROUND_INTERVALS)
    score(database, at(3), SKDEPLOY_SCHEDULE_START=start.isoformat())
    days = [start + timedelta(days=day) for day in range(ROUND_INTERVALS + 3)]
    assert completed(database) == [day.isoformat() for day in days]


def test_late_records_are_looked_back_for(database: Database) -> None:
    """SKDEPLOY_SCHEDULE_LOOKBACK scores finished days anew when another one is due."""
    score(database, at(1))
    database.fill(records(5, days=1, first_id=1000))
    score(database, at(2), SKDEPLOY_SCHEDULE_LOOKBACK="1")
    assert database.ledger("rows_read") == [(35,), (30,)]


def test_a_delay_is_waited_for(database: Database) -> None:
    """An interval is due SKDEPLOY_SCHEDULE_DELAY seconds after its end, not before."""
    score(database, at(2, hour=1), SKDEPLOY_SCHEDULE_START="2026-03-02", SKDEPLOY_SCHEDULE_DELAY="7200")
    assert completed(database) == []
    score(database, at(2, hour=3), SKDEPLOY_SCHEDULE_START="2026-03-02", SKDEPLOY_SCHEDULE_DELAY="7200")
    assert completed(database) == ["2026-03-02"]


def test_the_first_failure_ends_a_round(database: Database) -> None:
    """What stands behind a failed interval waits for it, since it would never be due again."""
    score(database, at(1))
    database.execute("ALTER TABLE trees RENAME COLUMN age TO years")
    with pytest.raises(BatchError, match="no column age"):
        score(database, at(3))
    assert completed(database) == ["2026-03-01"]
    database.execute("ALTER TABLE trees RENAME COLUMN years TO age")
    score(database, at(3))
    assert completed(database) == ["2026-03-01", "2026-03-02", "2026-03-03"]


class _Published(threading.Event):
    """Another model takes the place of the file once an interval is completed: jobs ask this between them."""

    def __init__(self, database: Database, model: Path, other: Path) -> None:
        super().__init__()
        self._database, self._model, self._other = database, model, other

    def is_set(self) -> bool:
        if self._other.exists() and self._database.tables() and completed(self._database):
            self._other.replace(self._model)
        return False


@pytest.mark.parametrize("seconds", ["0", "60"])
def test_another_model_scores_the_next_interval(tmp_path: Path, seconds: str) -> None:
    """With SKDEPLOY_WATCH_SECONDS the scheduler polls before each interval; without, before each round."""
    model, other = tmp_path / "model.bin", tmp_path / "other.bin"
    old, new = saved(model, 1.0).version, saved(other, 2.0).version
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", model)
    database.settings = {"SKDEPLOY_INTERVAL": "daily", "SKDEPLOY_SCHEDULE_DELAY": "0"}
    database.fill(records(90, days=3))
    more = {"SKDEPLOY_SCHEDULE_START": "2026-03-01", "SKDEPLOY_WATCH_SECONDS": seconds}
    tick(database.environment(**more), _Published(database, model, other), at(3))
    last = old if seconds == "0" else new
    assert database.ledger("model_version") == [(old,), (last,), (last,)]


def test_a_start_that_never_was_is_said_at_once(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    """A day that the zone's calendar skipped is no first interval."""
    settings = database.environment(SKDEPLOY_EVENT_TZ="Pacific/Apia", SKDEPLOY_SCHEDULE_START="2011-12-30")
    assert main(settings) == 2
    assert "SKDEPLOY_SCHEDULE_START" in capsys.readouterr().err


def test_a_wrong_setting_is_said_at_once(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no schedule of a job that cannot be."""
    assert main(database.environment(SKDEPLOY_TIME_COLUMN="when")) == 4
    assert "no column when" in capsys.readouterr().err


def test_it_runs_until_sigterm(database: Database) -> None:
    """The process catches up, says what it did in JSON, and ends with 0."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).replace(hour=5)
    database.fill(records(10, days=0, first_id=500, start=yesterday))
    with subprocess.Popen(
        [sys.executable, "-m", "batch.schedule"],
        cwd=ROOT,
        env=database.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(lambda: bool(_ledger(database)), "an interval is completed", 60)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[0])["rows"]["predicted"] == 10


def _ledger(database: Database) -> list[str]:
    tables = database.rows("SELECT name FROM sqlite_master WHERE name = 'predictions_ledger'")
    return completed(database) if tables else []
