"""What a run says in the end: a JSON document, and an exit code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from skdeploy.batch.chunks import Outcome
from skdeploy.batch.job import Job

DONE = 0
FAILED = 1
WRONGLY_CALLED = 2
NO_MODEL = 3
NO_DATABASE = 4
HELD = 5
REJECTED = 6
# 128 and the number of SIGTERM, as shells have it.
STOPPED = 143

MEANINGS = {
    DONE: "every interval is scored, or was before",
    FAILED: "an interval failed; the others are scored",
    WRONGLY_CALLED: "the command line or a setting is wrong; the message says which",
    NO_MODEL: "there is no model, and nothing was written",
    NO_DATABASE: "the input or the output cannot be used at all, and nothing was written",
    HELD: "another run is scoring an interval",
    REJECTED: "the intervals are scored, but more records were rejected than MAX_REJECTED allows",
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
        "intervals": [_interval(outcome) for outcome in outcomes],
    }
    return json.dumps(document)


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
