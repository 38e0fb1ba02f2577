"""Intervals: on days that clocks make special by name, and as properties over zones and kinds."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from skdeploy.batch.intervals import KINDS, Calendar, Interval

# Half an hour's turn, half an hour's zone, seconds' zones, turns at or around midnight, skipped days.
SPECIAL = [
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Africa/Monrovia",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Africa/Cairo",
    "America/Havana",
    "America/St_Johns",
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Pacific/Kiritimati",
    "America/Caracas",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Pyongyang",
    "UTC",
]
EVERY = sorted(set(available_timezones()) - {"localtime", "Factory"})
MICROSECOND = timedelta(microseconds=1)


def calendar(kind: str, zone: str, *, wall: bool = False) -> Calendar:
    return Calendar(kind, ZoneInfo(zone), wall=wall)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def hours(interval: Interval) -> float:
    start, end = interval.bounds(wall=False)
    return (end - start) / timedelta(hours=1)


def reading(moment: datetime, zone: ZoneInfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)


@cache
def days_of_turns(zone: str, year: int) -> list[datetime]:
    days = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in range(366)]
    offsets = [day.astimezone(ZoneInfo(zone)).utcoffset() for day in days]
    return [day for day, (before, after) in zip(days, pairwise(offsets), strict=False) if before != after]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    """A calendar and a moment, more often than not within a day of a turn of the calendar's clock."""
    zone = draw(st.sampled_from(SPECIAL) | st.sampled_from(EVERY))
    made = calendar(draw(st.sampled_from(KINDS)), zone, wall=draw(st.booleans()))
    moment = draw(st.datetimes(datetime(1925, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
    turns = days_of_turns(zone, moment.year)
    if draw(st.integers(0, 4)) and turns:
        past = timedelta(
            minutes=draw(st.integers(-1440, 2 * 1440)), seconds=draw(st.sampled_from([0, 0, 59]))
        )
        turn = draw(st.sampled_from(turns))
        moment = turn + past
    return made, moment


@given(cases())
def test_intervals_part_time(case: tuple[Calendar, datetime]) -> None:
    """Each moment is in one interval, as its start and its last moment are; neighbours share an edge."""
    made, moment = case
    found = made.containing(moment)
    start, end = found.bounds(wall=False)
    assert moment in found
    assert made.containing(start) == made.containing(end - MICROSECOND) == found
    assert made.next(found).bounds(wall=False)[0] == end
    assert made.previous(found).bounds(wall=False)[1] == start
    assert made.previous(made.next(found)) == made.next(made.previous(found)) == found


@given(cases(), st.integers(0, 60))
def test_between_leaves_no_gap(case: tuple[Calendar, datetime], steps: int) -> None:
    """From the first moment's interval to the last one's, each is the one before's next."""
    made, moment = case
    last = made.containing(moment)
    for _ in range(steps):
        last = made.next(last)
    found = made.between(moment, last.end.astimezone(UTC) - MICROSECOND)
    assert found[0] == made.containing(moment)
    assert found[-1] == last
    assert len(found) == steps + 1
    assert all(one.bounds(wall=False)[1] == two.bounds(wall=False)[0] for one, two in pairwise(found))


@given(cases())
def test_wall_bounds_part_the_readings_of_clocks(case: tuple[Calendar, datetime]) -> None:
    """Where one interval's naive bounds end the next one's begin, even where clocks are turned."""
    made, moment = case
    assume(made.wall or made.kind != "hourly")
    found = made.containing(moment)
    start, end = found.bounds(wall=True)
    assert start.tzinfo is None
    assert start < end
    assert made.next(found).bounds(wall=True)[0] == end
    assert made.previous(found).bounds(wall=True)[1] == start


@given(cases(), st.integers(0, 3 * 86400))
def test_no_clock_shows_an_interval_that_is_over(case: tuple[Calendar, datetime], seconds: int) -> None:
    """Rows of a clock without a zone cannot come into an interval that has ended: it can be scored."""
    made, moment = case
    assume(made.wall or made.kind != "hourly")
    found = made.containing(moment)
    later = found.end.astimezone(UTC) + timedelta(seconds=seconds)
    assert reading(later, made.zone) >= found.bounds(wall=True)[1]


@given(cases())
def test_zoned_hours_begin_when_the_clock_shows_a_full_hour(case: tuple[Calendar, datetime]) -> None:
    """It does at every start, and at no minute in between."""
    made, moment = case
    made = Calendar("hourly", made.zone, wall=False)
    found = made.containing(moment)
    start, end = found.bounds(wall=False)
    shown = [
        reading(start + timedelta(minutes=m), made.zone) for m in range(-(-int(hours(found) * 3600) // 60))
    ]
    assert shown[0] == shown[0].replace(minute=0, second=0)
    assert not any(one == one.replace(minute=0, second=0) for one in shown[1:])
    assert start < end <= start + timedelta(hours=2)


@given(cases())
def test_labels_tell_neighbours_apart(case: tuple[Calendar, datetime]) -> None:
    """Also the two hours that clocks show twice; and they are names of files."""
    made, moment = case
    first = made.containing(moment)
    found = [made.previous(first), first, made.next(first)]
    assert len({one.label for one in found}) == 3
    assert not set("".join(one.label for one in found)) - set("0123456789-+TW")


@given(cases())
def test_a_date_is_in_its_interval(case: tuple[Calendar, datetime]) -> None:
    """What `parse` makes of a date is in the interval with that date on the clock."""
    made, moment = case
    day = reading(moment, made.zone)
    try:
        parsed = made.parse(day.date().isoformat())
    except ValueError:
        assume(False)
    found = made.containing(parsed)
    assert parsed.tzinfo is made.zone
    if made.kind == "daily":
        assert found.label == day.date().isoformat()
    if made.kind != "hourly":  # where midnight is skipped, the first hour is another
        start, end = found.bounds(wall=True)
        assert start <= datetime.combine(day.date(), datetime.min.time()) < end


@pytest.mark.parametrize(
    ("kind", "zone", "moment", "start", "end", "label"),
    [
        ("daily", "UTC", "2013-11-05T07:00", "2013-11-05T00:00", "2013-11-06T00:00", "2013-11-05"),
        ("weekly", "UTC", "2013-11-05T07:00", "2013-11-04T00:00", "2013-11-11T00:00", "2013-W45"),
        ("weekly", "UTC", "2021-01-03T07:00", "2020-12-28T00:00", "2021-01-04T00:00", "2020-W53"),
        ("monthly", "UTC", "2012-02-29T07:00", "2012-02-01T00:00", "2012-03-01T00:00", "2012-02"),
        (
            "hourly",
            "America/New_York",
            "2013-11-05T12:01",
            "2013-11-05T12:00",
            "2013-11-05T13:00",
            "2013-11-05T07-0500",
        ),
        (
            "hourly",
            "Asia/Kolkata",
            "2013-11-05T12:00",
            "2013-11-05T11:30",
            "2013-11-05T12:30",
            "2013-11-05T17+0530",
        ),
        # 23 and 25 hours
        ("daily", "Europe/Berlin", "2013-03-31T12:00", "2013-03-30T23:00", "2013-03-31T22:00", "2013-03-31"),
        ("daily", "Europe/Berlin", "2013-10-27T12:00", "2013-10-26T22:00", "2013-10-27T23:00", "2013-10-27"),
        # no midnight; two midnights
        (
            "daily",
            "America/Sao_Paulo",
            "2018-11-04T12:00",
            "2018-11-04T03:00",
            "2018-11-05T02:00",
            "2018-11-04",
        ),
        ("daily", "Asia/Beirut", "2022-03-27T12:00", "2022-03-26T22:00", "2022-03-27T21:00", "2022-03-27"),
        ("daily", "Africa/Cairo", "2023-04-28T12:00", "2023-04-27T22:00", "2023-04-28T21:00", "2023-04-28"),
        ("daily", "America/Havana", "2022-11-06T12:00", "2022-11-06T04:00", "2022-11-07T05:00", "2022-11-06"),
        # the clock went from 00:01 to 23:01: the second midnight counts
        (
            "daily",
            "America/St_Johns",
            "2010-11-07T12:00",
            "2010-11-07T03:30",
            "2010-11-08T03:30",
            "2010-11-07",
        ),
        # no 30th of December; one 30th of September, of 47 hours
        ("daily", "Pacific/Apia", "2011-12-30T09:59", "2011-12-29T10:00", "2011-12-30T10:00", "2011-12-29"),
        ("daily", "Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00", "2011-12-31"),
        (
            "daily",
            "Pacific/Kwajalein",
            "1969-09-30T23:00",
            "1969-09-29T13:00",
            "1969-10-01T12:00",
            "1969-09-30",
        ),
    ],
)
def test_an_interval_has_its_edges_and_its_name(
    kind: str, zone: str, moment: str, start: str, end: str, label: str
) -> None:
    """Edges, in UTC, of ordinary and of special intervals."""
    found = calendar(kind, zone).containing(at(moment))
    assert found.bounds(wall=False) == (at(start), at(end))
    assert found.label == label
    assert str(found.start.tzinfo) == zone


def test_an_hour_shown_twice_is_two_for_instants_and_one_for_a_clock() -> None:
    """In Berlin it is two of one hour each, or one of two hours with the bounds 02:00 and 03:00."""
    two = calendar("hourly", "Europe/Berlin").between(at("2013-10-26T23:00"), at("2013-10-27T02:00"))
    assert [one.label[11:] for one in two] == ["01+0200", "02+0200", "02+0100", "03+0100"]
    assert [hours(one) for one in two] == [1, 1, 1, 1]
    one = calendar("hourly", "Europe/Berlin", wall=True).containing(at("2013-10-27T01:30"))
    assert hours(one) == 2
    assert one.bounds(wall=True) == (datetime(2013, 10, 27, 2), datetime(2013, 10, 27, 3))


def test_a_skipped_hour_is_none_and_loses_no_reading() -> None:
    """After 01:00 comes 03:00; what a clock that nobody turned wrote at 02:30 is in the hour before."""
    made = calendar("hourly", "Europe/Berlin", wall=True)
    before, after = made.between(at("2013-03-31T00:00"), at("2013-03-31T01:00"))
    assert [hours(before), hours(after)] == [1, 1]
    assert before.bounds(wall=True) == (datetime(2013, 3, 31, 1), datetime(2013, 3, 31, 3))
    assert after.bounds(wall=True)[0] == datetime(2013, 3, 31, 3)


def test_a_day_without_midnight_has_the_readings_of_the_whole_day() -> None:
    """In naive bounds it begins at 00:00, though that was skipped."""
    day = calendar("daily", "America/Sao_Paulo", wall=True).containing(at("2018-11-04T12:00"))
    assert day.start.hour == 1
    assert day.bounds(wall=True) == (datetime(2018, 11, 4), datetime(2018, 11, 5))


def test_turns_of_half_an_hour_make_an_hour_of_one_and_a_half() -> None:
    """Lord Howe: forward at 02:00 to 02:30, back at 02:00 to 01:30."""
    made = calendar("hourly", "Australia/Lord_Howe")
    back, forward = made.containing(at("2013-04-06T15:00")), made.containing(at("2013-10-05T15:00"))
    assert [hours(back), hours(made.next(back)), hours(forward), hours(made.next(forward))] == [
        1.5,
        1,
        1.5,
        1,
    ]


def test_equality_order_and_hash_go_by_the_instant() -> None:
    """Python takes the two hours at 02:00 for one; and a ledger's interval in UTC is the calendar's."""
    first, second = calendar("hourly", "Europe/Berlin").between(
        at("2013-10-27T00:00"), at("2013-10-27T01:00")
    )
    assert first.start == second.start
    assert first != second
    assert first < second
    assert len({first, second}) == 2
    stored = Interval(*first.bounds(wall=False), "hourly")
    assert stored == first
    assert hash(stored) == hash(first)
    assert {first: "entry"}[stored] == "entry"
    assert first != "2013-10-27"


def test_kinds_with_the_same_edges_are_not_the_same() -> None:
    """A day of one hour's table does not stand for another job's."""
    start, end = at("2013-11-05"), at("2013-11-06")
    assert Interval(start, end, "daily") != Interval(start, end, "weekly")


def test_the_latest_that_ended_ends_now_at_the_latest() -> None:
    """An interval is over the moment the next begins."""
    made = calendar("daily", "UTC")
    assert made.last_ended(at("2013-11-06T00:00")).label == "2013-11-05"
    assert made.last_ended(at("2013-11-06T00:00") - MICROSECOND).label == "2013-11-04"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2013-11-05", "2013-11-05T05:00"),
        (" 2013-11-05 ", "2013-11-05T05:00"),
        ("2013-11-05T07:00:00Z", "2013-11-05T07:00"),
        ("2013-11-05t07:00:00.5z", "2013-11-05T07:00:00.500"),
        ("2013-11-05 07:00", "2013-11-05T12:00"),
        ("2013-11-05T07:00:00+01:00", "2013-11-05T06:00"),
        ("2013-11-03T01:30", "2013-11-03T05:30"),
        ("2013-11-03T01:30-05:00", "2013-11-03T06:30"),
    ],
)
def test_dates_and_date_times_are_parsed(text: str, instant: str) -> None:
    """Without a zone they are the calendar's; of two readings the first."""
    made = calendar("hourly", "America/New_York")
    assert made.parse(text).astimezone(UTC) == at(instant)
    assert made.parse(text).tzinfo is made.zone


@pytest.mark.parametrize(
    "text",
    [
        *("", "today", "2013", "2013-11", "2013-W45", "20131105", "5.11.2013", "2013-02-30", "2013-11-05T07"),
        *("2013-11-05T25:00", "2013-11-05T07:00:60", "2013-11-05T07:00+25:00", "2013-11-05Z", "２013-11-05"),
        *("0001-01-01", "9999-12-31"),
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    """The message says what was given and shows what could be."""
    with pytest.raises(ValueError, match=r"is neither a date nor a date-time, such as 2013-11-05 or"):
        calendar("daily", "UTC").parse(text)


@pytest.mark.parametrize(
    ("zone", "text"), [("Pacific/Apia", "2011-12-30"), ("America/New_York", "2013-03-10T02:30")]
)
def test_what_clocks_skipped_is_refused(zone: str, text: str) -> None:
    """It would silently be another interval's."""
    with pytest.raises(ValueError, match=f"{text} does not exist: the clocks of {zone} skipped it"):
        calendar("daily", zone).parse(text)


def test_a_reading_is_in_the_interval_whose_naive_bounds_it_is_in() -> None:
    """Also one of the minute before the clock of St John's went back to the day before."""
    made = calendar("daily", "America/St_Johns", wall=True)
    assert made.containing(made.parse("2010-11-07T00:00:30")).label == "2010-11-07"


def test_calendars_and_intervals_refuse_nonsense() -> None:
    """An unknown kind, moments without a zone, the later before the earlier."""
    made = calendar("daily", "UTC")
    with pytest.raises(ValueError, match="No kind of interval: 'yearly'"):
        calendar("yearly", "UTC")
    with pytest.raises(ValueError, match="2013-11-05T00:00:00 has no time zone"):
        made.containing(datetime(2013, 11, 5))
    with pytest.raises(ValueError, match="An interval needs a zone"):
        Interval(datetime(2013, 11, 5), datetime(2013, 11, 6), "daily")
    with pytest.raises(ValueError, match=r"is before .*: give the earlier one first"):
        made.between(at("2013-11-05"), at("2013-11-04"))


@pytest.mark.parametrize("wall", [False, True])
def test_ten_years_of_hours_take_a_second(wall: bool) -> None:
    """Whoever asks for what is due after years of rest does not wait for the calendar."""
    made = calendar("hourly", "America/New_York", wall=wall)
    begun = time.process_time()
    found = made.between(at("2010-01-01"), at("2020-01-01"))
    assert time.process_time() - begun < 2  # half a second on a machine that does nothing else
    assert found[0].start.date() == date(2009, 12, 31)
    assert len(found) == 87649 - 10 * wall
