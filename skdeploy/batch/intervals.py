"""Intervals of event time: hours, days, weeks and months of a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

KINDS = ("hourly", "daily", "weekly", "monthly")


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """The half-open interval [start, end).

    kind         "hourly", "daily", "weekly" or "monthly"
    start, end   with a zone, that of the calendar; compared as instants
    """

    start: datetime
    end: datetime
    kind: str
