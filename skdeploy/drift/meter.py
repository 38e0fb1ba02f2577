"""A table and its predictions -> counts of all bins of a sketch."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skdeploy.drift.binning import Counts, counter
from skdeploy.drift.psi import records
from skdeploy.drift.sketch import PREDICTION, Sketch
from skdeploy.schema import Table

# Of a large table so many records are looked at: enough for a share, and a few percent of its scoring.
_MOST_OF_A_TABLE = 1024


class Meter:
    """Counts records by bin; safe to call from several threads. All bins stand one behind the other."""

    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self._counters = [counter(bins) for bins in sketch.all]
        ends = np.cumsum([bins.size for bins in sketch.all]).tolist()
        self.size = ends[-1]
        self._splits = ends[:-1]

    def count(self, table: Table, values: Sequence[Any]) -> Counts:
        """How many of the records are in each bin, (size,).

        values   what the model predicted, as `skdeploy.model.Predictions` has it
        """
        cells = [*table.cells, *self._outputs(values)]
        return np.concatenate([count(column) for count, column in zip(self._counters, cells, strict=True)])

    def by_column(self, counts: Counts) -> dict[str, Counts]:
        """The counts of each column and output, by its name."""
        parts = np.split(counts, self._splits)
        return {bins.name: part for bins, part in zip(self.sketch.all, parts, strict=True)}

    def _outputs(self, values: Sequence[Any]) -> list[list[Any]]:
        found: list[list[Any]] = []
        for bins in self.sketch.outputs:
            if bins.name == PREDICTION:
                found.append(list(values))
            else:
                name = bins.name.removeprefix(f"{PREDICTION} ")
                found.append([None if value is None else value[name] for value in values])
        return found


class Tally:
    """The counts of many tables; safe to call from several threads.

    Of a table with twice as many records or more some 1024, evenly spaced, stand for all: the same table
    has the same counts every time.
    """

    def __init__(self, sketch: Sketch) -> None:
        self.meter = Meter(sketch)
        self._lock = threading.Lock()
        self._counts: Counts = np.zeros(self.meter.size)

    def add(self, table: Table, values: Sequence[Any]) -> None:
        """Count a table with its predictions."""
        if not table.count:
            return
        step, count = table.count // _MOST_OF_A_TABLE, table.count
        if step > 1:
            places = range(step // 2, count, step)
            table, values = table.rows(places), [values[place] for place in places]
        counts = self.meter.count(table, values) * (count / table.count)
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
