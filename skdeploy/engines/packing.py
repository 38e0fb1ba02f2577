"""Checked records -> the one tensor of doubles that a compiled graph takes.

Texts and categories are encoded here, by tables that the fitted encoders themselves filled in when
the pipeline was compiled: a dictionary of Python finds a text in less time than a graph takes to start
an operator, and no tensor of strings is needed, which could hold neither a null nor a NUL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skdeploy.engines.graph import Feature, Lookup, Number, WideLookup, Words
from skdeploy.schema import Table

# A record alone is packed from tuples; tables with more numbers than this stay arrays.
_MOST_IN_TUPLES = 100_000


class Packer:
    """Packs records for a graph with these features.

    largest   a record with a greater number is scikit-learn's affair; None for any
    """

    def __init__(self, features: Sequence[Feature], largest: float | None = None) -> None:
        ends = np.cumsum([feature.width for feature in features]).tolist()
        self.width: int = ends[-1]
        placed = list(zip(features, [0, *ends[:-1]], strict=True))
        numbers = [(one, place) for one, place in placed if isinstance(one, Number)]
        self._numbers = [(one.column, place) for one, place in numbers]
        self._places = _places([place for _, place in numbers])
        self._changed = [(one, place) for one, place in numbers if one.changed]
        self._lesser = [(one.precision, place) for one, place in numbers if one.precision != "float64"]
        self._others = [(one, place) for one, place in placed if not isinstance(one, Number)]
        self._largest = largest
        self._plan = None if self._lesser else _plan(features)

    def pack(self, table: Table) -> tuple[Any, list[int]]:
        """An array (n, width), and the records that are scikit-learn's affair, in whose rows is anything."""
        if table.count == 1 and self._plan is not None:
            return self._pack_one(self._plan, table.cells)
        packed = np.empty((table.count, self.width))
        apart = np.zeros(table.count, dtype=bool)
        if self._numbers:
            self._pack_numbers(table.cells, packed, apart)
        for feature, place in self._others:
            _FILL[type(feature)](
                feature, table.cells[feature.column], packed[:, place : place + feature.width], apart
            )
        return packed, np.flatnonzero(apart).tolist()

    def _pack_one(self, plan: list[Any], cells: list[list[Any]]) -> tuple[Any, list[int]]:
        row: list[Any] = []
        for column, known, default in plan:
            cell = cells[column][0]
            if known is None:
                row.append(cell)
            elif default is _ITSELF:
                row.append(known.get(cell, cell))
            else:
                found = known.get(cell, default)
                if found is None:
                    return np.empty((1, self.width)), [0]
                row += found
        packed = np.array([row], dtype=np.float64)
        beyond = self._largest is not None and bool((np.abs(packed) > self._largest).any())
        return packed, [0] if beyond else []

    def _pack_numbers(self, cells: list[list[Any]], packed: Any, apart: Any) -> None:
        # numpy reads None as NaN.
        block = np.array([cells[column] for column, _ in self._numbers], dtype=np.float64).T
        if self._largest is not None:
            apart |= (np.abs(block) > self._largest).any(axis=1)
        packed[:, self._places] = block
        for feature, place in self._changed:
            changed = feature.changed
            packed[:, place] = [changed.get(cell, cell) for cell in cells[feature.column]]
        for precision, place in self._lesser:
            with np.errstate(over="ignore"):
                packed[:, place] = packed[:, place].astype(precision)


_ITSELF = object()


def _places(places: list[int]) -> Any:
    """As a slice if they are neighbours: numpy copies to it several times as fast."""
    if places and places == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return places


def _plan(features: Sequence[Feature]) -> list[tuple[int, dict[Any, Any] | None, Any]] | None:
    """Per feature: its column, what is known of its cells, and what any other becomes.

    None where a record alone is better packed as several are.
    """
    plan: list[tuple[int, dict[Any, Any] | None, Any]] = []
    for feature in features:
        if isinstance(feature, Number):
            plan.append((feature.column, feature.changed or None, _ITSELF))
        elif isinstance(feature, Lookup) and feature.rows.size <= _MOST_IN_TUPLES:
            rows = [
                None if apart else tuple(row)
                for row, apart in zip(feature.rows.tolist(), feature.apart, strict=True)
            ]
            plan.append((feature.column, {cell: rows[code] for cell, code in feature.codes.items()}, rows[0]))
        else:
            return None
    return plan


def _codes(feature: Lookup | WideLookup, cells: list[Any], apart: Any) -> Any:
    get = feature.codes.get
    codes = np.array([get(cell, 0) for cell in cells])
    apart |= feature.apart[codes]
    return codes


def _look_up(feature: Lookup, cells: list[Any], block: Any, apart: Any) -> None:
    codes = _codes(feature, cells, apart)
    if feature.width == 1:
        block[:, 0] = feature.rows[:, 0].take(codes)
    else:
        block[:] = feature.rows.take(codes, axis=0)


def _look_up_wide(feature: WideLookup, cells: list[Any], block: Any, apart: Any) -> None:
    codes = _codes(feature, cells, apart)
    block[:] = 0.0
    block[np.arange(len(codes)), feature.places[codes]] = feature.values[codes]


def _count_words(feature: Words, cells: list[Any], block: Any, apart: Any) -> None:
    get = feature.vocabulary.get
    for index, text in enumerate(cells):
        if text is None:
            apart[index] = True
            continue
        found = [place for word in feature.analyze(text) if (place := get(word)) is not None]
        # An empty list would be an array of doubles, which cannot be counted.
        counts = np.bincount(np.array(found, dtype=np.intp), minlength=feature.width)
        block[index] = _weighted(feature, counts)


def _weighted(feature: Words, counts: Any) -> Any:
    """As TfidfTransformer does it, on the words that occur."""
    places = np.flatnonzero(counts)
    values = np.ones(len(places)) if feature.binary else counts[places].astype(float)
    if feature.sublinear:
        values = np.log(values) + 1.0
    if feature.weights is not None:
        values *= feature.weights[places]
    if feature.norm is not None and len(places):
        values /= np.abs(values).sum() if feature.norm == "l1" else np.sqrt(values @ values)
    row = np.zeros(feature.width)
    row[places] = values
    return row


_FILL: dict[type, Any] = {Lookup: _look_up, WideLookup: _look_up_wide, Words: _count_words}
