"""What a process has seen lately. To add costs microseconds; counting is done apart, about once a second."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from skdeploy.drift.binning import Counts
from skdeploy.drift.meter import Meter
from skdeploy.drift.psi import Drifted, drifted
from skdeploy.drift.sketch import Sketch
from skdeploy.schema import Table

# Cells between two folds; of more records than have so many, a sample is looked at.
_MOST_CELLS = 15_000
_LEAST_RECORDS = 50
_SECONDS = 1.0


class Window:
    """The last records that were looked at, and their predictions, by bin; safe to call from several threads.

    size   it holds about so many records, or half as many, as it is cleared by halves

    `add` keeps a reference, and copies where a sample is taken. `fold` counts, and lets go of the records.
    """

    def __init__(self, sketch: Sketch, size: int) -> None:
        self.meter = Meter(sketch)
        self._size = size
        self._limit = max(_LEAST_RECORDS, _MOST_CELLS // len(sketch.all))
        self._random = random.Random(0)  # noqa: S311 - no secret depends on it
        self._lock = threading.Lock()
        self._pending: list[Table] = []
        self._waiting = 0
        # One record of so many is looked at; how many are passed over until then.
        self._every = 1
        self._skip = 0
        self._due = 0.0
        self._older = self._newer = np.zeros(self.meter.size)
        self._newer_records = 0

    @classmethod
    def of(cls, sketch: Sketch | None, size: int) -> Window | None:
        """A window for a model's records; None if its passport has no sketch, or `size` is 0."""
        return cls(sketch, size) if sketch is not None and size else None

    def add(self, table: Table, outputs: Sequence[Any]) -> None:
        """Take note of checked records and of what the model said of them; neither may change later.

        outputs   what the model predicted, `skdeploy.model.Predictions.columns`
        """
        count = table.count
        with self._lock:
            if self._skip >= count:
                self._skip -= count
                return
            table = Table([*table.cells, *outputs], count)
            if self._every > 1:
                table = self._sampled(table)
            else:
                self._skip = 0
            self._pending.append(table)
            self._waiting += table.count
            if self._waiting > self._limit:
                self._thin()

    def fold(self) -> dict[tuple[str, int], int]:
        """Count what was added since the last time; (column, bin) -> how many are in the window."""
        self._fold()
        return {
            (name, place): int(number)
            for name, counts in self.counts.items()
            for place, number in enumerate(counts.tolist())
        }

    def look_after(self) -> None:
        """Fold, if a second has passed since the last time."""
        if time.monotonic() >= self._due:
            self._fold()

    @property
    def counts(self) -> Mapping[str, Counts]:
        """By column and bin, as of the last fold."""
        return self.meter.by_column(self.total)

    @property
    def total(self) -> Counts:
        """The same of all bins, one behind the other."""
        with self._lock:
            return self._older + self._newer

    def drifted(self) -> dict[str, Drifted]:
        """By column, what the window says, up to now."""
        self._fold()
        return drifted(self.meter.sketch, self.counts)

    def _fold(self) -> None:
        for _ in self.folding():
            pass

    def folding(self) -> Iterator[None]:
        """As `fold`, in pieces, a column each, between which the calling thread may do other things.

        It holds no lock in between: the same thread may begin another one, which counts what came since.
        """
        self._due = time.monotonic() + _SECONDS
        with self._lock:
            pending, self._pending = self._pending, []
            waited, self._waiting = self._waiting, 0
            if waited * 2 <= self._limit and self._every > 1:
                self._every //= 2
        if not pending:
            return
        counted: list[Counts] = []
        for counts in self.meter.counting(pending):
            counted.append(counts)
            yield
        with self._lock:
            newer = self._newer + np.concatenate(counted)
            self._newer_records += waited
            if self._newer_records * 2 < self._size:
                self._newer = newer
            else:
                self._older, self._newer, self._newer_records = newer, np.zeros(self.meter.size), 0

    def _sampled(self, table: Table) -> Table:
        """Of a table some record of which is looked at, those that are: evenly spaced.

        How many are passed over until the next table is chance, or a client that sends records in turns
        would always be seen in the same turn.
        """
        places = range(self._skip, table.count, self._every)
        passed = table.count - places[-1]
        self._skip = max(0, int(self._random.random() * (2 * self._every - 1)) + 1 - passed)
        return table if table.count == 1 else table.rows(places)

    def _thin(self) -> None:
        """Keep so few records that the limit holds, and take in the same proportion from now on."""
        factor = 2
        while self._waiting > self._limit * factor:
            factor *= 2
        self._every *= factor
        kept: list[Table] = []
        first = self._waiting = 0
        for table in self._pending:
            places = range(first, table.count, factor)
            first = (first - table.count) % factor
            if places:
                kept.append(table if table.count == 1 else table.rows(places))
                self._waiting += len(places)
        self._pending = kept
