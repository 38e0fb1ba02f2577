"""What the scheduler does each time: score all that is due, with the model as it is now."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

from skdeploy.batch.chunks import Entry, Outcome
from skdeploy.batch.intervals import Interval
from skdeploy.batch.opening import Opened, open_job
from skdeploy.batch.plan import Due, due, lookback
from skdeploy.batch.run import attempt
from skdeploy.batch.schedule import run_schedule
from skdeploy.batch.stopping import told_to_stop
from skdeploy.batch.summary import code_of, exit_code, report
from skdeploy.errors import BatchError, ModelUnavailable, SettingsError
from skdeploy.signals import STOPPED

_log = logging.getLogger(__name__)

# The most intervals of one round, and so of one summary.
ROUND_INTERVALS = 100
# After what failed.
_RETRY = timedelta(seconds=60)


def main(environ: Mapping[str, str]) -> int:
    """Score each interval when it has ended, until SIGTERM; 0, or why it did not start."""
    with told_to_stop() as stop:
        try:
            # Everything is tried once before there is a schedule: a wrong setting is said at once.
            opened = open_job(environ, stop, reopened=True)
            _start(opened)
        except (SettingsError, ModelUnavailable, BatchError) as error:
            print(f"The scheduler does not start: {error}", file=sys.stderr)
            return code_of(error)
        batch = opened.batch
        run_schedule(
            opened.calendar,
            timedelta(seconds=batch.schedule_delay),
            lambda now: tick(environ, stop, now),
            stop,
            retry=_RETRY,
        )
    return 0


def tick(environ: Mapping[str, str], stop: threading.Event, now: datetime) -> None:
    """Score what is due at `now`, the oldest first; a summary per round goes to standard output.

    Finished intervals are looked back at when what is due is done. Raises what is wrong with the first
    interval that fails: those behind it are due the next time.
    """
    opened = open_job(environ, stop, reopened=True)
    back = opened.batch.schedule_lookback
    while _round(opened, now, back) and not stop.is_set():
        back = 0
        if opened.batch.watch_seconds:
            opened = open_job(environ, stop, reopened=True)


def _round(opened: Opened, now: datetime, back: int) -> int:
    """Score ROUND_INTERVALS at most, or one before the next poll; how many more are due."""
    before = opened.job.output.last(opened.job.name)
    found = _due(opened, now, before)
    if not found.intervals:
        return 0
    intervals = found.intervals
    if before is not None:
        intervals = intervals + lookback(opened.calendar, intervals[0], back)
    outcomes = _score(opened, intervals)
    code = exit_code(outcomes, opened.batch.max_rejected)
    report(opened.batch, opened.job, outcomes, code)
    last = outcomes[-1]
    if last.status != "completed" and code != STOPPED:
        raise BatchError(f"{last.interval.label} is {last.status}: {last.error}")
    return found.left_out


def _score(opened: Opened, intervals: list[Interval]) -> list[Outcome]:
    outcomes: list[Outcome] = []
    for interval in intervals:
        outcomes.append(attempt(opened.job, interval))
        if outcomes[-1].status != "completed":
            break
        counts = outcomes[-1].counts
        _log.info(
            "ScoredChunk %s: %d records, %d rejected", interval.label, counts.predicted, counts.rejected
        )
    return outcomes


def _due(opened: Opened, now: datetime, last: Entry | None) -> Due:
    """What has ended, and comes behind the last interval that was completed."""
    found = due(
        opened.calendar,
        now,
        timedelta(seconds=opened.batch.schedule_delay),
        None if last is None else last.interval,
        _start(opened),
        1 if opened.batch.watch_seconds else ROUND_INTERVALS,
    )
    if found.left_out:
        _log.info("%d intervals are due, and %d more behind them", len(found.intervals), found.left_out)
    return found


def _start(opened: Opened) -> datetime | None:
    """SKDEPLOY_SCHEDULE_START in the calendar's zone; SettingsError if its clock never showed that."""
    text = opened.batch.schedule_start
    try:
        return None if text is None else opened.calendar.parse(text)
    except ValueError as error:
        raise SettingsError(f"SKDEPLOY_SCHEDULE_START: {error}") from None
