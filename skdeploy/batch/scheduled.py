"""What the scheduler does each time: score all that is due, with the model as it is now."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

from skdeploy.batch.chunks import Outcome
from skdeploy.batch.intervals import Interval
from skdeploy.batch.opening import Opened, open_job
from skdeploy.batch.plan import due, lookback
from skdeploy.batch.run import attempt
from skdeploy.batch.schedule import run_schedule
from skdeploy.batch.stopping import told_to_stop
from skdeploy.batch.summary import STOPPED, code_of, exit_code, report
from skdeploy.errors import BatchError, ModelUnavailable, SettingsError

_log = logging.getLogger(__name__)


def main(environ: Mapping[str, str]) -> int:
    """Score each interval when it has ended, until SIGTERM; 0, or why it did not start."""
    with told_to_stop() as stop:
        try:
            # Everything is tried once before there is a schedule: a wrong setting is said at once.
            opened = open_job(environ, stop)
        except (SettingsError, ModelUnavailable, BatchError) as error:
            print(f"The scheduler does not start: {error}", file=sys.stderr)
            return code_of(error)
        batch = opened.batch
        run_schedule(
            opened.calendar,
            timedelta(seconds=batch.schedule_delay),
            lambda now: tick(environ, stop, now),
            stop,
            retry=timedelta(seconds=batch.schedule_retry),
        )
    return 0


def tick(environ: Mapping[str, str], stop: threading.Event, now: datetime) -> None:
    """Score what is due at `now`, the oldest first; a summary per run goes to standard output.

    Raises what is wrong, of the first interval that fails: those behind it are then due the next time.
    """
    opened = open_job(environ, stop)
    intervals = _due(opened, now)
    if not intervals:
        return
    outcomes = _score(opened, intervals)
    code = exit_code(outcomes, opened.batch.max_rejected)
    report(opened.batch, opened.job, outcomes, code)
    last = outcomes[-1]
    if last.status != "completed" and code != STOPPED:
        raise BatchError(f"{last.interval.label} is {last.status}: {last.error}")


def _score(opened: Opened, intervals: list[Interval]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for interval in intervals:
        outcomes.append(attempt(opened.job, interval))
        if outcomes[-1].status != "completed":
            break
        counts = outcomes[-1].counts
        _log.info("Scored %s: %d records, %d rejected", interval.label, counts.predicted, counts.rejected)
    return outcomes


def _due(opened: Opened, now: datetime) -> list[Interval]:
    """What has ended and is not completed, behind the finished intervals that are looked back at."""
    batch, calendar = opened.batch, opened.calendar
    last = opened.job.output.last(opened.job.name)
    start = batch.schedule_start
    found = due(
        calendar,
        now,
        timedelta(seconds=batch.schedule_delay),
        None if last is None else last.interval,
        None if start is None else calendar.parse(start),
        batch.max_catchup,
    )
    if found.left_out:
        _log.warning("%d more intervals are due, and left for the next time", found.left_out)
    if not found.intervals or last is None:
        return found.intervals
    return lookback(calendar, found.intervals[0], batch.schedule_lookback) + found.intervals
