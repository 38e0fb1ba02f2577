"""Columns are read as RecordReader reads their records, and predict the same."""

from __future__ import annotations

import math
import struct
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skdeploy
from skdeploy.batch.chunks import Chunk
from skdeploy.batch.columns import ColumnReader
from skdeploy.batch.plain import Unreadable, plain, whole
from skdeploy.errors import Rejection
from skdeploy.model import Model
from skdeploy.schema import Checked, Coded, Column, RecordReader, Schema, Table, as_list
from skdeploy.scoring import Scorer
from tests.counting import calls

ROOT = Path(__file__).parent.parent.parent
NUMERIC = pa.opaque(pa.string(), "numeric", "PostgreSQL")
COLUMNS = [
    Column(name="whole", type="int", dtype="int64"),
    Column(name="byte", type="int", dtype="uint8"),
    Column(name="big", type="int", dtype="uint64"),
    Column(name="maybe", type="int", dtype="Int64", nullable=True, null="NA"),
    Column(name="was double", type="int", dtype="int64", nullable=True),
    Column(name="level", type="int", dtype="int64", categories=[1, 2, 3], unknown="refuse"),
    Column(name="real", type="float", dtype="float64"),
    Column(name="single", type="float", dtype="float32", nullable=True),
    Column(name="half", type="float", dtype="float16"),
    Column(
        name="step", type="float", dtype="float32", nullable=True, categories=[0.1, 1.0], unknown="refuse"
    ),
    Column(name="flag", type="bool", dtype="bool"),
    Column(name="perhaps", type="bool", dtype="object", nullable=True, null="none"),
    Column(name="text", type="str", dtype="str", nullable=True),
    Column(name="grade", type="str", dtype="str", categories=["low", "hoch"], unknown="refuse"),
    Column(name="kind", type="str", dtype="category", categories=["a", "b"]),
    Column(name="at", type="datetime", dtype="datetime64[ns]", null="NaT", nullable=True),
    Column(name="zoned", type="datetime", dtype="datetime64[us, UTC]", null="NaT"),
]

EXACT = 2**53
INTEGERS = [0, 1, 2, 3, 255, 256, -1, -129, 65504, EXACT, EXACT + 1, -EXACT - 1, 2**63 - 1]
SINGLE = struct.unpack("f", struct.pack("f", 0.1))[0]
BOUNDS = [2.0**53, 2.0**53 + 2, 9.3e18, 2.0**63, 2.0**64, 3.5e38, 1e308, 5e-324, math.inf, -math.inf]
DOUBLES = [0.0, -0.0, 1.0, 2.0, 2.9, 255.0, -1.0, 0.1, SINGLE, 1e5, math.nan, *BOUNDS]
MOMENT = "2013-01-01T05:00:00"
WRITTEN = ["0.00", "1.00", "2.90", "255.00", "0.10", "12345678901234567.00", "9007199254740993.00"]
DECIMALS = [Decimal(text) for text in WRITTEN]
NUMERICS = ["1", "2.9", "0.1", "1e3", "NaN", "Infinity", "-Infinity", "9007199254740993", "?"]
COUNTS = [0, 1_357_016_400, 10**9, 10**12 + 1, 10**18 + 1000, 10**18 + 1, -(10**10), 2**63 - 1, -(2**63)]

TEXTS = ["low", "hoch", "a", "", "é\0", "12", MOMENT, f"{MOMENT}Z", f"{MOMENT}+01:00"]
OTHERS = [2**70, b"a", [1], date(2013, 1, 1), datetime(2013, 1, 1), datetime(2013, 1, 1, tzinfo=UTC)]


def ints_of(low: int, high: int) -> list[int]:
    """Those that a type holds."""
    return [number for number in [*INTEGERS, 2**64 - 1] if low <= number <= high]


