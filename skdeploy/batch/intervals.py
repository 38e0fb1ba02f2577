"""Intervals of event time: hours, days, weeks and months of a time zone.

Python compares and subtracts date-times of the same zone by what the clock shows, as if it were never
turned: here every comparison is made in UTC.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta
from functools import total_ordering
from itertools import pairwise, takewhile
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("hourly", "daily", "weekly", "monthly")

# From one interval's first reading of the clock, this leads into the next one.
_STEPS = {
    "hourly": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
}
_TICK = timedelta(microseconds=1)
# RFC 3339, with the seconds and the zone optional.
_DATE_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?", re.ASCII
)
# What is in the calendar wherever on earth it is read, with its neighbours.
_YEARS = range(2, 9999)


def as_utc(moment: datetime) -> datetime:
    """`moment` in UTC; ValueError if it has no zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: it could be any of 26 hours.")
    return moment.astimezone(UTC)


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """The half-open interval [start, end).

    kind         "hourly", "daily", "weekly" or "monthly"
    start, end   with a zone, that of the calendar

    Equality, order and hash go by the instants, whatever the zone: an interval that a ledger gave back
    in UTC equals the calendar's. Its label and its bounds on a clock are UTC's, though:
    `Calendar.containing(interval.start)` is the one with the calendar's.
    """

    start: datetime
    end: datetime
    kind: str

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError(f"An interval needs a zone: {self.start.isoformat()}, {self.end.isoformat()}.")

    def __eq__(self, other: object) -> bool:
        return self._order() == other._order() if isinstance(other, Interval) else NotImplemented

    def __lt__(self, other: Interval) -> bool:
        return self._order() < other._order() if isinstance(other, Interval) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._order())

    def __contains__(self, moment: datetime) -> bool:
        start, end = self.bounds(wall=False)
        return start <= as_utc(moment) < end

    def _order(self) -> tuple[datetime, datetime, str]:
        return *self.bounds(wall=False), self.kind

    def bounds(self, wall: bool) -> tuple[datetime, datetime]:
        """What an event time is compared with: first <= time < second.

        wall   True: without a zone, as a clock of the interval's zone shows them; False: in UTC

        What the clock skips belongs to a day that begins with it, else to the interval before: readings
        of a clock that was not turned are in one interval each, too.
        """
        if wall:
            return _floor(_reading(self.start), self.kind), _floor(_reading(self.end), self.kind)
        return as_utc(self.start), as_utc(self.end)

    @property
    def label(self) -> str:
        """The interval for people and in names of files: 2013-11-05T07-0500, 2013-11-05, 2013-W45, 2013-11.

        An hour has its distance from UTC: without, two would have one name when clocks go back.
        """
        match self.kind:
            case "hourly":
                return self.start.isoformat(timespec="hours").replace(":", "")
            case "weekly":
                year, week, _ = self.start.isocalendar()
                return f"{year:04}-W{week:02}"
        return self.start.date().isoformat()[: 7 if self.kind == "monthly" else 10]


