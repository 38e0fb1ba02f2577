"""Values of every type come out of the input as they were, in the order of their type."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skdeploy.batch.files.input import ParquetInput
from skdeploy.batch.files.kinds import plain_type, sortable, sorts
from skdeploy.batch.intervals import Calendar
from skdeploy.errors import InputError

DAY = Calendar("daily", ZoneInfo("UTC"), wall=False).containing(datetime(2013, 11, 5, tzinfo=UTC))
SECOND = timedelta(seconds=1)

SHORT = st.integers(-(2**31), 2**31 - 1)
LONG = st.integers(-(2**63), 2**63 - 1)
# Each with values that a careless passage would change.
KINDS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.int8(), st.integers(-128, 127)),
    (pa.int64(), LONG | st.just(2**53 + 1)),
    (pa.uint64(), st.integers(2**63, 2**64 - 1)),
    (pa.float32(), st.floats(width=32)),
    (pa.float64(), st.floats()),
    (pa.bool_(), st.booleans()),
    (pa.string(), st.text(st.characters(exclude_categories=["Cs"]))),
    (pa.large_string(), st.text("aäb\0")),
    (pa.dictionary(pa.int8(), pa.string()), st.sampled_from(["b", "a", ""])),
    (pa.binary(), st.binary()),
    (pa.binary(3), st.binary(min_size=3, max_size=3)),
    (pa.decimal128(38, 5), st.decimals(-(10**32), 10**32, places=5)),
    (pa.decimal128(5, 2), st.decimals(-999, 999, places=2)),
    (pa.decimal256(50, 2), st.decimals(-999, 999, places=2)),
    (pa.date32(), st.dates()),
    (pa.date64(), st.dates()),
    (pa.timestamp("us"), st.datetimes()),
    (pa.timestamp("ns"), st.integers(-(2**62), 2**62)),
    (pa.timestamp("ns", "Europe/Berlin"), st.integers(-(2**62), 2**62)),
    (pa.timestamp("ms", "UTC"), SHORT),
    (pa.timestamp("us", "+05:30"), SHORT),
    (pa.time32("ms"), st.integers(0, 86_399_999)),
    # A time of Python's has microseconds.
    (pa.time64("ns"), st.integers(0, 86_399_999_999).map(lambda number: 1000 * number)),
    (pa.duration("ns"), st.integers(-(2**62), 2**62)),
    (pa.uuid(), st.uuids()),
]


def of(kind: pa.DataType, values: list[Any]) -> pa.Array:
    """An array; integers are the numbers behind moments."""
    if kind == pa.uuid():
        stored = pa.array([value and value.bytes for value in values], pa.binary(16))
        return pa.ExtensionArray.from_storage(kind, stored)
    return pa.array(values, kind)


def same(first: pa.Array, second: pa.Array) -> bool:
    """Bit by bit, NaN and -0.0 too."""
    if pa.types.is_floating(first.type):
        return [repr(value) for value in first.to_pylist()] == [repr(value) for value in second.to_pylist()]
    return bool(first.equals(second))


def input_of(path: Path, *, keys: tuple[str, ...] = ("k",), columns: tuple[str, ...] = ()) -> ParquetInput:
    return ParquetInput(str(path), keys=keys, time="at", columns=columns)


@pytest.mark.parametrize(("kind", "values"), KINDS, ids=[str(kind) for kind, _ in KINDS])
def test_values_come_out_as_they_were(
    kind: pa.DataType, values: st.SearchStrategy[Any], tmp_path: Path
) -> None:
    """As key, and beside it: every value and null, in the order of the type; and behind each key the rest."""
    path = tmp_path / "records.parquet"

    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.none() | values, min_size=1, max_size=8), st.integers(0, 7), st.booleans())
    def check(cells: list[Any], place: int, spilled: bool) -> None:
        array = of(kind, cells)
        at = pa.array([DAY.start] * len(cells), pa.timestamp("us", "UTC"))
        number = pa.array(range(len(cells)))
        table = pa.table({"k": array, "n": number, "Value": array, "at": at})
        pq.write_table(table, path, row_group_size=3)
        # A memory that a single group of rows fills, and one that all fit into.
        records = ParquetInput(
            str(path), keys=("k", "n"), time="at", columns=("Value",), memory=1 if spilled else 2**20
        )
        (chunk,) = records.chunks(DAY, 100)
        # Parquet has no date with milliseconds.
        stored = pa.date32() if kind == pa.date64() else plain_type(kind)
        assert records.key_types["k"] == chunk.columns["k"].type == chunk.columns["Value"].type == stored
        plain = array.cast(stored) if kind != pa.uuid() else array
        order = chunk.columns["n"].to_pylist()
        assert same(chunk.columns["k"], chunk.columns["Value"])
        assert sorted(order) == list(range(len(cells)))
        assert same(chunk.columns["Value"], plain.take(pa.array(order)))
        keys = list(zip(in_python(chunk.columns["k"]), order, strict=True))
        assert keys == sorted(keys)
        place %= len(order)
        after = (chunk.columns["k"][place].as_py(), order[place])
        rest = [key for found in records.chunks(DAY, 100, after) for key in found.columns["n"].to_pylist()]
        assert rest == order[place + 1 :]

    check()


def in_python(column: pa.Array) -> list[Any]:
    """Values that Python sorts as the input does: nulls first, then NaN, -0.0 with 0.0."""
    if pa.types.is_temporal(column.type):
        column = sortable(column)
    values = [value.bytes if isinstance(value, UUID) else value for value in column.to_pylist()]
    values = [value.encode() if isinstance(value, str) else value for value in values]
    return [(value is not None, value == value, value if value == value else 0) for value in values]


def test_other_types_come_out_too(tmp_path: Path) -> None:
    """Beside the key: what DuckDB does not have, and what no model takes."""
    columns = {
        "half": pa.array(np.array([1.5, -2], np.float16)),
        "wide": pa.array([Decimal("1.50"), None], pa.decimal256(50, 2)),
        "nothing": pa.nulls(2),
        "list": pa.array([[1, 2], None]),
        "struct": pa.array([{"a": 1}, None]),
        "moments": pa.array([[datetime(2013, 1, 1, tzinfo=UTC)], None], pa.list_(pa.timestamp("us", "UTC"))),
    }
    at = pa.array([DAY.start] * 2, pa.timestamp("us", "UTC"))
    path = tmp_path / "records.parquet"
    pq.write_table(pa.table({"k": [1, 2], "at": at, **columns}), path)
    (chunk,) = input_of(path, columns=tuple(columns)).chunks(DAY, 10)
    for name, column in columns.items():
        assert chunk.columns[name].to_pylist() == column.to_pylist()
    for name in set(columns) - {"wide"}:
        assert not sorts(columns[name].type)
        with pytest.raises(InputError, match=f"SKDEPLOY_KEY_COLUMNS: '{name}' is .*, which is no key"):
            input_of(path, keys=(name,))


@pytest.mark.parametrize(
    ("kind", "inside", "outside", "wall"),
    [
        (pa.timestamp("us", "UTC"), DAY.start, DAY.end, False),
        (
            pa.timestamp("s", "Asia/Tokyo"),
            DAY.end - timedelta(seconds=1),
            DAY.start - timedelta(seconds=1),
            False,
        ),
        (pa.timestamp("ns", "UTC"), DAY.end - timedelta(microseconds=1), DAY.end, False),
        (pa.timestamp("ms"), datetime(2013, 11, 5), datetime(2013, 11, 6), True),
        (pa.timestamp("ns"), datetime(2013, 11, 5, 23), datetime(2013, 11, 4, 23), True),
        (pa.date32(), date(2013, 11, 5), date(2013, 11, 6), True),
        (pa.date64(), date(2013, 11, 5), date(2013, 11, 4), True),
    ],
)
def test_event_times_of_any_type(
    kind: pa.DataType, inside: Any, outside: Any, wall: bool, tmp_path: Path
) -> None:
    """Instants are compared as instants; what has no zone, with the clock; null is of no interval."""
    path = tmp_path / "records.parquet"
    pq.write_table(pa.table({"k": [1, 2, 3], "at": pa.array([outside, inside, None], kind)}), path)
    records = input_of(path)
    assert records.wall is wall
    assert (records.count(DAY), records.without_time()) == (1, 1)
    (chunk,) = records.chunks(DAY, 10)
    assert chunk.columns["k"].to_pylist() == [2]


def test_spark_s_old_timestamps_are_instants(tmp_path: Path) -> None:
    """INT96 reads as a time without a zone, and is one in UTC."""
    path = tmp_path / "records.parquet"
    at = pa.array([datetime(2013, 11, 5, 4, 59), datetime(2013, 11, 5, 5)], pa.timestamp("ns"))
    pq.write_table(pa.table({"k": [1, 2], "at": at}), path, use_deprecated_int96_timestamps=True)
    records = input_of(path)
    assert not records.wall
    new_york = Calendar("daily", ZoneInfo("America/New_York"), wall=False).containing(DAY.end)
    assert new_york.label == "2013-11-05"
    (chunk,) = records.chunks(new_york, 10)
    assert chunk.columns["k"].to_pylist() == [2]


@pytest.mark.parametrize("value", ["2013-11-05", 1383609600, time(5), [1]])
def test_what_is_no_event_time_is_said(value: Any, tmp_path: Path) -> None:
    """Texts and numbers are not guessed at."""
    path = tmp_path / "records.parquet"
    pq.write_table(pa.table({"k": [1], "at": [value]}), path)
    with pytest.raises(InputError, match=r"SKDEPLOY_TIME_COLUMN: 'at' is .* in the files, no date-time"):
        input_of(path)
