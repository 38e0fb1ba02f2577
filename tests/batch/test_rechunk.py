"""Chunks depend on the records alone, and never part a key."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdeploy.batch.chunks import Chunk
from skdeploy.batch.rechunk import rechunk, rechunk_rows
from skdeploy.errors import InputError

SCHEMA = pa.schema([("day", pa.float64()), ("id", pa.string()), ("value", pa.int64())])
KEYS = ("day", "id")
NULL_FIRST = (None, 1.0, 2.5, math.nan)


def order(key: tuple[float | None, str | None]) -> tuple[int, str]:
    """Nulls first, NaN last, as inputs sort."""
    day, text = key
    return (3 if day is not None and math.isnan(day) else NULL_FIRST.index(day), text or "")


keys = st.tuples(st.sampled_from(NULL_FIRST), st.sampled_from([None, "a", "b"]))
some_records = st.lists(keys, max_size=60).map(
    lambda found: [(*key, index) for index, key in enumerate(sorted(found, key=order))]
)


def in_batches(records: list[Any], cuts: list[int]) -> Iterator[pa.RecordBatch]:
    """The records, parted at `cuts`."""
    edges = [0, *sorted(cut for cut in cuts if cut <= len(records)), len(records)]
    for start, end in pairwise(edges):
        columns: list[Any] = [list(column) for column in zip(*records[start:end], strict=True)] or [
            [],
            [],
            [],
        ]
        yield pa.record_batch(
            [pa.array(c, f.type) for c, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA
        )


def rows_of(chunk: Chunk) -> list[tuple[Any, ...]]:
    """What a chunk holds, NaN as a text so that it equals itself."""
    columns: list[list[Any]] = [
        cells if isinstance(cells, list) else cells.to_pylist() for cells in chunk.columns.values()
    ]
    rows = list(zip(*columns, strict=True))
    assert len(rows) == chunk.count
    return [tuple("nan" if cell != cell else cell for cell in row) for row in rows]


def outcome(chunks: Iterator[Chunk]) -> list[list[tuple[Any, ...]]] | str:
    """The chunks' rows, or what was wrong with them."""
    try:
        return [rows_of(chunk) for chunk in chunks]
    except InputError as error:
        return str(error)


@given(some_records, st.lists(st.integers(0, 60), max_size=12), st.integers(1, 9))
def test_chunks_are_the_same_however_records_came(records: list[Any], cuts: list[int], size: int) -> None:
    """One batch, many batches, or rows: the same chunks, or the same error."""
    whole = outcome(rechunk(in_batches(records, []), size, KEYS))
    assert outcome(rechunk(in_batches(records, cuts), size, KEYS)) == whole
    assert outcome(rechunk_rows(records, SCHEMA.names, size, KEYS)) == whole


@given(some_records, st.lists(st.integers(0, 60), max_size=12), st.integers(1, 9))
def test_a_chunk_has_its_size_and_whole_keys(records: list[Any], cuts: list[int], size: int) -> None:
    """All records in their order; chunks of `size`, longer only by their last key; no key in two."""
    chunks = outcome(rechunk(in_batches(records, cuts), size, KEYS))
    runs = [len(list(run)) for _, run in groupby(records, key=lambda record: order(record[:2]))]
    if isinstance(chunks, str):
        assert max(runs) > size
        return
    assert [row[2] for chunk in chunks for row in chunk] == [record[2] for record in records]
    for chunk in chunks:
        assert 0 < len(chunk) <= 2 * size
        assert len({row[:2] for row in chunk[size - 1 :]}) == 1 or len(chunk) <= size
    for chunk, following in pairwise(chunks):
        assert len(chunk) >= size
        assert chunk[-1][:2] != following[0][:2]


def test_an_endless_key_is_none() -> None:
    """One key that goes on for more than a chunk is an error that names the columns, not a full memory."""

    def endless() -> Iterator[pa.RecordBatch]:
        while True:
            yield next(in_batches([(1.0, "a", 1)] * 7, []))

    with pytest.raises(InputError, match="More than 10 records have the same day, id: that is no key"):
        list(rechunk(endless(), 10, KEYS))


def test_a_key_as_long_as_a_chunk_is_kept_together() -> None:
    """`size` further records with the last key still belong to it."""
    records = [(1.0, "a", index) for index in range(6)] + [(2.0, "a", 6)]
    assert [chunk.count for chunk in rechunk(in_batches(records, [2, 5]), 3, KEYS)] == [6, 1]


def test_dictionaries_of_batches_may_differ() -> None:
    """Columns that are coded batch by batch are joined."""
    batches = [
        pa.record_batch({"id": pa.array([text]).dictionary_encode(), "n": pa.array([index])})
        for index, text in enumerate("abc")
    ]
    chunks = list(rechunk(batches, 2, ["id"]))
    assert [[row[0] for row in rows_of(chunk)] for chunk in chunks] == [["a", "b"], ["c"]]
