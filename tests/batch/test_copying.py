"""Binary COPY: the bytes that PostgreSQL takes, and what it has then."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from typing import Any

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from examples.servers.postgres import Postgres
from skdeploy.batch.databases.copying import as_binary
from skdeploy.batch.databases.engines import make_engine, parse_url
from skdeploy.batch.databases.inserting import insert
from tests.batch.databases import running_postgres

INT8, FLOAT8, TEXT = 20, 701, 25


def test_a_row_is_its_columns_each_behind_its_length() -> None:
    """As PostgreSQL's documentation of the binary form has it."""
    rows = pa.table({"id": pa.array([1], pa.int64()), "name": ["ab"]})
    row = b"\x00\x02" + b"\x00\x00\x00\x08" + bytes(7) + b"\x01" + b"\x00\x00\x00\x02ab"
    assert as_binary(rows, [INT8, TEXT]) == b"PGCOPY\n\xff\r\n\0" + bytes(8) + row + b"\xff\xff"


def test_texts_of_several_lengths_and_nulls_stand_between_the_others() -> None:
    """A null is the length -1 and nothing more, an empty text the length 0."""
    rows = pa.table({"name": ["a", "", None, "bcd"], "id": pa.array([1, 2, 3, None], pa.int64())})
    number = (8).to_bytes(4, "big")
    expected = [
        b"\x00\x00\x00\x01a" + number + (1).to_bytes(8, "big"),
        b"\x00\x00\x00\x00" + number + (2).to_bytes(8, "big"),
        b"\xff\xff\xff\xff" + number + (3).to_bytes(8, "big"),
        b"\x00\x00\x00\x03bcd" + b"\xff\xff\xff\xff",
    ]
    data = as_binary(rows, [TEXT, INT8])
    assert data is not None
    assert data[19:-2] == b"".join(b"\x00\x02" + row for row in expected)


@pytest.mark.parametrize(
    ("column", "oid"),
    [
        (pa.array([1, 2]), 23),
        (pa.array([1, 2], pa.uint64()), INT8),
        (pa.array(["1", "2"]), INT8),
        (pa.array([1.0, 2.0]), 1700),
        (pa.array([1, 2], pa.timestamp("ns", "UTC")), 1184),
        (pa.array([1, 2], pa.timestamp("us")), 1184),
    ],
)
def test_what_postgresql_must_convert_is_none(column: pa.Array, oid: int) -> None:
    """Another width, text for numbers, decimals, nanoseconds, a wall clock for an instant."""
    assert as_binary(pa.table({"c": column}), [oid]) is None


INSTANT = pa.timestamp("us", "UTC")
COLUMNS: dict[str, tuple[pa.DataType, str, Sequence[Any]]] = {
    "flag": (pa.bool_(), "boolean", [True, False, True]),
    "big": (pa.int64(), "bigint", [-(2**63), 0, 2**63 - 1]),
    "small": (pa.int16(), "bigint", [-(2**15), 0, 2**15 - 1]),
    "whole": (pa.uint32(), "bigint", [0, 1, 2**32 - 1]),
    "double": (pa.float64(), "double precision", [-0.1, 1e308, math.inf]),
    "single": (pa.float32(), "double precision", [0.5, -2.0, 3.25]),
    "text": (pa.string(), "text", ["", "žluťoučký 🐌", 'a,"\n\\.']),
    "same": (pa.string(), "character varying(16)", ["abc", "def", "ghi"]),
    "bytes": (pa.binary(), "bytea", [b"", b"\x00\xff", b"abc"]),
    "day": (pa.date32(), "date", [date(1, 1, 1), date(2000, 1, 1), date(9999, 12, 31)]),
    "wall": (
        pa.timestamp("us"),
        "timestamp",
        [datetime(1969, 12, 31, 23, 59, 59, 999999), datetime(1, 1, 1), datetime(2026, 3, 29, 2, 30)],
    ),
    "moment": (
        INSTANT,
        "timestamptz",
        [datetime(1, 1, 1, tzinfo=UTC), datetime(2000, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)],
    ),
    "second": (pa.timestamp("s", "UTC"), "timestamptz", [datetime(2013, 11, 3, 6, tzinfo=UTC)] * 3),
    # What only PostgreSQL can convert.
    "short": (pa.int64(), "integer", [-(2**31), 0, 2**31 - 1]),
}
# Each alone; all that are written as they are; one that is converted, and with it the others.
SETS = [[name] for name in COLUMNS]
SETS += [[*COLUMNS][:-1], [name for name in COLUMNS if name != "bytes"]]


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


def copied(url: str, rows: pa.Table, types: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows as the database has them, in the order in which they came."""
    columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(rows.column_names, types, strict=True))
    with psycopg.connect(url) as connection:
        connection.execute("DROP TABLE IF EXISTS copied")
        connection.execute(f"CREATE TABLE copied ({columns})".encode())
        connection.commit()
        table = sa.Table("copied", sa.MetaData(), *(sa.Column(name) for name in rows.column_names))
        with make_engine(parse_url(url, "URL"), "URL", 10).begin() as writer:
            insert(writer, table, rows)
        return connection.execute("SELECT * FROM copied ORDER BY ctid").fetchall()


@pytest.mark.heavy
@pytest.mark.parametrize("nulls", ["none", "some"])
@pytest.mark.parametrize("names", SETS, ids="-".join)
def test_the_database_has_what_was_written(postgres: Postgres, names: list[str], nulls: str) -> None:
    """Every type, its extremes, alone and beside the others, with nulls and without."""
    values = {name: [*COLUMNS[name][2], *([None] if nulls == "some" else [])] for name in names}
    # A slice, whose bytes do not begin where its buffers do.
    arrays = [pa.array([value[0], *value], COLUMNS[name][0])[1:] for name, value in values.items()]
    found = copied(postgres.url, pa.table(arrays, names=names), [COLUMNS[name][1] for name in names])
    assert found == list(zip(*values.values(), strict=True))


@pytest.mark.heavy
def test_chunked_columns_are_whole(postgres: Postgres) -> None:
    """A table whose columns come in several pieces, some of them empty."""
    pieces = [pa.table({"id": [1, 2], "name": ["a", "bc"]}), pa.table({"id": [3], "name": ["d"]})]
    rows = pa.concat_tables([pieces[0], pieces[0].slice(2), pieces[1]])
    assert copied(postgres.url, rows, ["bigint", "text"]) == [(1, "a"), (2, "bc"), (3, "d")]


@pytest.mark.heavy
def test_a_text_that_the_database_refuses_is_an_error_of_it(postgres: Postgres) -> None:
    """A NUL character, which PostgreSQL has in no text; the message has no values."""
    with pytest.raises(sa.exc.DBAPIError, match="0x00"):
        copied(postgres.url, pa.table({"name": ["secret\x00"]}), ["text"])


@pytest.mark.heavy
def test_a_database_in_another_encoding_gets_the_same_text(postgres: Postgres) -> None:
    """Where the server keeps Latin 1, a text arrives as it is."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    url = postgres.database("latin")
    assert copied(url, pa.table({"name": ["é"]}), ["text"]) == [("é",)]
