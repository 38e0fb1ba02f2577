"""Which intervals are scored: of those that somebody names, and of those that time has brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, Protocol, get_args

from skdeploy.batch.chunks import Entry
from skdeploy.batch.intervals import Calendar, Interval, as_utc

Reprocess = Literal["completed", "failed", "all"]


class Decision(NamedTuple):
    """Whether an interval is scored, and why (not), for a person.

    again   even if it is completed when its turn comes; else another run's work would be done twice
    """

    interval: Interval
    score: bool
    reason: str
    again: bool = False


class Due(NamedTuple):
    """What a scheduler has to score now, the oldest first; how many more are due that it leaves for later."""

    intervals: list[Interval]
    left_out: int


class Partition(Protocol):
    """Of a `Calendar`, what it takes to know when the next interval is due."""

    def containing(self, moment: datetime) -> Interval:
        """The interval that `moment` is in."""


def choose(
    wanted: Sequence[Interval], entries: Mapping[Interval, Entry], reprocess: Reprocess | None = None
) -> list[Decision]:
    """One decision per interval of `wanted`, in its order.

    entries     what the ledger says; a run that died left no entry
    reprocess   None: what is not completed, whatever became of it; "completed": what is completed, to be
                replaced; "failed": what failed, not what was never scored; "all": everything
    """
    if reprocess is not None and reprocess not in get_args(Reprocess):
        raise ValueError(f"reprocess is {reprocess!r}; it can be {', '.join(get_args(Reprocess))}, or None.")
    return [_decide(interval, entries.get(interval), reprocess) for interval in wanted]


def _decide(interval: Interval, entry: Entry | None, reprocess: Reprocess | None) -> Decision:
    status = None if entry is None else entry.status
    score = {
        None: status != "completed",
        "completed": status == "completed",
        "failed": status == "failed",
        "all": True,
    }[reprocess]
    return Decision(interval, score, _reason(status, score), again=status == "completed")


def _reason(status: str | None, score: bool) -> str:
    if status is None:
        return "never completed" if score else "never completed: not asked for"
    if status == "completed":
        return "completed before: to be replaced" if score else "completed before"
    return f"{status} before" if score else f"{status} before: not asked for"


def lookback(calendar: Calendar, interval: Interval, count: int) -> list[Interval]:
    """The `count` intervals before `interval`, the oldest first, for records that came late.

    They are scored as wholes whether they are completed or not, which is `choose(.., "all")`.
    """
    found: list[Interval] = []
    for _ in range(count):
        interval = calendar.previous(interval)
        found.append(interval)
    return found[::-1]


def due(
    calendar: Calendar,
    now: datetime,
    delay: timedelta,
    last: Interval | None,
    start: datetime | None,
    max_catchup: int,
) -> Due:
    """The intervals that ended `delay` or more ago, and come after the last one that was completed.

    last          the latest interval that was completed; None: none ever was
    start         a moment in the first interval ever, which counts only while there is no last; with
                  neither, only the latest that ended is due
    max_catchup   the most intervals at once: the oldest, for what stood before a completed one would
                  never be due again; the others are due the next time, and counted till then

    For the same reason whoever scores them stops at the first that fails.
    """
    latest = calendar.last_ended(as_utc(now) - delay)
    first = calendar.containing(last.end if last is not None else start or latest.start)
    found = calendar.between(first.start, latest.start) if first <= latest else []
    return Due(found[:max_catchup], max(0, len(found) - max_catchup))


def next_due(calendar: Partition, now: datetime, delay: timedelta) -> datetime:
    """When after `now` the next interval is due, in UTC: the first end, plus `delay`, still to come."""
    return as_utc(calendar.containing(as_utc(now) - delay).end) + delay
