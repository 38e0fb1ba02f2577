"""Which intervals are scored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdeploy.batch.chunks import Counts, Entry
from skdeploy.batch.intervals import KINDS, Calendar, Interval
from skdeploy.batch.plan import Due, choose, due, lookback, next_due

BERLIN = Calendar("daily", ZoneInfo("Europe/Berlin"), wall=True)
MINUTES = timedelta(minutes=10)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def day(text: str, calendar: Calendar = BERLIN) -> Interval:
    return calendar.containing(calendar.parse(text))


def labels(found: Due | list[Interval]) -> list[str]:
    return [interval.label[8:] for interval in (found.intervals if isinstance(found, Due) else found)]


def ledger(**statuses: str) -> Mapping[Interval, Entry]:
    """What a ledger gives back: its intervals are in UTC."""
    entries = {}
    for name, status in statuses.items():
        interval = Interval(*day(f"2013-11-{name[1:]}").bounds(wall=False), "daily")
        entries[interval] = Entry(
            interval=interval, status=status, digest="d", counts=Counts(), scored_at=at("2013-12-01")
        )
    return entries


@pytest.mark.parametrize(
    ("reprocess", "scored"),
    [(None, ["06", "04"]), ("completed", ["05"]), ("failed", ["04"]), ("all", ["06", "05", "04"])],
)
def test_what_is_scored_depends_on_what_became_of_it(reprocess: Any, scored: list[str]) -> None:
    """Of an interval never scored, a completed and a failed one; the order is the caller's."""
    wanted = [day("2013-11-06"), day("2013-11-05"), day("2013-11-04")]
    decisions = choose(wanted, ledger(_05="completed", _04="failed"), reprocess)
    assert [decision.interval for decision in decisions] == wanted
    assert [decision.interval.label[8:] for decision in decisions if decision.score] == scored


def test_decisions_give_their_reasons() -> None:
    """A person who reads what a backfill would do sees why."""
    wanted = [day("2013-11-04"), day("2013-11-05"), day("2013-11-06")]
    entries = ledger(_05="completed", _04="failed")
    reasons = {
        how: [one.reason for one in choose(wanted, entries, how)] for how in (None, "completed", "all")
    }
    assert reasons[None] == ["failed before", "completed before", "never completed"]
    assert reasons["completed"] == [
        "failed before: not asked for",
        "completed before: to be replaced",
        "never completed: not asked for",
    ]
    assert reasons["all"] == ["failed before", "completed before: to be replaced", "never completed"]


def test_an_unknown_way_to_reprocess_is_refused() -> None:
    """It would be taken for one of the others."""
    with pytest.raises(ValueError, match="reprocess is 'some'; it can be completed, failed, all, or None"):
        choose([], {}, cast("Any", "some"))


def test_lookback_is_what_came_before() -> None:
    """As many, the oldest first, over a turn of the clock as well."""
    assert labels(lookback(BERLIN, day("2013-10-28"), 3)) == ["25", "26", "27"]
    assert lookback(BERLIN, day("2013-10-28"), 0) == []


def test_an_interval_is_due_once_its_delay_has_passed() -> None:
    """At its end plus the delay, not a microsecond before; the day after the clocks' turn as well."""
    ready = at("2013-10-27T23:10")  # the end of a day of 25 hours, 00:00+01:00, and ten minutes
    last = day("2013-10-26")
    assert due(BERLIN, ready - timedelta(microseconds=1), MINUTES, last, None, 9) == Due([], 0)
    assert labels(due(BERLIN, ready, MINUTES, last, None, 9)) == ["27"]


def test_what_was_missed_is_due_the_oldest_first() -> None:
    """At most as many as asked; how many are left out is told."""
    now, last = at("2013-11-12T12:00"), day("2013-11-04")
    assert due(BERLIN, now, MINUTES, last, None, 9).left_out == 0
    few = due(BERLIN, now, MINUTES, last, None, 3)
    assert labels(few) == ["05", "06", "07"]
    assert few.left_out == 4
    assert due(BERLIN, now, MINUTES, last, None, 0) == Due([], 7)


def test_the_first_time_it_begins_at_the_start_or_with_the_latest() -> None:
    """A start counts only while nothing was ever completed; one to come has nothing due."""
    now = at("2013-11-12T12:00")
    assert labels(due(BERLIN, now, MINUTES, None, at("2013-11-09T12:00"), 9)) == ["09", "10", "11"]
    assert labels(due(BERLIN, now, MINUTES, None, at("2013-11-11T12:00"), 9)) == ["11"]
    assert labels(due(BERLIN, now, MINUTES, None, None, 9)) == ["11"]
    assert labels(due(BERLIN, now, MINUTES, day("2013-11-10"), at("2013-11-01"), 9)) == ["11"]
    assert due(BERLIN, now, MINUTES, None, at("2013-12-01"), 9) == Due([], 0)
    assert due(BERLIN, now, MINUTES, day("2013-11-20"), None, 9) == Due([], 0)


def test_after_another_kind_of_interval_nothing_is_skipped() -> None:
    """A job that went by the day and now goes by the week scores the week it is in as a whole."""
    weekly = Calendar("weekly", BERLIN.zone, wall=True)
    found = due(weekly, at("2013-11-20T12:00"), MINUTES, day("2013-11-06"), None, 9)
    assert [interval.label for interval in found.intervals] == ["2013-W45", "2013-W46"]


@given(
    st.sampled_from(KINDS),
    st.sampled_from(["Europe/Berlin", "Pacific/Apia", "Australia/Lord_Howe", "America/St_Johns"]),
    st.datetimes(datetime(2005, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(), timedelta(days=2)),
)
def test_nothing_becomes_due_but_at_the_next_due_moment(
    kind: str, zone: str, now: datetime, delay: timedelta
) -> None:
    """Till then all stays as it is, and then one interval comes due: the one after."""
    calendar = Calendar(kind, ZoneInfo(zone), wall=False)
    last = due(calendar, now, delay, None, None, 1).intervals[0]
    then = next_due(calendar, now, delay)
    assert then > now
    assert due(calendar, then - timedelta(microseconds=1), delay, last, None, 9) == Due([], 0)
    assert due(calendar, then, delay, last, None, 9) == Due([calendar.next(last)], 0)


def test_a_catch_up_in_parts_scores_each_interval_once() -> None:
    """Told the latest that was completed each time, nothing is left out and nothing comes twice."""
    now, last, done = at("2013-12-24T12:00"), day("2013-10-20"), []
    while found := due(BERLIN, now, MINUTES, last, None, 7).intervals:
        done += found
        last = found[-1]
    assert done == BERLIN.between(day("2013-10-21").start, day("2013-12-23").start)