TYPES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int8(), ints_of(-128, 127)),
    (pa.int16(), ints_of(-(2**15), 2**15 - 1)),
    (pa.int32(), ints_of(-(2**31), 2**31 - 1)),
    (pa.int64(), INTEGERS),
    (pa.uint8(), ints_of(0, 255)),
    (pa.uint32(), ints_of(0, 2**32 - 1)),
    (pa.uint64(), ints_of(0, 2**64)),
    (pa.float64(), DOUBLES),
    (pa.float32(), [number for number in DOUBLES if abs(number) < 3.4e38 or math.isinf(number)]),
    (pa.float16(), [np.float16(number) for number in (0.0, -0.0, 1.0, 2.5, 65504.0, math.nan, math.inf)]),
    (pa.bool_(), [True, False]),
    (pa.string(), TEXTS),
    (pa.large_string(), TEXTS),
    (pa.string_view(), TEXTS),
    (pa.dictionary(pa.int32(), pa.string()), TEXTS),
    (pa.dictionary(pa.int8(), pa.int64()), INTEGERS),
    (pa.decimal128(19, 2), DECIMALS),
    (pa.decimal256(60, 2), DECIMALS),
    (pa.decimal64(6, 1), [Decimal("1.0"), Decimal("2.9")]),
    *[(pa.timestamp(unit), COUNTS) for unit in ("s", "ms", "us", "ns")],
    *[(pa.timestamp(unit, zone), COUNTS) for unit, zone in (("us", "UTC"), ("ns", "Europe/Rome"))],
    (pa.date32(), [date(2013, 1, 1), date.max]),
    (pa.time64("us"), [time(5)]),
    (pa.duration("ms"), [timedelta(1)]),
    (pa.binary(), [b"low"]),
    (pa.list_(pa.int64()), [[1]]),
    (pa.struct([("a", pa.int64())]), [{"a": 1}]),
    (pa.null(), [None]),
    (pa.uuid(), [UUID(int=5).bytes]),
    (NUMERIC, NUMERICS),
]
LISTS: list[list[Any]] = [
    *([*ints_of(0, 2**63 - 1)], INTEGERS, DOUBLES, TEXTS, [True, False], DECIMALS, OTHERS[-2:]),
    *([*INTEGERS, *DOUBLES], [*TEXTS, 1, True, 1.0], [*OTHERS, *INTEGERS, *DECIMALS, *DOUBLES, True, "low"]),
]


def arrays(type_: pa.DataType, values: list[Any]) -> pa.Array:
    """An array; also of the types for which `pa.array` takes none of our values."""
    if isinstance(type_, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(type_, pa.array(values, type_.storage_type))
    if pa.types.is_dictionary(type_):
        return pa.array(values, type_.value_type).dictionary_encode().cast(type_)
    return pa.array(values, type_)


@st.composite
def columns(draw: st.DrawFn, count: int) -> Any:
    """Cells of some type, Arrow's or a list's."""
    type_, cells = draw(st.sampled_from([*TYPES, *((None, cells) for cells in LISTS)]))
    cell = st.sampled_from([*cells, None] if draw(st.booleans()) else cells)
    values = draw(st.lists(cell, min_size=count, max_size=count))
    if type_ is None:
        return values
    array = arrays(type_, values)
    return pa.chunked_array([array.slice(0, 1), array.slice(1)]) if draw(st.booleans()) else array


@st.composite
def chunks(draw: st.DrawFn) -> tuple[Schema, Chunk]:
    """A schema of some columns, and records for it, of which some columns are good for sure."""
    chosen = draw(st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique_by=lambda one: one.name))
    count = draw(st.integers(1, 6))
    found = {column.name: draw(columns(count)) for column in chosen if draw(st.integers(0, 19))}
    return Schema(container="frame", columns=chosen), Chunk(found, count)


def columns_of(schema: Schema, *, strict: bool = False) -> ColumnReader:
    """As a job makes it."""
    return ColumnReader(RecordReader(schema, strict=strict, max_described=None))


def by_record(schema: Schema, chunk: Chunk, strict: bool) -> Checked:
    """What RecordReader says of the chunk's values."""
    cells = {
        name: column if isinstance(column, list) else plain(whole(column))
        for name, column in chunk.columns.items()
    }
    records = [{name: column[row] for name, column in cells.items()} for row in range(chunk.count)]
    return RecordReader(schema, strict=strict).read(records)


def same(one: Any, other: Any) -> bool:
    """Equal, of one type, and of one sign."""
    signs = isinstance(one, float) and math.copysign(1, one) != math.copysign(1, other)
    return type(one) is type(other) and one == other and not signs


def assert_equal(got: Checked, expected: Checked) -> None:
    assert (got.count, list(got.positions), got.bad) == (
        expected.count,
        list(expected.positions),
        expected.bad,
    )
    assert (got.ids, got.single, got.table.count) == (None, False, expected.table.count)
    for cells, others in zip(got.table.cells, expected.table.cells, strict=True):
        listed = as_list(cells)
        assert all(map(same, listed, others)), (listed, others)
        assert len(listed) == len(cells) == len(others)
        if isinstance(cells, Coded):
            assert set(cells.codes.tolist()) == set(range(len(cells.values)))


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(chunks(), st.booleans())
def test_columns_are_read_as_their_records_are(given: tuple[Schema, Chunk], strict: bool) -> None:
    """The same cells, positions and bad cells, in the same words, whatever the columns' types."""
    schema, chunk = given
    assert_equal(columns_of(schema, strict=strict).read(chunk), by_record(schema, chunk, strict))


