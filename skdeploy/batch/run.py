"""Several intervals, one after the other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

from skdeploy.batch.chunks import Counts, Entry, Outcome
from skdeploy.batch.intervals import Interval
from skdeploy.batch.job import Job
from skdeploy.batch.plan import Decision
from skdeploy.errors import BatchError, Interrupted, PredictionFailed

_log = logging.getLogger(__name__)

# What fails this often in a row will fail the next time as well.
_MOST_IN_A_ROW = 3


def run(job: Job, decisions: Iterable[Decision], told: Callable[[Outcome], None]) -> list[Outcome]:
    """Score what is to be scored, and tell each outcome as soon as it is known.

    An interval that fails leaves the others alone; after three in a row the rest is "not tried".
    """
    outcomes: list[Outcome] = []
    for decision in decisions:
        outcome = _one(job, decision, outcomes)
        outcomes.append(outcome)
        told(outcome)
    return outcomes


def _one(job: Job, decision: Decision, before: Sequence[Outcome]) -> Outcome:
    interval = decision.interval
    if not decision.score:
        return Outcome(interval, "skipped")
    if job.stop.is_set():
        return Outcome(interval, "interrupted")
    failed = [outcome.status in ("failed", "not tried") for outcome in before[-_MOST_IN_A_ROW:]]
    if len(failed) == _MOST_IN_A_ROW and all(failed):
        return Outcome(interval, "not tried")
    return attempt(job, interval, again=decision.again)


def attempt(job: Job, interval: Interval, *, again: bool = True) -> Outcome:
    """Score an interval; what goes wrong is an outcome, in the log, and in the ledger.

    again   see `Job.score`
    """
    began = time.monotonic()
    try:
        return job.score(interval, again=again)
    except Interrupted as error:
        _log.warning("%s", error)
        return Outcome(interval, "interrupted", Counts(), time.monotonic() - began)
    except (BatchError, PredictionFailed) as error:
        _log.error("%s failed: %s", interval.label, error)
        message = str(error)
    except Exception as error:
        # Its message may hold records' values; the traceback is for the log alone.
        _log.exception("%s failed", interval.label)
        message = f"{type(error).__name__}; the log says where"
    _note(job, interval, message)
    return Outcome(interval, "failed", Counts(), time.monotonic() - began, message)


def _note(job: Job, interval: Interval, message: str) -> None:
    try:
        job.output.fail(job.task(interval), message)
    except BatchError as error:
        _log.error("The ledger does not say that %s failed: %s", interval.label, error)


def ledger(job: Job, intervals: Sequence[Interval]) -> dict[Interval, Entry]:
    """What the ledger says of these intervals, which are in order of time, either way."""
    if not intervals:
        return {}
    found = job.output.entries(job.name, min(intervals).start, max(intervals).end)
    return {entry.interval: entry for entry in found}
