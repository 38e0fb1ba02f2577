"""Records from Parquet files: which files, which records, in which order, and what is wrong with them."""

from __future__ import annotations

import random
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skdeploy.batch.files.input import ParquetInput
from skdeploy.batch.files.storage import open_storage
from skdeploy.batch.intervals import Calendar
from skdeploy.errors import InputError, OutputError
from tests.batch.files.conftest import Place

DAILY = Calendar("daily", ZoneInfo("UTC"), wall=False)
DAY = DAILY.containing(datetime(2013, 11, 5, tzinfo=UTC))
AT = pa.timestamp("us", "UTC")


def records(count: int, first: int = 0, **more: Any) -> pa.Table:
    """One record per minute from the day's begin on, keys in no order."""
    ids = list(range(first, first + count))
    random.Random(first).shuffle(ids)
    columns = {
        "id": pa.array(ids),
        "at": pa.array([DAY.start + timedelta(minutes=key) for key in ids], AT),
        "size": pa.array([None if key % 3 == 0 else key / 2 for key in ids], pa.float64()),
    }
    return pa.table(columns | more)


def put(place: Place, name: str, table: pa.Table, **options: Any) -> None:
    """Write a table as a file of the place."""
    storage = open_storage(place(""), "SKDEPLOY_OUTPUT_URL", OutputError)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    storage.replace(name, sink.getvalue().to_pybytes(), None)


def opened(url: str, columns: tuple[str, ...] = ("size",), **more: Any) -> ParquetInput:
    return ParquetInput(url, keys=["id"], time="at", columns=columns, **more)


def ids(records: ParquetInput, size: int = 100, after: tuple[Any, ...] | None = None) -> list[list[int]]:
    return [chunk.columns["id"].to_pylist() for chunk in records.chunks(DAY, size, after)]


def test_an_interval_s_records_come_in_the_order_of_their_keys(place: Place) -> None:
    """Out of several files, in chunks of the size; and behind a key the rest of them."""
    put(place, "in/one.parquet", records(1000))
    put(place, "in/deeper/two.parquet", records(1000, first=1000))
    found = opened(place("in"))
    assert found.key_types == {"id": pa.int64()}
    assert not found.wall
    assert (found.count(DAY), found.count(DAILY.next(DAY)), found.without_time()) == (1440, 560, 0)
    chunks = list(found.chunks(DAY, 500))
    assert [chunk.count for chunk in chunks] == [500, 500, 440]
    assert list(chunks[0].columns) == ["id", "size"]
    assert [key for chunk in ids(found, 500) for key in chunk] == list(range(1440))
    sizes = [value for chunk in chunks for value in chunk.columns["size"].to_pylist()]
    assert sizes == [None if key % 3 == 0 else key / 2 for key in range(1440)]
    assert ids(found, 500, after=(499,)) == ids(found, 500)[1:]
    assert ids(found, 500, after=(1439,)) == []
    assert list(found.chunks(DAILY.previous(DAY), 500)) == []


def test_files_are_those_of_the_url(place: Place) -> None:
    """A folder's, without what is hidden or no Parquet; a glob's; one file; name=value is a column."""
    for number, name in enumerate(
        [
            "in/kind=oak/a.parquet",
            "in/kind=elm/b.parquet",
            "in/_temporary/c.parquet",
            "in/.d.parquet",
            "inner/e.parquet",
        ]
    ):
        put(place, name, records(2, first=2 * number))
    open_storage(place(""), "SKDEPLOY_OUTPUT_URL", OutputError).replace("in/_SUCCESS", b"", None)
    open_storage(place(""), "SKDEPLOY_OUTPUT_URL", OutputError).replace("in/README.txt", b"no Parquet", None)
    assert ids(opened(place("in"))) == ids(opened(place("in/"))) == [[0, 1, 2, 3]]
    assert ids(opened(place("in/kind=oak/a.parquet"))) == [[0, 1]]
    assert ids(opened(place("in*/**/[ae].parquet"))) == [[0, 1, 8, 9]]
    (chunk,) = opened(place("in"), columns=("kind",)).chunks(DAY, 10)
    assert chunk.columns["kind"].to_pylist() == ["oak", "oak", "elm", "elm"]
    for nothing in ("empty", "in/*.nothing", "in/kind=o"):
        with pytest.raises(InputError, match=r"SKDEPLOY_INPUT_URL: there is no (Parquet )?file"):
            opened(place(nothing))


def test_folders_may_name_numbers(folder: Place) -> None:
    """Where all are whole numbers the column is; a leading zero makes a text; the default is null."""
    for number, (month, code) in enumerate([("1", "01"), ("-12", "1"), ("__HIVE_DEFAULT_PARTITION__", "2")]):
        put(folder, f"in/month={month}/code={code}/x.parquet", records(1, first=number))
    (chunk,) = opened(folder("in"), columns=("month", "code")).chunks(DAY, 10)
    assert chunk.columns["month"].to_pylist() == [1, -12, None]
    assert chunk.columns["code"].to_pylist() == ["01", "1", "2"]


def test_a_missing_column_is_not_null(place: Place) -> None:
    """One file that lacks it is enough, and is named."""
    put(place, "in/one.parquet", records(10))
    put(place, "in/two.parquet", records(10).drop_columns(["size"]))
    with pytest.raises(InputError, match=r"in/two.parquet has no column 'size'; it has id, at\."):
        opened(place("in"))


