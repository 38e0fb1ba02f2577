"""Checked records -> the one tensor of doubles that a compiled graph takes.

Texts and categories are encoded here, by tables that the fitted encoders themselves filled in when
the pipeline was compiled: a dictionary of Python finds a text in less time than a graph takes to start
an operator, and no tensor of strings is needed, which could hold neither a null nor a NUL.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np

from skdeploy.engines.graph import Feature, Lookup, Number, WideLookup, Words
from skdeploy.schema import Coded, Table, as_list

# A record alone is packed from tuples; tables with more numbers than this stay arrays.
_MOST_IN_TUPLES = 100_000
# An array is compared with each cell that is changed, where those are so few.
_MOST_COMPARED = 100


class Packer:
    """Packs records for a graph with these features.

    largest   a record with a greater number is scikit-learn's affair; None for any
    """

    def __init__(self, features: Sequence[Feature], largest: float | None = None) -> None:
        ends = np.cumsum([feature.width for feature in features]).tolist()
        self.width: int = ends[-1]
        placed = list(zip(features, [0, *ends[:-1]], strict=True))
        self._numbers = [(one, place) for one, place in placed if isinstance(one, Number)]
        self._others = [(one, place) for one, place in placed if not isinstance(one, Number)]
        self._lesser = {
            precision: [place for one, place in self._numbers if one.precision == precision]
            for precision in {one.precision for one, _ in self._numbers} - {"float64"}
        }
        self._largest = largest
        self._plan = _plan(features)

    def pack(self, table: Table) -> tuple[Any, list[int]]:
        """An array (n, width), and the records that are scikit-learn's affair, in whose rows is anything."""
        if table.count == 1 and self._plan is not None:
            return self._pack_one(self._plan, table.cells)
        packed = np.empty((table.count, self.width))
        apart = np.zeros(table.count, dtype=bool)
        for number, place in self._numbers:
            packed[:, place] = _numbers(number.changed, table.cells[number.column])
            if self._largest is not None:
                apart |= np.abs(packed[:, place]) > self._largest
        for feature, place in self._others:
            block = packed[:, place : place + feature.width]
            _FILL[type(feature)](feature, table.cells[feature.column], block, apart)
        return self._rounded(packed), np.flatnonzero(apart).tolist()

    def _pack_one(self, plan: list[_Entry], cells: list[list[Any]]) -> tuple[Any, list[int]]:
        row: list[Any] = []
        for columns, known, default in plan:
            if known is None:
                row += [cells[column][0] for column in columns]
                continue
            cell = cells[columns[0]][0]
            if default is _ITSELF:
                row.append(known.get(cell, cell))
                continue
            found = known.get(cell, default)
            if found is None:
                return np.empty((1, self.width)), [0]
            row += found
        packed = np.array([row], dtype=np.float64)
        if (largest := self._largest) is not None:
            for number, _ in self._numbers:
                cell = cells[number.column][0]
                if cell is not None and not -largest <= cell <= largest:
                    return packed, [0]
        return self._rounded(packed), []

    def _rounded(self, packed: Any) -> Any:
        for precision, places in self._lesser.items():
            packed[:, places] = packed[:, places].astype(precision)
        return packed


# Columns, what is known of their cells, and what any other becomes.
_Entry = tuple[list[int], dict[Any, Any] | None, Any]
_ITSELF = object()


def _plan(features: Sequence[Feature]) -> list[_Entry] | None:
    """How a record alone is packed; None where that is better done as for several."""
    plan: list[_Entry] = []
    for feature in features:
        if isinstance(feature, Number) and feature.changed:
            plan.append(([feature.column], feature.changed, _ITSELF))
        elif isinstance(feature, Number):
            if not plan or plan[-1][1] is not None:
                plan.append(([], None, _ITSELF))
            plan[-1][0].append(feature.column)
        elif isinstance(feature, Lookup) and feature.rows.size <= _MOST_IN_TUPLES:
            rows = [
                None if apart else tuple(row)
                for row, apart in zip(feature.rows.tolist(), feature.apart, strict=True)
            ]
            known = {cell: rows[code] for cell, code in feature.codes.items()}
            plan.append(([feature.column], known, rows[0]))
        else:
            return None
    return plan


def _numbers(changed: dict[Any, float], cells: Any) -> Any:
    """What numpy reads as doubles, None as NaN."""
    if isinstance(cells, Coded):
        return np.array(_numbers(changed, cells.values), dtype=np.float64).take(cells.codes)
    if not changed:
        return cells
    if isinstance(cells, list) or len(changed) > _MOST_COMPARED:
        return [changed.get(cell, cell) for cell in as_list(cells)]
    numbers = cells.astype(np.float64)
    for cell, number in changed.items():
        numbers[_equal(cells, cell)] = number
    return numbers


def _equal(cells: Any, cell: Any) -> Any:
    if cell is None:
        return np.isnan(cells)
    # Compared with a double, an integer would become one.
    return cells == (int(cell) if cells.dtype.kind != "f" and float(cell).is_integer() else cell)


def _codes(feature: Lookup | WideLookup, cells: Any, apart: Any) -> Any:
    if isinstance(cells, Coded):
        codes = _found(feature, cells.values).take(cells.codes)
    else:
        codes = _found(feature, as_list(cells))
    apart |= feature.apart.take(codes)
    return codes


def _found(feature: Lookup | WideLookup, cells: list[Any]) -> Any:
    found = map(feature.codes.get, cells, repeat(0))
    return np.fromiter(found, dtype=np.intp, count=len(cells))


def _look_up(feature: Lookup, cells: Any, block: Any, apart: Any) -> None:
    codes = _codes(feature, cells, apart)
    if feature.width == 1:
        block[:, 0] = feature.rows[:, 0].take(codes)
    else:
        block[:] = feature.rows.take(codes, axis=0)


def _look_up_wide(feature: WideLookup, cells: Any, block: Any, apart: Any) -> None:
    codes = _codes(feature, cells, apart)
    block[:] = 0.0
    block[np.arange(len(codes)), feature.places[codes]] = feature.values[codes]


def _count_words(feature: Words, cells: Any, block: Any, apart: Any) -> None:
    """Counts, weighted as TfidfTransformer does it; only of words that occur, since most do not."""
    get, width = feature.vocabulary.get, feature.width
    found: list[int] = []
    for row, text in enumerate(as_list(cells)):
        if text is None:
            apart[row] = True
            continue
        start = row * width
        found += [start + place for word in feature.analyze(text) if (place := get(word)) is not None]
    # An empty list would be an array of doubles.
    occurring, counts = np.unique(np.array(found, dtype=np.intp), return_counts=True)
    rows, places = np.divmod(occurring, width)
    values = np.ones(len(counts)) if feature.binary else counts.astype(float)
    if feature.sublinear:
        values = np.log(values) + 1.0
    if feature.weights is not None:
        values *= feature.weights[places]
    if feature.norm is not None:
        sizes = np.abs(values) if feature.norm == "l1" else values * values
        totals = np.bincount(rows, weights=sizes, minlength=len(cells))[rows]
        values /= totals if feature.norm == "l1" else np.sqrt(totals)
    block[:] = 0.0
    block[rows, places] = values


_FILL: dict[type, Any] = {Lookup: _look_up, WideLookup: _look_up_wide, Words: _count_words}
