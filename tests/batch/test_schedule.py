"""The scheduler, in real time: intervals of parts of a second, or none that ends before the test does."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from skdeploy.batch.intervals import Calendar, Interval
from skdeploy.batch.plan import Partition
from skdeploy.batch.schedule import run_schedule
from skdeploy.errors import OutputError

ROOT = Path(__file__).parents[2]
MONTHS = Calendar("monthly", ZoneInfo("Europe/Berlin"), wall=True)
NEVER = timedelta(hours=1)


class Beats:
    """Intervals of so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.length = timedelta(seconds=seconds)

    def containing(self, moment: datetime) -> Interval:
        zero = datetime(2020, 1, 1, tzinfo=UTC)
        start = zero + (moment - zero) // self.length * self.length
        return Interval(start, start + self.length, "hourly")


class Ticks:
    """Counts its calls, each of which takes `seconds`; raises those of `errors` first."""

    def __init__(self, seconds: float = 0.0, errors: list[BaseException] | None = None) -> None:
        self.seconds, self.errors = seconds, errors or []
        self.moments: list[datetime] = []
        self.ended: list[datetime] = []
        self.at_once = 0

    def __call__(self, moment: datetime) -> None:
        self.moments.append(moment)
        self.at_once = max(self.at_once, len(self.moments) - len(self.ended))
        time.sleep(self.seconds)
        self.ended.append(datetime.now(UTC))
        if self.errors:
            raise self.errors.pop(0)


@contextmanager
def running(
    calendar: Partition, tick: Ticks, *, delay: float = 0.0, retry: timedelta = NEVER
) -> Iterator[Callable[[], float]]:
    """A scheduler in a thread; a function that stops it and says how many seconds that took."""
    stop = threading.Event()
    thread = threading.Thread(
        target=run_schedule, args=(calendar, timedelta(seconds=delay), tick, stop), kwargs={"retry": retry}
    )

    def end() -> float:
        begun = time.monotonic()
        stop.set()
        thread.join(20)
        assert not thread.is_alive()
        return time.monotonic() - begun

    thread.start()
    try:
        yield end
    finally:
        end()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_runs_at_once_and_then_at_each_end_plus_the_delay() -> None:
    """Never early, and soon after; the first time is for what was missed."""
    tick, beats, begun = Ticks(), Beats(1), datetime.now(UTC)
    with running(beats, tick, delay=0.3):
        wait_for(lambda: len(tick.moments) >= 4)
    first, *others = tick.moments[:4]
    assert first - begun < timedelta(seconds=0.9)
    for moment in others:
        late = moment - timedelta(seconds=0.3) - beats.containing(moment - timedelta(seconds=0.3)).start
        assert late < timedelta(seconds=0.9)
    assert len({beats.containing(moment - timedelta(seconds=0.3)) for moment in others}) == 3


def test_it_never_overlaps_itself() -> None:
    """A run that takes longer than intervals do is followed by the next when it has ended, at once."""
    tick = Ticks(seconds=0.5)
    with running(Beats(0.2), tick):
        wait_for(lambda: len(tick.ended) == 4)
    assert tick.at_once == 1
    pauses = [after - before for before, after in zip(tick.ended, tick.moments[1:], strict=False)]
    assert max(pauses) < timedelta(seconds=2)


def test_what_failed_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    """After the time that was set, as often as it takes; the log says since when, why and what then."""
    caplog.set_level("INFO")
    tick = Ticks(errors=[OutputError("disk full."), OutputError("disk full.")])
    with running(MONTHS, tick, retry=timedelta(seconds=0.3)):
        wait_for(lambda: "Next comes" in caplog.text)
    first, second, third = tick.moments
    assert timedelta(seconds=0.3) <= second - first < timedelta(seconds=2)
    assert timedelta(seconds=0.3) <= third - second < timedelta(seconds=2)
    since = first.isoformat(sep=" ", timespec="seconds")
    assert f"Scoring failed (in a row: 2, since {since}): disk full. Next attempt: " in caplog.text
    assert "Scoring works again: it had failed 2 times" in caplog.text
    assert f"Next comes {MONTHS.containing(third).label}, at " in caplog.text
    assert "Traceback" not in caplog.text


def test_the_next_end_does_not_wait_for_a_retry() -> None:
    """It comes first where an attempt after a failure would be later."""
    tick = Ticks(errors=[OutputError("disk full")] * 3)
    with running(Beats(0.3), tick, retry=NEVER):
        wait_for(lambda: len(tick.moments) >= 4)


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), ZeroDivisionError("postgresql://me:pw@host/db")]
)
def test_nothing_that_a_run_raises_ends_it(error: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    """Not even an exit; the traceback is in the log, without a password."""
    tick = Ticks(errors=[error])
    with running(MONTHS, tick, retry=timedelta(seconds=0.2)):
        wait_for(lambda: len(tick.moments) == 2)
    assert "Scoring raised what it should not:\nTraceback" in caplog.text
    assert type(error).__name__ in caplog.text
    assert ":pw" not in caplog.text


def test_told_to_stop_it_ends_within_a_second() -> None:
    """While nothing is scored; and it does not run again."""
    tick = Ticks()
    with running(MONTHS, tick) as stop:
        wait_for(lambda: len(tick.ended) == 1)
        assert stop() < 1
    assert len(tick.moments) == 1


def test_a_run_is_waited_for() -> None:
    """Whoever is told to stop while it scores ends what the run chooses to end, and begins nothing more."""
    tick = Ticks(seconds=1.0)
    with running(Beats(0.1), tick) as stop:
        wait_for(lambda: len(tick.moments) == 1)
        stop()
        assert len(tick.ended) == 1
    assert len(tick.moments) == 1


def test_what_a_stopped_run_leaves_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """An interrupted run is no failure to be paged for; its rest is due later."""
    tick = Ticks(seconds=0.5, errors=[OutputError("interrupted")])
    with running(MONTHS, tick) as stop:
        wait_for(lambda: len(tick.moments) == 1)
        stop()
    assert "The last run did not do all: interrupted. The rest is due at the next start" in caplog.text
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


PROGRAM = """
import signal, threading
from datetime import timedelta
from zoneinfo import ZoneInfo
from skdeploy.batch.intervals import Calendar
from skdeploy.batch.schedule import run_schedule

stop = threading.Event()
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *_: stop.set())
calendar = Calendar("monthly", ZoneInfo("UTC"), wall=False)
run_schedule(calendar, timedelta(), lambda moment: print("ticked", flush=True), stop)
print("ended", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_with_zero(number: signal.Signals) -> None:
    """Within a second, when its handler sets the event."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ticked\n"
            time.sleep(0.3)
            begun = time.monotonic()
            process.send_signal(number)
            assert process.stdout.readline() == "ended\n"
            assert time.monotonic() - begun < 1
            assert process.wait(20) == 0
        finally:
            process.kill()