def test_types_of_files_may_differ_as_far_as_values_fit(folder: Place) -> None:
    """Whole numbers and others, zones, texts however stored; else the error says who has what, no value."""
    berlin = pa.timestamp("ms", "Europe/Berlin")
    put(folder, "in/a.parquet", records(2, size=pa.array([1, 2]), text=pa.array(["x", None])))
    text = pa.array(["y", "z"]).dictionary_encode()
    at = records(2, first=2)["at"].cast(berlin)
    put(folder, "in/b.parquet", records(2, first=2, text=text).set_column(1, "at", at))
    (chunk,) = opened(folder("in"), columns=("size", "text")).chunks(DAY, 10)
    assert chunk.columns["size"].to_pylist()[2:] == [1.0, None]
    assert sorted(filter(None, chunk.columns["text"].to_pylist())) == ["x", "y", "z"]
    put(folder, "in/c.parquet", records(2, first=4, size=pa.array([2**53 + 1, 2]), text=text))
    with pytest.raises(InputError, match=r"c.parquet has 'size' as int64, with values that do not") as caught:
        ids(opened(folder("in"), columns=("size", "text")))
    assert "9007" not in str(caught.value)
    put(folder, "in/d.parquet", records(2, first=6, size=pa.array(["1", "2"]), text=text))
    with pytest.raises(InputError, match=r"the files do not agree on column 'size': int64 in .*string in"):
        opened(folder("in"), columns=("size", "text"))


def test_what_cannot_be_read_is_said(folder: Place, tmp_path: Path) -> None:
    """No Parquet at all, cut off later, gone since it was opened: each names the file."""
    with pytest.raises(InputError, match="there is no file or folder"):
        opened(folder("in"))
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "a.parquet"
    path.write_bytes(b"no Parquet")
    with pytest.raises(InputError, match=r"a.parquet cannot be read as Parquet"):
        opened(folder("in"))
    pq.write_table(records(10), path)
    found = opened(folder("in"))
    path.unlink()
    with pytest.raises(InputError, match=r"in cannot be read: .*a.parquet"):
        ids(found)
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["id", "id"])
    pq.write_table(twice, path)
    with pytest.raises(InputError, match="more than one column 'id'"):
        opened(folder("in"))


def test_names_are_taken_literally(tmp_path: Path) -> None:
    """Case, dots, spaces and quotes tell columns apart."""
    names = ["size", "Size", "si.ze", 'si "ze', "c0", "sépal (cm)"]
    columns = {name: pa.array([number] * 2) for number, name in enumerate(names)}
    pq.write_table(records(2, **columns), tmp_path / "a.parquet")
    (chunk,) = opened(str(tmp_path), columns=tuple(names)).chunks(DAY, 10)
    assert [chunk.columns[name].to_pylist() for name in names] == [[number] * 2 for number in range(6)]


def test_only_groups_of_rows_are_read_that_may_have_some(tmp_path: Path) -> None:
    """Where all other groups are damaged, an interval is read: Parquet's statistics answer its filter."""
    path = tmp_path / "a.parquet"
    pq.write_table(records(14_400).sort_by("at"), path, row_group_size=1440)
    content, groups = bytearray(path.read_bytes()), pq.read_metadata(path)
    assert groups.num_row_groups == 10
    for group in {*range(10)} - {1}:
        for column in map(groups.row_group(group).column, range(groups.num_columns)):
            begin = min(filter(None, (column.dictionary_page_offset, column.data_page_offset)))
            size = column.total_compressed_size
            content[begin : begin + size] = b"\xff" * size
    path.write_bytes(content)
    found = opened(str(tmp_path))
    (chunk,) = found.chunks(DAILY.next(DAY), 2000)
    assert sorted(chunk.columns["id"].to_pylist()) == [*range(1440, 2880)]
    with pytest.raises(InputError):
        [*found.chunks(DAY, 2000)]


MEMORY = """
import resource, sys
from datetime import UTC, datetime
from tests.batch.files.test_input import DAY, opened
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = opened(sys.argv[1], columns=("size", "text"), memory=8_000_000)
count = sum(chunk.count for chunk in found.chunks(DAY, 10_000))
print(count, before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_interval(tmp_path: Path) -> None:
    """Four million records of 70 bytes, in no order: what the sort does not hold is spilled, and removed."""
    schema = pa.schema([("id", pa.int64()), ("at", AT), ("size", pa.float64()), ("text", pa.string())])
    count = 4_000_000
    with pq.ParquetWriter(tmp_path / "a.parquet", schema) as writer:
        for part in range(8):
            keys = [(place * 7919 * 8 + part) % count for place in range(count // 8)]
            columns = {
                "id": pa.array(keys),
                "at": pa.array([DAY.start] * len(keys), AT),
                "size": pa.array(keys, pa.float64()),
                "text": pa.array([f"a text of some length, and its number {key}" for key in keys]),
            }
            writer.write_table(pa.table(columns, schema))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)],
        check=True,
        stdout=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary)},
    )
    found, before, after = map(int, run.stdout.split())
    assert found == count
    assert after - before < 250_000, f"{(after - before) / 1000:.0f} MB"
    assert list(temporary.iterdir()) == []