@dataclass(frozen=True, slots=True)
class Calendar:
    """The partition of time into intervals of one kind.

    kind   "hourly", "daily", "weekly" (from Monday, as in ISO 8601) or "monthly"
    zone   whose clock says when they begin
    wall   whether the event time has no zone, so that it is compared with the clock's readings

    An interval begins at the instant from which on the clock shows nothing before its first reading:
    at 01:00 where midnight is skipped, and at the second midnight where, a minute past the first, the
    clock goes back to 23:01. What the clock skips altogether, as Apia did 2011-12-30, is no interval.
    Hours are another matter where event times have a zone: they begin whenever the clock shows a full
    hour, so that an hour shown twice is two of them; on a wall clock it is one, of two hours.
    """

    kind: str
    zone: ZoneInfo
    _: KW_ONLY
    wall: bool

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"No kind of interval: {self.kind!r}. There are {', '.join(KINDS)}.")

    def containing(self, moment: datetime) -> Interval:
        """The interval that `moment`, with any zone, is in."""
        return next(self._from(as_utc(moment)))

    def next(self, interval: Interval) -> Interval:
        """The interval that begins where `interval` ends."""
        return self.containing(interval.end)

    def previous(self, interval: Interval) -> Interval:
        """The interval that ends where `interval` begins."""
        return self.containing(as_utc(interval.start) - _TICK)

    def between(self, first: datetime, last: datetime) -> list[Interval]:
        """The intervals from the one that `first` is in to the one that `last` is in, both included."""
        begin, end = as_utc(first), as_utc(last)
        if end < begin:
            raise ValueError(f"{last.isoformat()} is before {first.isoformat()}: give the earlier one first.")
        return list(takewhile(lambda interval: interval.start.astimezone(UTC) <= end, self._from(begin)))

    def last_ended(self, now: datetime) -> Interval:
        """The latest interval that is over at `now`."""
        return self.previous(self.containing(now))

    def parse(self, text: str) -> datetime:
        """The instant of a date (when the day begins) or of an RFC 3339 date-time, in the calendar's zone.

        Seconds may be left out, and so may the zone, which then is the calendar's. Of a reading that
        the clock shows twice, hours take the first: a zone with it (+01:00) names the other.
        Raises ValueError for all else, and for what the clock skips.
        """
        text = text.strip().upper()
        try:
            found = datetime.fromisoformat(text) if _DATE_TIME.fullmatch(text) else None
        except ValueError:  # a 30th of February
            found = None
        if found is None or found.year not in _YEARS:
            examples = "2013-11-05 or 2013-11-05T07:00:00-05:00"
            raise ValueError(f"{text!r} is neither a date nor a date-time, such as {examples}.")
        return self._placed(found, text).astimezone(self.zone)

    def _placed(self, found: datetime, text: str) -> datetime:
        if found.tzinfo is not None:
            return found
        instant = self._instant(found)
        shown = _reading(instant.astimezone(self.zone))
        if shown != found and (":" in text or shown.date() != found.date()):
            raise ValueError(f"{text} does not exist: the clocks of {self.zone} skipped it.")
        return instant if self._by_reading else found.replace(tzinfo=self.zone)

    def _from(self, moment: datetime) -> Iterator[Interval]:
        """The interval that `moment` is in, and all after it."""
        local = (start.astimezone(self.zone) for start in self._starts(self._start(moment)))
        return (Interval(start, end, self.kind) for start, end in pairwise(local))

    @property
    def _by_reading(self) -> bool:
        return self.wall or self.kind != "hourly"

    def _start(self, moment: datetime) -> datetime:
        """The beginning of the interval that `moment` is in."""
        if not self._by_reading:
            return self._full_hour_until(moment)
        reading = _floor(_reading(moment.astimezone(self.zone)), self.kind)
        while (start := self._instant(reading)) > moment:
            reading = _floor(reading - _TICK, self.kind)
        return start

    def _starts(self, start: datetime) -> Iterator[datetime]:
        """`start`, where an interval begins, and all later beginnings."""
        reading = _floor(_reading(start.astimezone(self.zone)), self.kind)
        while True:
            yield start
            if self._by_reading:
                was = start
                while start <= was:  # more than once where the clock skips an interval
                    reading = _following(reading, self.kind)
                    start = self._instant(reading)
            else:
                start = self._full_hour_after(start)

    def _full_hour_until(self, moment: datetime) -> datetime:
        while True:
            full = moment - _past_hour(moment.astimezone(self.zone))
            if self._offset(full) == self._offset(moment):
                return full
            moment = self._turn(full, moment) - _TICK

    def _full_hour_after(self, moment: datetime) -> datetime:
        while True:
            local = moment.astimezone(self.zone)
            full = moment + _STEPS["hourly"] - _past_hour(local)
            if self._offset(full) == local.utcoffset():
                return full
            moment = self._turn(moment, full)
            if not _past_hour(moment.astimezone(self.zone)):
                return moment

    def _instant(self, reading: datetime) -> datetime:
        """The instant from which on the clock shows `reading` or later, and never again earlier."""
        first, second = self._shown(reading)
        if second < first:  # skipped
            return self._turn(second, first)
        if first < second:  # in between the clock goes back behind it, if not just to it
            first_before, second_before = self._shown(reading - _TICK)
            return second if first_before < second_before else first
        return first

    def _shown(self, reading: datetime) -> tuple[datetime, datetime]:
        """When the clock shows `reading` first, and when last; where it skips it, the second comes first."""
        once = reading.replace(tzinfo=self.zone)
        return once.astimezone(UTC), once.replace(fold=1).astimezone(UTC)

    def _offset(self, instant: datetime) -> timedelta:
        return instant.astimezone(self.zone).utcoffset() or timedelta()

    def _turn(self, before: datetime, after: datetime) -> datetime:
        """When, of whole seconds in (before, after], the clock was turned, as it was once."""
        low, was = before.replace(microsecond=0), self._offset(before)
        seconds = range(int((after - low).total_seconds()) + 1)
        turned = bisect_left(seconds, True, key=lambda s: self._offset(low + timedelta(seconds=s)) != was)
        return low + timedelta(seconds=turned)


def _reading(local: datetime) -> datetime:
    return local.replace(tzinfo=None, fold=0)


def _past_hour(local: datetime) -> timedelta:
    return timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _following(reading: datetime, kind: str) -> datetime:
    """The first reading of the interval after the one that begins with `reading`."""
    later = reading + _STEPS[kind]
    return _floor(later, kind) if kind == "monthly" else later


def _floor(reading: datetime, kind: str) -> datetime:
    """The first reading of the interval that `reading` is in, on a clock that is never turned."""
    hour = reading.replace(minute=0, second=0, microsecond=0)
    match kind:
        case "hourly":
            return hour
        case "weekly":
            return hour.replace(hour=0) - timedelta(days=reading.weekday())
        case "monthly":
            return hour.replace(hour=0, day=1)
    return hour.replace(hour=0)