def lone(array: pa.Array) -> Any:
    """The array's value."""
    (value,) = plain(whole(array))
    return value


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.name)
def test_each_type_in_each_column(column: Column) -> None:
    """All of a type's values in one column, with a null and without, and each alone."""
    schema = Schema(container="frame", columns=[column])
    reader = columns_of(schema)
    for type_, values in [*TYPES, *((None, cells) for cells in LISTS)]:
        for chosen in [values, [*values, None], *([value] for value in values)]:
            cells = chosen if type_ is None else arrays(type_, chosen)
            chunk = Chunk({column.name: cells}, len(chosen))
            assert_equal(reader.read(chunk), by_record(schema, chunk, strict=False))


def test_what_arrow_holds_is_plain() -> None:
    """Codes, runs and views are their values; numerics are decimals; nothing loses a digit."""
    assert plain(whole(pa.array(["a", None, "a"]).dictionary_encode())) == ["a", None, "a"]
    assert plain(whole(pc.run_end_encode(pa.array([1, 1, None])))) == [1, 1, None]
    assert plain(whole(pa.array(["a", None], pa.string_view()))) == ["a", None]
    assert str(plain(whole(arrays(NUMERIC, ["1.10", None])))) == "[Decimal('1.10'), None]"
    assert lone(pa.array([Decimal("1.10")], pa.decimal32(5, 2))) == Decimal("1.10")


def test_date_times_are_plain() -> None:
    """In UTC if there is a zone, known or not; nanoseconds stay visible, as text."""
    moment = datetime(2013, 1, 1, 5, 0, 0, 1, tzinfo=UTC)
    micros = int(moment.timestamp()) * 10**6 + 1
    assert lone(pa.array([micros], pa.timestamp("us"))) == moment.replace(tzinfo=None)
    for zone in ("America/New_York", "Nowhere/At_All"):
        assert lone(pa.array([micros], pa.timestamp("us", zone))) == moment
        assert lone(pa.array([micros * 1000], pa.timestamp("ns", zone))) == moment
    assert lone(pa.array([micros * 1000 + 5], pa.timestamp("ns", "UTC"))) == f"{MOMENT}.000001005Z"
    assert lone(pa.array([-1], pa.timestamp("ns"))) == "1969-12-31T23:59:59.999999999"
    first = pa.array([-62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800], pa.timestamp("s"))
    unreadable = Unreadable(first.type)
    assert plain(first) == [datetime.min, unreadable, datetime(9999, 12, 31, 23, 59, 59), unreadable]


def test_nanoseconds_are_refused_with_the_reason() -> None:
    """More digits than the model can have seen are not cut."""
    schema = Schema(container="frame", columns=[COLUMNS[-2]])
    checked = columns_of(schema).read(Chunk({"at": pa.array([10**18, 5, None], pa.timestamp("ns"))}, 3))
    assert list(checked.positions) == [0, 2]
    (cell,) = checked.bad[1]
    assert (cell.code, cell.got) == ("precision", 'string "1970-01-01T00:00:00.000000005"')


@pytest.mark.parametrize(
    ("array", "got"),
    [
        (pa.array([date(2013, 1, 2)]), "date 2013-01-02"),
        (pa.array([b"low"]), "bytes 6c6f77"),
        (pa.array([[1]]), "array"),
        (pa.array([{"a": 1}]), "object"),
        (pa.array([2**31 - 1], pa.date32()), "Unreadable value of type date32[day]"),
        (pa.array([b"\xff"]).view(pa.string()), "Unreadable value of type string"),
        (pa.array([2**62], pa.timestamp("us")), "Unreadable value of type timestamp[us]"),
        (pa.array([datetime(2013, 1, 2, 3)]), "datetime 2013-01-02 03:00:00"),
        (pa.array([True]), "true"),
        (pa.array([Decimal("1.50")]), "number 1.50"),
    ],
)
def test_other_types_are_refused_by_name(array: pa.Array, got: str) -> None:
    """What is no text is no text: nothing is turned into one, and nothing raises."""
    schema = Schema(container="frame", columns=[Column(name="text", type="str", dtype="str")])
    checked = columns_of(schema).read(Chunk({"text": array}, 1))
    assert checked.bad == {0: [Rejection(0, "text", "type", "string", got)]}


def test_a_column_that_is_not_there_is_named() -> None:
    """Every record lacks it; columns that are none of the model's are passed over."""
    schema = Schema(container="frame", columns=[COLUMNS[0], COLUMNS[6]])
    checked = columns_of(schema).read(Chunk({"whole": pa.array([1, 2]), "key": pa.array([1, 2])}, 2))
    assert [cell.column for cells in checked.bad.values() for cell in cells] == ["real", "real"]
    assert not checked.table.count


