"""A column's cells, in whatever form a table has them -> how many are in each bin."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from skdeploy.drift.sketch import Bins
from skdeploy.schema import Coded

# By bin.
Counts = npt.NDArray[np.float64]


def counter(bins: Bins) -> Callable[[Any], Counts]:
    """A function from a column's cells, as `Table` has them, to their counts by bin."""
    return _value_counter(bins) if bins.kind == "values" else _range_counter(bins)


def numbers(kind: str, cells: Sequence[Any]) -> npt.NDArray[np.float64]:
    """What is binned of cells in a list: numbers, seconds since 1970 or lengths; NaN for null."""
    made: Sequence[Any] = cells
    if kind == "moments":
        made = [None if cell is None else _seconds(cell) for cell in cells]
    elif kind == "lengths":
        made = [None if cell is None else len(cell) for cell in cells]
    return np.array(made, dtype=np.float64)


def _seconds(moment: datetime.datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()


def _range_counter(bins: Bins) -> Callable[[Any], Counts]:
    edges, size = np.array(bins.edges), bins.size

    def places(found: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
        result = edges.searchsorted(found, "left")
        result[np.isnan(found)] = size - 1
        return result

    def count(cells: Any) -> Counts:
        if isinstance(cells, Coded):
            weights = np.bincount(cells.codes, minlength=len(cells.values))
            return np.bincount(places(numbers(bins.kind, cells.values)), weights, size).astype(np.float64)
        found = numbers(bins.kind, cells) if isinstance(cells, list) else cells.astype(np.float64)
        return np.bincount(places(found), minlength=size).astype(np.float64)

    return count


def _value_counter(bins: Bins) -> Callable[[Any], Counts]:
    other, unseen, null = range(bins.size - 3, bins.size)
    places = dict.fromkeys(bins.others, other)
    places |= {value: place for place, value in enumerate(bins.values)} | {None: null}

    def count(cells: Any) -> Counts:
        result = np.zeros(bins.size)
        for value, number in _occurring(cells):
            result[places.get(value, unseen)] += number
        return result

    return count


def _occurring(cells: Any) -> Iterable[tuple[Any, int]]:
    """What occurs, and how often; a value may come more than once."""
    if isinstance(cells, list):
        return Counter(cells).items()
    if isinstance(cells, Coded):
        return zip(cells.values, np.bincount(cells.codes, minlength=len(cells.values)).tolist(), strict=True)
    values, counts = np.unique(cells, return_counts=True)
    listed = [None if value != value else value for value in values.tolist()]
    return zip(listed, counts.tolist(), strict=True)
