"""A table and its predictions -> counts of all bins of a sketch."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from skdeploy.drift.binning import Counts, counter
from skdeploy.drift.psi import records
from skdeploy.drift.sketch import Sketch
from skdeploy.schema import Table, as_list

# Of a large table so many records are looked at: enough for a share, and a few percent of its scoring.
_MOST_OF_A_TABLE = 1024
# Records of a table that is joined with others before it is binned.
_SMALL = 1000


class Meter:
    """Counts records by bin; safe to call from several threads. All bins stand one behind the other."""

    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self._counters = [counter(bins) for bins in sketch.all]
        ends = np.cumsum([bins.size for bins in sketch.all]).tolist()
        self.size = ends[-1]
        self._splits = ends[:-1]

    def count(self, table: Table) -> Counts:
        """How many records are in each bin, (size,).

        table   the model's columns, then a column per output: `with_outputs`
        """
        pairs = zip(self._counters, table.cells, strict=True)
        return np.concatenate([count(column) for count, column in pairs])

    def counting(self, tables: Sequence[Table]) -> Iterator[Counts]:
        """The counts of several such tables together, one column after the other."""
        small = [table for table in tables if table.count <= _SMALL]
        large = [table for table in tables if table.count > _SMALL]
        for place, count in enumerate(self._counters):
            # Binning each small table by itself would cost more than the join.
            joined = [*chain.from_iterable(as_list(table.cells[place]) for table in small)]
            yield sum((count(table.cells[place]) for table in large), count(joined))

    def by_column(self, counts: Counts) -> dict[str, Counts]:
        """The counts of each column and output, by its name."""
        parts = np.split(counts, self._splits)
        return {bins.name: part for bins, part in zip(self.sketch.all, parts, strict=True)}


def with_outputs(table: Table, outputs: Sequence[Any]) -> Table:
    """The records with a column per output behind their own.

    outputs   what the model predicted, `skdeploy.model.Predictions.columns`
    """
    return Table([*table.cells, *outputs], table.count)


class Tally:
    """The counts of many tables; safe to call from several threads.

    Of a table with twice as many records or more some 1024, evenly spaced, stand for all: the same table
    has the same counts every time.
    """

    def __init__(self, sketch: Sketch) -> None:
        self.meter = Meter(sketch)
        self._lock = threading.Lock()
        self._counts: Counts = np.zeros(self.meter.size)

    def add(self, table: Table, outputs: Sequence[Any]) -> None:
        """Count a table with its predictions, a column per output."""
        if not table.count:
            return
        table = with_outputs(table, outputs)
        step, count = table.count // _MOST_OF_A_TABLE, table.count
        if step > 1:
            table = table.rows(range(step // 2, count, step))
        counts = self.meter.count(table) * (count / table.count)
        with self._lock:
            self._counts = self._counts + counts

    def merge(self, counts: Sequence[float]) -> None:
        """Add what another process counted, its `plain`."""
        with self._lock:
            self._counts = self._counts + np.array(counts)

    @property
    def plain(self) -> list[float]:
        """All counts, for another process."""
        counted: list[float] = self._counts.tolist()
        return counted

    @property
    def records(self) -> float:
        """How many records were counted."""
        return records(self.meter.sketch, self.counts)

    @property
    def counts(self) -> Mapping[str, Counts]:
        """By column and bin."""
        return self.meter.by_column(self._counts)
