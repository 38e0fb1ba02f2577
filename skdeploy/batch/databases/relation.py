"""The table or query that the records are in, and what is asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.selectable import FromClause

from skdeploy.batch.chunks import Key
from skdeploy.batch.databases.event_time import EventTime
from skdeploy.batch.intervals import Interval
from skdeploy.errors import InputError, SettingsError

Source = FromClause | sa.TextClause
# Where `ORDER BY` puts nulls in front.
_NULLS_FIRST = ("sqlite", "mysql", "mariadb", "mssql")


def named_table(name: str) -> sa.TableClause:
    """`table` or `schema.table`."""
    schema, _, table = name.rpartition(".")
    return sa.table(table, schema=schema or None)


def relation(table: str, query: str) -> Source:
    """What to select from: one of the two. Raises SettingsError if neither is there."""
    if table:
        return named_table(table)
    if not query:
        raise SettingsError(
            "Neither SKDEPLOY_INPUT_TABLE nor SKDEPLOY_INPUT_QUERY is set: say which records are scored."
        )
    # A colon is no parameter here.
    text = query.strip().rstrip(";").replace(":", r"\:")
    return sa.text(f"({text}) AS records")


def require_columns(found: Sequence[str], needed: Sequence[str]) -> None:
    """Raise InputError naming the columns that are not there."""
    missing = [name for name in needed if name not in found]
    if missing:
        raise InputError(
            f"The input has no column {', '.join(missing)}. It has {', '.join(found)}. "
            "Give columns the model's names in SKDEPLOY_INPUT_QUERY; SKDEPLOY_KEY_COLUMNS and "
            "SKDEPLOY_TIME_COLUMN name the others."
        )


@dataclass(frozen=True, slots=True)
class Statements:
    """What is asked of the records.

    keys      the key's columns, as what they are written as, and under their names
    columns   the model's, but for those that are keys
    """

    source: Source
    keys: Sequence[sa.ColumnElement[Any]]
    columns: Sequence[sa.ColumnElement[Any]]
    time: EventTime
    backend: str

    def count(self, interval: Interval) -> sa.Select[Any]:
        """How many records an interval has."""
        return self._count().where(self.time.within(interval))

    def without_time(self) -> sa.Select[Any]:
        """How many records belong to no interval."""
        return self._count().where(self.time.missing())

    def records(self, interval: Interval, after: Key | None) -> sa.Select[Any]:
        """The records of an interval behind the key `after`, in the order of their keys."""
        statement = sa.select(*self.keys, *self.columns).select_from(self.source)
        statement = statement.where(self.time.within(interval)).order_by(*map(_bare, self.keys))
        if after is None:
            return statement
        nulls_last = self.backend not in _NULLS_FIRST
        return statement.where(_behind([*map(_bare, self.keys)], after, nulls_last=nulls_last))

    def _count(self) -> sa.Select[Any]:
        return sa.select(sa.func.count()).select_from(self.source)


def _bare(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return column.element if isinstance(column, sa.Label) else column


def _behind(
    columns: Sequence[sa.ColumnElement[Any]], after: Key, *, nulls_last: bool
) -> sa.ColumnElement[bool]:
    """Whether a record's key comes behind `after`, in the order in which the database sorts."""
    first, value = columns[0], after[0]
    greater: sa.ColumnElement[bool]
    if value is None:
        greater, same = sa.false() if nulls_last else first.is_not(None), first.is_(None)
    else:
        greater, same = first > value, first == value
        if nulls_last:
            greater = sa.or_(greater, first.is_(None))
    if len(columns) == 1:
        return greater
    return sa.or_(greater, sa.and_(same, _behind(columns[1:], after[1:], nulls_last=nulls_last)))
