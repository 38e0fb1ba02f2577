"""What a run says in the end: a JSON document, and an exit code."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from skdeploy.batch.chunks import Outcome
from skdeploy.batch.job import Job
from skdeploy.batch.metrics import publish
from skdeploy.config import BatchSettings
from skdeploy.drift import drifted
from skdeploy.errors import BatchError, ModelUnavailable, SettingsError
from skdeploy.signals import STOPPED

_log = logging.getLogger(__name__)

DONE = 0
FAILED = 1
WRONGLY_CALLED = 2
NO_MODEL = 3
NO_DATABASE = 4
HELD = 5
REJECTED = 6

MEANINGS = {
    DONE: "every interval is scored, or was before",
    FAILED: "an interval failed; the others are scored",
    WRONGLY_CALLED: "the command line or a setting is wrong; the message says which",
    NO_MODEL: "there is no model, and nothing was written",
    NO_DATABASE: "the input or the output cannot be used at all, and nothing was written",
    HELD: "another run is scoring an interval",
    REJECTED: "the intervals are scored, but more records were rejected than SKDEPLOY_MAX_REJECTED allows",
    STOPPED: "told to stop; the interval under way is undone, or can be gone on with",
}


def exit_code(outcomes: Sequence[Outcome], most_rejected: float) -> int:
    """The worst that happened."""
    statuses = {outcome.status for outcome in outcomes}
    if "interrupted" in statuses:
        return STOPPED
    if statuses & {"failed", "not tried"}:
        return FAILED
    if "held" in statuses:
        return HELD
    return REJECTED if any(too_many_rejected(outcome, most_rejected) for outcome in outcomes) else DONE


def too_many_rejected(outcome: Outcome, most: float) -> bool:
    """Whether a larger share of the interval's records than `most` was rejected, or all of them."""
    rejected, read = outcome.counts.rejected, outcome.counts.read
    return rejected > 0 and (rejected == read or rejected > most * read)


def code_of(error: Exception) -> int:
    """Why there is no job at all."""
    if isinstance(error, SettingsError):
        return WRONGLY_CALLED
    return NO_MODEL if isinstance(error, ModelUnavailable) else NO_DATABASE


def report(batch: BatchSettings, job: Job, outcomes: Sequence[Outcome], code: int) -> None:
    """Tell Prometheus, if it is to be told, and say on standard output what became of a run."""
    publish(batch, job, outcomes, code)
    print(summary(job, outcomes, code, _without_time(job, outcomes)), flush=True)


def _without_time(job: Job, outcomes: Sequence[Outcome]) -> int | None:
    """None where nothing was read, or it could not be asked."""
    if not any(outcome.status == "completed" for outcome in outcomes):
        return None
    try:
        count = job.input.without_time()
    except BatchError:
        return None
    if count:
        _log.warning("%d records have no event time, and belong to no interval", count)
    return count


def summary(job: Job, outcomes: Sequence[Outcome], code: int, without_time: int | None) -> str:
    """One line of JSON.

    without_time   records that belong to no interval, because they have no event time
    """
    passport = job.model.passport
    document = {
        "job": job.name,
        "model": {
            "name": passport.name,
            "version": passport.version,
            "sha256": job.model.digest,
            "engine": job.model.engine.name,
        },
        "exit_code": code,
        "meaning": MEANINGS[code],
        "rows": {name: sum(_rows(outcome)[name] for outcome in outcomes) for name in _ROWS},
        "rows_without_event_time": without_time,
        "drift": _drift(job),
        "intervals": [_interval(outcome) for outcome in outcomes],
    }
    return json.dumps(document)


def _drift(job: Job) -> dict[str, float]:
    """By column, the population stability index of all that the run scored, where it says anything."""
    tally = job.scorer.drift
    if tally is None:
        return {}
    found = drifted(tally.meter.sketch, tally.counts)
    return {name: round(one.psi, 4) for name, one in found.items() if one.psi is not None}


_ROWS = ("read", "predicted", "rejected")


def _rows(outcome: Outcome) -> dict[str, int]:
    return {name: getattr(outcome.counts, name) for name in _ROWS}


def _interval(outcome: Outcome) -> dict[str, Any]:
    interval = outcome.interval
    document: dict[str, Any] = {
        "interval": interval.label,
        "start": interval.start.isoformat(),
        "end": interval.end.isoformat(),
        "status": outcome.status,
        "rows": _rows(outcome),
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.resumed:
        document["resumed"] = True
    if outcome.error:
        document["error"] = outcome.error
    return document
