"""Records in key order, in whatever batches they came -> chunks that depend on the records alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from skdeploy.batch.chunks import Chunk
from skdeploy.errors import InputError


def rechunk(batches: Iterable[pa.RecordBatch], size: int, keys: Sequence[str]) -> Iterator[Chunk]:
    """Chunks of `size` records; of more where the last key goes on, of fewer at the end.

    At most 2 * `size` records, and the batch that goes beyond them, are held. Raises InputError.
    """
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        if not batch.num_rows:
            continue
        waiting.append(batch)
        count += batch.num_rows
        if count <= size:
            continue
        table = pa.Table.from_batches(waiting)
        while end := _end(table, size, keys):
            yield _chunk(table.slice(0, end))
            table = table.slice(end)
        waiting, count = table.to_batches(), table.num_rows
    if count:
        yield _chunk(pa.Table.from_batches(waiting))


def rechunk_rows(
    rows: Iterable[Sequence[Any]], names: Sequence[str], size: int, keys: Sequence[str]
) -> Iterator[Chunk]:
    """The same chunks from rows; `names` are those of their values."""
    places = [names.index(key) for key in keys]
    waiting: list[Sequence[Any]] = []
    for row in rows:
        if len(waiting) >= size:
            if not _equal(waiting[-1], row, places):
                yield _chunk_of_rows(waiting, names)
                waiting = []
            elif len(waiting) == 2 * size:
                raise _no_key(keys, size)
        waiting.append(row)
    if waiting:
        yield _chunk_of_rows(waiting, names)


def _end(table: pa.Table, size: int, keys: Sequence[str]) -> int:
    """Where the first chunk ends; 0 if what is still to come decides that."""
    end = size
    while end < table.num_rows and _same_key(table, size - 1, end, keys):
        end += 1
        if end > 2 * size:
            raise _no_key(keys, size)
    return end if end < table.num_rows else 0


def _same_key(table: pa.Table, first: int, second: int, keys: Sequence[str]) -> bool:
    columns = [table.column(name) for name in keys]
    return all(_same(column[first].as_py(), column[second].as_py()) for column in columns)


def _equal(first: Sequence[Any], second: Sequence[Any], places: Sequence[int]) -> bool:
    return all(_same(first[place], second[place]) for place in places)


def _same(first: Any, second: Any) -> bool:
    """Also of nulls, and of NaNs, which sort together."""
    return bool(first == second or (first != first and second != second))


def _no_key(keys: Sequence[str], size: int) -> InputError:
    named = ", ".join(keys)
    return InputError(
        f"More than {size} records have the same {named}: that is no key. Correct SKDEPLOY_KEY_COLUMNS so "
        "that they "
        "tell records apart; a few that they do not are rejected."
    )


def _chunk(table: pa.Table) -> Chunk:
    columns = {name: _whole(table.column(name)) for name in table.column_names}
    return Chunk(columns, table.num_rows)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks)


def _chunk_of_rows(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> Chunk:
    columns: dict[str, list[Any]] = {
        name: list(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)
    }
    return Chunk(columns, len(rows))