def test_every_bad_record_says_why() -> None:
    """Past 10,000 bad cells, each bad record still has its first, and the good ones are read."""
    names = [f"c{number}" for number in range(40)]
    schema = Schema(
        container="frame", columns=[Column(name=name, type="int", dtype="int8") for name in names]
    )
    values = np.full(1000, 300)
    values[7], values[999] = 1, 2
    checked = columns_of(schema).read(Chunk(dict.fromkeys(names, pa.array(values)), 1000))
    assert list(checked.positions) == [7, 999]
    assert sorted(checked.bad) == [row for row in range(1000) if row not in (7, 999)]
    assert all(cell.record == row for row, cells in checked.bad.items() for cell in cells)
    counts = [len(checked.bad[row]) for row in sorted(checked.bad)]
    assert counts == [40] * 250 + [1] * 748


def test_an_empty_chunk_has_no_records() -> None:
    """No rows, no columns that would have a type."""
    schema = Schema(container="frame", columns=COLUMNS)
    assert_equal(columns_of(schema).read(Chunk({}, 0)), RecordReader(schema).read([]))


@pytest.fixture(scope="module")
def flights() -> dict[str, Model]:
    """The flights' model on both engines."""
    return {engine: skdeploy.load(ROOT / "model.bin", engine=engine) for engine in ("onnx", "sklearn")}


@st.composite
def flight_chunks(draw: st.DrawFn) -> Chunk:
    """Flights, some with nulls, strange categories and numbers that fit in another type."""
    count = draw(st.integers(1, 12))

    def some(cells: st.SearchStrategy[Any], *types: pa.DataType) -> Any:
        values = draw(st.lists(cells, min_size=count, max_size=count))
        type_ = draw(st.sampled_from([*types, None]))
        return values if type_ is None else pa.array(values, type_)

    found = {
        name: some(
            st.sampled_from(["JFK", "EWR", "LAX", "ATL", "AA", "UA", "?"]), pa.string(), pa.string_view()
        )
        for name in ("origin", "dest", "carrier")
    }
    for name, low, high in (("month", 1, 12), ("weekday", 0, 6), ("hour", 0, 23), ("distance", 0, 5000)):
        found[name] = some(st.integers(low, high), pa.int16(), pa.int64(), pa.float64(), pa.decimal128(6, 1))
    weather = st.none() | st.sampled_from([0.0, -0.0, 39.02, 1012.0, 360.0, math.nan])
    for name in ("temp", "dewp", "humid", "wind_dir", "wind_speed", "pressure"):
        found[name] = some(weather, pa.float64(), pa.float32())
    return Chunk(found, count)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(chunk=flight_chunks())
def test_predictions_are_those_of_the_records(flights: dict[str, Model], chunk: Chunk) -> None:
    """Bit by bit, with both engines, whatever the columns came as."""
    schema = flights["onnx"].schema
    checked, expected = columns_of(schema).read(chunk), by_record(schema, chunk, strict=False)
    assert_equal(checked, expected)
    assert not checked.bad
    for model in flights.values():
        assert Scorer(model).predict(checked.table).values == Scorer(model).predict(expected.table).values


def test_plainly_good_columns_stay_arrays(flights: dict[str, Model]) -> None:
    """Ten thousand flights cost hardly more than twelve: no Python per record."""
    schema = flights["onnx"].schema
    reader, types = columns_of(schema), {"str": pa.string(), "int": pa.int64(), "float": pa.float64()}

    def chunk(count: int) -> Chunk:
        found = {one.name: pa.array([one.example] * count, types[one.type]) for one in schema.columns}
        return Chunk(found, count)

    small, large = chunk(12), chunk(10_000)
    assert calls(lambda: reader.read(large)) <= calls(lambda: reader.read(small)) + 20
    assert {type(column) for column in reader.read(large).table.cells} == {Coded, np.ndarray}


def test_a_record_alone_is_lists(flights: dict[str, Model]) -> None:
    """As Table promises, also of what is left of a chunk."""
    schema = Schema(container="frame", columns=[COLUMNS[0], COLUMNS[7], COLUMNS[13]])
    columns = {
        "whole": pa.array([1, None]),
        "single": pa.array([math.nan, 0.5]),
        "grade": pa.array(["low"] * 2),
    }
    checked = columns_of(schema).read(Chunk(columns, 2))
    assert checked.table == Table([[1], [None], ["low"]], 1)
