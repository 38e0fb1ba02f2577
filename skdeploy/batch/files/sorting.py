"""Records in the order of their keys, however many there are, in a memory that does not grow with them.

What fits is sorted where it is. Else the keys are looked at a second time, by a sample; it says where to
cut the records into buckets that fit. Each memory full of records is sorted and parted among the
buckets, in one temporary file, and then each bucket is read back and sorted. DuckDB, which can sort
more than its memory too, kept what came to it through Arrow, and failed under a limit below 256 MB.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from skdeploy.batch.files.kinds import Places, order_of, sortable
from skdeploy.batch.files.scratch import scratch_folder
from skdeploy.errors import InputError

_SAMPLES_PER_BUCKET = 64
# So many times what was expected is no accident of the sample.
_TOO_MANY = 8
_YIELDED_ROWS = 16_384

Batches = Iterator[pa.RecordBatch]
Order = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sorting:
    """How records are sorted.

    keys     the key's columns: nulls come first, then NaN
    after    the order of a key; it, and what comes before it, is left out
    budget   bytes that are sorted at once; five times of that are held at most
    """

    keys: Sequence[str]
    after: Order | None
    budget: int

    def sort(self, batches: Batches, count: Callable[[], int], sample: Callable[[], Batches]) -> Batches:
        """The records in order.

        count    how many there are, about; asked only if they do not fit
        sample   gives their key columns once more
        """
        first, more = self._fill(batches)
        if not more:
            yield from _in_pieces(self._sorted(first))
            return
        rows = sum(batch.num_rows for batch in first)
        cuts = self._cuts(count(), rows, sample())
        with ExitStack() as stack:
            file = stack.enter_context((stack.enter_context(scratch_folder()) / "records").open("w+b"))
            spill = _Spill(file, len(cuts) + 1, first[0].schema)
            while first:
                self._part(self._sorted(first), cuts, spill)
                first, _ = self._fill(batches)
            for bucket in range(len(cuts) + 1):
                if spill.rows[bucket] > _TOO_MANY * rows:
                    raise self._no_key(spill.rows[bucket])
                yield from _in_pieces(self._sorted(spill.read(bucket)))

    def _fill(self, batches: Batches) -> tuple[list[pa.RecordBatch], bool]:
        """As many as may be sorted at once; and whether there may be more."""
        held, size = [], 0
        for batch in batches:
            held.append(batch)
            size += batch.nbytes
            if size >= self.budget:
                return held, True
        return held, False

    def _sorted(self, batches: list[pa.RecordBatch]) -> pa.Table | None:
        """All of them behind `after`; the list is emptied."""
        if not batches:
            return None
        table = pa.Table.from_batches(batches).combine_chunks()
        batches.clear()
        indices = pc.sort_indices(
            pa.table(self._orders(table)),
            sort_keys=[(str(place), "ascending", "at_start") for place in range(len(self.keys))],
        )
        table = table.take(indices)
        if self.after is None:
            return table
        return table.slice(bisect_right(self._places(table), self.after))

    def _orders(self, table: pa.Table) -> dict[str, pa.Array]:
        return {str(place): sortable(table.column(name)) for place, name in enumerate(self.keys)}

    def _places(self, table: pa.Table) -> Places:
        return Places(list(self._orders(table).values()))

    def _cuts(self, count: int, rows: int, keys: Batches) -> list[Order]:
        """Where buckets of about so many rows begin, but for the first one."""
        buckets = max(2, math.ceil(count / rows * 1.3))
        share = min(1.0, buckets * _SAMPLES_PER_BUCKET / max(count, 1))
        random = np.random.default_rng(0)
        orders: list[Order] = []
        for batch in keys:
            chosen = np.flatnonzero(random.random(batch.num_rows) < share)
            columns = [sortable(batch.column(name).take(pa.array(chosen))).to_pylist() for name in self.keys]
            orders += [tuple(map(order_of, key)) for key in zip(*columns, strict=True)]
        orders.sort()
        places = (len(orders) * bucket // buckets for bucket in range(1, buckets))
        return sorted({orders[place] for place in places}) if orders else []

    def _part(self, table: pa.Table | None, cuts: Sequence[Order], spill: _Spill) -> None:
        if table is None:
            return
        places = self._places(table)
        edges = [0, *(bisect_left(places, cut) for cut in cuts), table.num_rows]
        for bucket, (start, end) in enumerate(pairwise(edges)):
            if end > start:
                spill.write(bucket, table.slice(start, end - start))

    def _no_key(self, rows: int) -> InputError:
        return InputError(
            f"About {rows:,} records have the same {', '.join(self.keys)}: that is no key. Correct "
            "SKDEPLOY_KEY_COLUMNS so that they tell records apart."
        )


class _Spill:
    """Records of several buckets in one file, piece by piece."""

    def __init__(self, file: BinaryIO, buckets: int, schema: pa.Schema) -> None:
        self.rows = [0] * buckets
        self._file = file
        self._schema = schema
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in range(buckets)]

    def write(self, bucket: int, table: pa.Table) -> None:
        for batch in table.to_batches():
            content = batch.serialize()
            self._pieces[bucket].append((self._file.tell(), content.size))
            self._file.write(content)
            self.rows[bucket] += batch.num_rows

    def read(self, bucket: int) -> list[pa.RecordBatch]:
        batches = []
        for start, size in self._pieces[bucket]:
            self._file.seek(start)
            batches.append(pa.ipc.read_record_batch(pa.py_buffer(self._file.read(size)), self._schema))
        return batches


def _in_pieces(table: pa.Table | None) -> Batches:
    if table is not None:
        yield from table.to_batches(max_chunksize=_YIELDED_ROWS)
