"""An interval of PostgreSQL's records in ranges of its key, for readers that work side by side."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from skdeploy.batch.databases.postgres_input import PostgresInput, as_text, as_written
from skdeploy.batch.intervals import Interval


def records_text(records: PostgresInput, interval: Interval) -> str:
    """A SELECT of an interval's records, in no order; what not every database has is written as text."""
    columns = [as_written(name, kind) for name, kind in records.types.items()]
    statements = records.statements
    chosen = sa.select(*columns).select_from(statements.source).where(statements.time.within(interval))
    return as_text(chosen)


def key_ranges(records: PostgresInput, interval: Interval, parts: int) -> list[str]:
    """Conditions on the records' SELECT: each record fulfils one, equal keys the same, each about as many."""
    name = next(iter(records.key_types))
    column: sa.ColumnElement[Any] = sa.column(name)
    edges = _edges(records, interval, parts)
    if not edges:
        return ["TRUE"]
    first = column < sa.literal(edges[0])
    last = sa.or_(column >= sa.literal(edges[-1]), column.is_(None))
    between = [sa.and_(column >= sa.literal(low), column < sa.literal(high)) for low, high in pairwise(edges)]
    return [as_text(condition) for condition in (first, *between, last)]


def _edges(records: PostgresInput, interval: Interval, parts: int) -> Sequence[Any]:
    """Values of the key's first column that part the records evenly; fewer where many have the same."""
    if parts <= 1:
        return []
    key = records.statements.keys[0]
    bare = key.element if isinstance(key, sa.Label) else key
    shares = postgresql.array([place / parts for place in range(1, parts)])
    edges = sa.func.percentile_disc(sa.cast(shares, postgresql.ARRAY(sa.Double))).within_group(bare)
    statements = records.statements
    found = records.value(
        sa.select(edges).select_from(statements.source).where(statements.time.within(interval))
    )
    # A NaN is greater than all else, and no literal.
    return [edge for edge in dict.fromkeys(found or ()) if edge is not None and edge == edge]
