"""The job at each interval's end: APScheduler keeps the time, `plan` says which time it is.

A cron trigger of APScheduler runs twice, or not at all, when clocks are turned. A date trigger, set
anew after each run, cannot: it is told an instant.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_EXECUTED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

from skdeploy.batch.plan import Partition, next_due
from skdeploy.errors import SkdeployError
from skdeploy.redacting import redacted

_log = logging.getLogger(__name__)

# Seconds between looks at whether somebody said stop, or a run has ended.
_NAP = 0.1
# Seconds after which the scheduler looks at the clock at the latest.
_LOOK = 30.0

Tick = Callable[[datetime], None]


def run_schedule(
    calendar: Partition,
    delay: timedelta,
    tick: Tick,
    stop: threading.Event,
    *,
    retry: timedelta = timedelta(minutes=1),
) -> None:
    """Call `tick` at once, and `delay` after the end of each interval, until `stop` is set.

    tick    scores all that is due at the moment it is given, in UTC, and raises if it could not. It runs
            in a thread of its own and never twice at once; what becomes due while it runs has the next
            run follow directly. It should return soon once `stop` is set: that is waited for.
    retry   after a run that raised, the next comes this much later, if not earlier with an interval's end
    """
    # Its lines on jobs that are added and removed say nothing that ours do not.
    if logging.getLogger("apscheduler").level == logging.NOTSET:
        logging.getLogger("apscheduler").setLevel(logging.WARNING)
    _Schedule(calendar, delay, tick, stop, retry).run()


class _Schedule:
    """One job, which is armed again when it has run; all but the tick is done by the caller's thread."""

    def __init__(
        self, calendar: Partition, delay: timedelta, tick: Tick, stop: threading.Event, retry: timedelta
    ) -> None:
        self._calendar = calendar
        self._delay = delay
        self._tick = tick
        self._stop = stop
        self._retry = retry
        self._scheduler = BackgroundScheduler(timezone=UTC, executors={"default": ThreadPoolExecutor(1)})
        self._ended = threading.Event()
        self._began = datetime.now(UTC)
        self._error: BaseException | None = None
        self._failures = 0
        self._failing_since = self._began

    def run(self) -> None:
        # The event comes when APScheduler itself is done with the run: armed earlier, a run that is
        # due at once would be taken for a second instance, and dropped.
        self._scheduler.add_listener(lambda _: self._ended.set(), EVENT_JOB_EXECUTED | EVENT_JOB_ERROR)
        self._scheduler.start()
        try:
            _log.info("The scheduler has started, and begins with what was missed")
            self._arm(self._began)
            self._watch()
            _log.info("Told to stop: the scheduler waits for a run to end, if there is one")
        finally:
            self._stop.set()
            self._scheduler.shutdown(wait=True)
        if self._ended.is_set() and self._error is not None:
            _log.warning("The last run did not do all: %s. The rest is due at the next start", self._why())
        _log.info("The scheduler has stopped")

    def _watch(self) -> None:
        # Not stop.wait(): a signal's handler that calls stop.set() runs in this thread, and would wait
        # for ever for the lock that wait() has for a moment.
        look = time.monotonic() + _LOOK
        while not self._stop.is_set():
            if self._ended.is_set():
                self._ended.clear()
                self._arm(self._following())
            if time.monotonic() > look:
                # Timeouts do not see that a clock was set, or that the machine slept.
                self._scheduler.wakeup()
                look = time.monotonic() + _LOOK
            time.sleep(_NAP)

    def _arm(self, moment: datetime) -> None:
        self._scheduler.add_job(
            self._run,
            DateTrigger(moment, timezone=UTC),
            id="score",
            replace_existing=True,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=None,
        )

    def _run(self) -> None:
        if self._stop.is_set():
            return
        self._began, self._error = datetime.now(UTC), None
        try:
            self._tick(self._began)
        except BaseException as error:  # also what would end a thread silently, such as sys.exit
            self._error = error
            if not isinstance(error, SkdeployError):
                _log.error("Scoring raised what it should not:\n%s", redacted(traceback.format_exc()))

    def _following(self) -> datetime:
        """When to run next, after what came of the last run; both are logged."""
        if self._error is not None:
            return self._after_failure()
        if self._failures:
            _log.info("Scoring works again: it had failed %d times", self._failures)
            self._failures = 0
        # From when it began: what came due since then may not have been seen.
        due = next_due(self._calendar, self._began, self._delay)
        interval = self._calendar.containing(self._began - self._delay)
        shown = due.astimezone(interval.end.tzinfo)
        _log.info("Done with what was due. Next comes %s, at %s", interval.label, _text(shown))
        return due

    def _after_failure(self) -> datetime:
        now = datetime.now(UTC)
        if not self._failures:
            self._failing_since = self._began
        self._failures += 1
        again = min(now + self._retry, next_due(self._calendar, now, self._delay))
        _log.error(
            "Scoring failed (in a row: %d, since %s): %s. Next attempt: %s. Nothing is lost: what is due "
            "stays due until it is scored",
            self._failures,
            _text(self._failing_since),
            self._why(),
            _text(again),
        )
        return again

    def _why(self) -> str:
        return (redacted(str(self._error)) or type(self._error).__name__).rstrip(".")


def _text(moment: datetime) -> str:
    return moment.isoformat(sep=" ", timespec="seconds")
