"""How a database compares its event time with an interval's bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from skdeploy.batch.intervals import Interval
from skdeploy.errors import InputError

_DATED = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_ZONE = re.compile(r"(Z|[+-]\d\d:?\d\d)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class EventTime:
    """The event-time column of a table.

    column   as the database knows it
    form     "moment" (the database's own type), "date", "text" or "seconds" (since 1970)
    wall     whether it is a wall clock's, without a zone
    """

    column: sa.ColumnElement[Any]
    form: str
    wall: bool

    def within(self, interval: Interval) -> sa.ColumnElement[bool]:
        """Whether a record is of the interval."""
        start, end = interval.bounds(self.wall)
        if self.form in ("text", "seconds"):
            moment = self._seconds()
            bounds = [sa.literal(int(_as_utc_seconds(bound)), sa.BigInteger) for bound in (start, end)]
        else:
            moment = self.column
            kind = sa.DateTime(timezone=not self.wall) if self.form == "moment" else sa.DateTime()
            bounds = [sa.literal(bound, kind) for bound in (start, end)]
        return sa.and_(moment >= bounds[0], moment < bounds[1])

    def missing(self) -> sa.ColumnElement[bool]:
        """Whether a record has no event time, or one that cannot be read."""
        if self.form in ("text", "seconds"):
            return self._seconds().is_(None)
        return self.column.is_(None)

    def _seconds(self) -> sa.ColumnElement[Any]:
        """Seconds since 1970, rounded down; null for what is no event time of this form."""
        if self.form == "seconds":
            return sa.case((sa.func.typeof(self.column).in_(["integer", "real"]), self.column))
        zoned = sa.or_(*(_like(self.column, pattern) for pattern in _ZONED_IN_SQLITE))
        # SQLite takes "now" and the like for moments as well.
        dated = _like(self.column, _DATED_IN_SQLITE)
        fits = sa.and_(sa.func.typeof(self.column) == "text", dated, sa.not_(zoned) if self.wall else zoned)
        return sa.case((fits, sa.cast(sa.func.strftime("%s", self.column), sa.BigInteger)))


_ZONED_IN_SQLITE = ("*[Zz]", "*[+-][0-9][0-9]:[0-9][0-9]")
_DATED_IN_SQLITE = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*"


def _like(column: sa.ColumnElement[Any], pattern: str) -> sa.ColumnElement[bool]:
    return column.op("GLOB", return_type=sa.Boolean())(sa.literal_column(f"'{pattern}'"))


def telling(column: sa.ColumnElement[Any], backend: str) -> sa.ColumnElement[bool]:
    """Whether a value shows what the event time looks like; a lone text that is none decides nothing."""
    if backend != "sqlite":
        return column.is_not(None)
    return sa.or_(sa.func.typeof(column).in_(["integer", "real"]), _like(column, _DATED_IN_SQLITE))


def _as_utc_seconds(bound: datetime) -> float:
    """A wall clock's bound is compared as if the clock were at Greenwich, as the column is."""
    return (bound - datetime(1970, 1, 1, tzinfo=bound.tzinfo)).total_seconds()


def recognise(column: sa.ColumnClause[Any], sample: Any, backend: str) -> EventTime:
    """The event time as one of its values shows it; None is the sample of an empty table."""
    if isinstance(sample, datetime):
        return EventTime(column, "moment", wall=sample.tzinfo is None)
    if isinstance(sample, date):
        return EventTime(column, "date", wall=True)
    if backend == "sqlite" and isinstance(sample, str) and _DATED.match(sample):
        return EventTime(column, "text", wall=_ZONE.search(sample) is None)
    if backend == "sqlite" and isinstance(sample, int | float):
        return EventTime(column, "seconds", wall=False)
    if sample is None:
        return EventTime(column, "moment" if backend != "sqlite" else "text", wall=True)
    raise InputError(
        f"SKDEPLOY_TIME_COLUMN {column.name} holds {type(sample).__name__}, no date-time: name another "
        "column, or "
        "convert it in SKDEPLOY_INPUT_QUERY."
    )
