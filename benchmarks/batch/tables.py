"""The flights of 2013 in PostgreSQL, again and again with other ids, until there are enough."""

from __future__ import annotations

import contextlib

import pandas as pd
import psycopg
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from examples.flights import data

# The same rows twice: over some years, and all within one month.
YEARS = "flights_by_year"
MONTH = "flights_of_a_month"
FIRST_MONTH = "2013-01"
_HOURS = 30 * 24
_FLIGHTS = 336_776


def last_month(rows: int) -> str:
    """The last month of `YEARS`."""
    return f"{2013 + (rows - 1) // _FLIGHTS}-12"


def load(url: str, rows: int) -> None:
    """Make both tables with `rows` flights; keys and event times are indexed, as such tables are."""
    flights = data.flights_table()
    repeated = pd.concat([_shifted(flights, years) for years in range(-(-rows // len(flights)))]).head(rows)
    repeated = repeated.assign(**{data.KEY: range(1, rows + 1)})
    _make(url, YEARS, repeated)
    hours = pd.to_timedelta((repeated[data.KEY] - 1) * _HOURS // rows, unit="h")
    _make(url, MONTH, repeated.assign(**{data.EVENT_TIME: pd.Timestamp(FIRST_MONTH, tz="UTC") + hours}))


def _shifted(flights: pd.DataFrame, years: int) -> pd.DataFrame:
    return flights.assign(**{data.EVENT_TIME: flights[data.EVENT_TIME] + pd.DateOffset(years=years)})


def _make(url: str, name: str, rows: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(rows, preserve_index=False)
    with contextlib.closing(dbapi.connect(url)) as connection, connection.cursor() as cursor:
        cursor.adbc_ingest(name, table, mode="create")
        connection.commit()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {name} ADD PRIMARY KEY ({data.KEY})".encode())
        connection.execute(f"CREATE INDEX ON {name} ({data.EVENT_TIME})".encode())
        connection.execute(f"VACUUM ANALYZE {name}".encode())


def forget(url: str, prefix: str) -> None:
    """Drop the tables whose names begin so, and let the server write what it still has to."""
    with psycopg.connect(url, autocommit=True) as connection:
        found = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND starts_with(tablename, %s)",
            [prefix],
        ).fetchall()
        for (name,) in found:
            connection.execute(f"DROP TABLE {name} CASCADE".encode())
        connection.execute("CHECKPOINT")


def exists(url: str, table: str) -> bool:
    """Whether there is such a table."""
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT to_regclass(%s)", [table]).fetchone() != (None,)


def count(url: str, table: str) -> int:
    """How many rows a table has."""
    with psycopg.connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()  # noqa: S608 (ours)
    return 0 if row is None else int(row[0])


def furthest_apart(url: str, one: str, other: str) -> float:
    """The largest difference of two tables' predictions, in shares of the value; inf if a key is in one."""
    statement = f"""
        SELECT max(coalesce(abs(a.prediction - b.prediction) / abs(b.prediction), 'infinity'))
        FROM {one} a FULL JOIN {other} b USING ({data.KEY})
    """  # noqa: S608 (ours)
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return float("inf") if row is None or row[0] is None else float(row[0])
