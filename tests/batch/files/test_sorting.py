"""More records than the memory holds, in order, whatever their number and keys."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdeploy.batch.files.kinds import key_order
from skdeploy.batch.files.sorting import Sorting
from skdeploy.errors import InputError

SCHEMA = pa.schema([("a", pa.int64()), ("b", pa.string()), ("n", pa.int64())])
KINDS = [pa.int64(), pa.string()]


def batches(rows: list[tuple[Any, ...]], size: int) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(rows), size):
        columns = [list(column) for column in zip(*rows[start : start + size], strict=True)]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def sorted_rows(rows: list[tuple[Any, ...]], size: int, budget: int, after: Any = None) -> list[Any]:
    sorting = Sorting(["a", "b"], after and key_order(after, KINDS), budget)
    found = sorting.sort(
        batches(rows, size),
        lambda: len(rows),
        lambda: (batch.select(["a", "b"]) for batch in batches(rows, size)),
    )
    return [tuple(row.values()) for batch in found for row in batch.to_pylist()]


def order(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return (row[0] is not None, row[0] or 0, row[1] is not None, row[1] or "")


keys = st.tuples(st.none() | st.integers(-3, 3) | st.integers(), st.none() | st.text("ab", max_size=3))
keys = keys.filter(lambda key: key[0] is None or abs(key[0]) < 2**63)


@given(st.lists(keys, max_size=80), st.integers(1, 9), st.integers(1, 2000), st.none() | keys)
def test_records_come_in_order(found: list[Any], size: int, budget: int, after: Any) -> None:
    """All of them behind a key, whether they fit or are parted; those of a key in any order."""
    rows = [(*key, number) for number, key in enumerate(found)]
    try:
        result = sorted_rows(rows, size, budget, after)
    except InputError:
        assert max(map(found.count, found)) > size
        return
    expected = [row for row in rows if after is None or order(row) > order(after)]
    assert sorted(result, key=lambda row: row[2]) == sorted(expected, key=lambda row: row[2])
    assert list(map(order, result)) == sorted(map(order, expected))


def test_many_buckets_of_about_the_same_size(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hundred times what fits; the temporary file is gone in the end, also when nobody wants the rest."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rows = [((number * 7919) % 100_003, "x", number) for number in range(100_003)]
    assert [row[0] for row in sorted_rows(rows, 500, 25_000)] == list(range(100_003))
    assert list(tmp_path.iterdir()) == []
    sorting = Sorting(["a", "b"], None, 25_000)
    found = sorting.sort(batches(rows, 500), lambda: len(rows), lambda: batches(rows, 500))
    assert next(found).num_rows < 10 * 1000
    assert len(list(tmp_path.iterdir())) == 1
    found.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_key_does_not_fill_the_memory() -> None:
    """Three keys of a hundred thousand records are an error that names the columns."""
    rows = [(number % 3, "x", number) for number in range(100_000)]
    with pytest.raises(InputError, match=r"About 33,\d+ records have the same a, b: that is no key"):
        sorted_rows(rows, 500, 25_000)
