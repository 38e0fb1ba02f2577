"""Boundary cases: records on which two engines are compared, where they may differ.

A record is one of some known records, the bases, that has a cell at a boundary in place of its own; or it
lies on the line between two of them, beside a jump of the predictions; or it mixes the cells of two, and a
jump goes through it: a tie. All are drawn with a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from skdeploy.engines import Engine
from skdeploy.schema import Coded, Column, Schema, Table, as_list

_SEED = 0
# Base records, of those that are at hand, that cells are put into; records that are made up where none are,
# and the words of their texts.
_BASES = 20
_MADE_UP, _WORDS = 200, 5
# The parts that a line is cut into, and how often.
_PARTS, _CUTS = 16, 6
# How far beside a jump records are compared, as a part of the line: nearer engines may round differently,
# where some columns are singles more so.
_BESIDE, _BESIDE_SINGLES = 1e-6, 1e-4
# Mixtures in which ties are looked for, how many in one call, and how far to both sides, as a part of a
# column's standard deviation.
_MIXED, _MIXED_AT_ONCE = 4096, 512
_TO_BOTH_SIDES = 1e-7
# Cells of a table that is made at once.
_MOST_CELLS = 2**19


class Cell(NamedTuple):
    """A cell that is put into base records, and what it is."""

    column: int
    value: Any
    what: str


class Scale(NamedTuple):
    """What counts as a jump of predictions.

    spread   per output, the standard deviation of predictions that are numbers
    least    numbers jump if they differ by more than this part of themselves and of the spread
    """

    spread: Any
    least: float

    def jumps(self, left: Any, right: Any) -> Any:
        """How far predictions (..., outputs) jump from the one to the other, (...,); 0 for no jump."""
        if left.dtype.kind != "f":
            return (left != right).any(axis=-1).astype(float)
        with np.errstate(invalid="ignore"):
            apart = np.abs(left - right) / (np.abs(left) + self.spread + np.finfo(float).tiny)
        return np.nan_to_num(np.where(apart > self.least, apart, 0.0)).max(axis=-1)


def cells(schema: Schema, bases: Table, around: Sequence[tuple[int, tuple[float, ...]]]) -> list[Cell]:
    """All cells worth trying, in an order drawn by chance: null, an unseen category, every known one,
    least and greatest values seen and beyond, zero, values moved by the last bit of a double and of a single,
    and numbers on both sides of those that the compiled pipeline compares columns with.

    around   those, as `skdeploy.engines.compiling.decisions` finds them
    """
    few = max(1, min(_BASES, bases.count, 4000 // (12 * len(schema.columns))))
    found = []
    for index, column in enumerate(schema.columns):
        seen = [cell for cell in as_list(bases.cells[index])[:few] if cell is not None]
        found += [
            Cell(index, value, f"column {column.name!r}: {what}") for what, value in _of_column(column, seen)
        ]
    for index, values in around:
        column = schema.columns[index]
        what = f"column {column.name!r}: beside a number that it is compared with"
        found += [Cell(index, value, what) for value in _fitting(column, values)]
    random.Random(_SEED).shuffle(found)  # noqa: S311 - no secret depends on it
    return found


def _of_column(column: Column, seen: list[Any]) -> Iterator[tuple[str, Any]]:
    if column.nullable:
        yield "null", None
    convert = column.kind.converter()
    for category in column.categories or []:
        yield "a known category", convert(category)
    yield from column.kind.boundaries(seen)


def _fitting(column: Column, values: Sequence[float]) -> list[Any]:
    """Numbers as the column has them: of a column of whole numbers those below and above."""
    if column.refuses_unknown(strict=False) or column.type not in ("int", "float"):
        return []
    low, high = column.bounds
    values = [value for value in values if low <= value <= high]
    if column.type == "float":
        return values
    return sorted({whole for value in values for whole in (int(value // 1), int(-(-value // 1)))})


def tables(bases: Table, cells: Sequence[Cell]) -> tuple[Table, list[str]]:
    """A record for each cell, and what it is; columns repeat few values, whatever their number."""
    few = min(_BASES, bases.count, len(cells))
    places, everything = np.arange(len(cells)) % few, np.arange(len(cells))
    by_column: dict[int, list[int]] = {}
    for row, cell in enumerate(cells):
        by_column.setdefault(cell.column, []).append(row)
    made = []
    for column, base in enumerate(bases.cells):
        values, codes = as_list(base)[:few], places
        if rows := by_column.get(column):
            values, codes = [*values, *(cells[row].value for row in rows)], places.copy()
            codes[rows] = few + np.arange(len(rows))
        made.append(Coded(values, codes).take(everything) if rows else Coded(values, codes))
    return Table(made, len(cells)), [cell.what for cell in cells]


def most_records(schema: Schema) -> int:
    """How many records a table may have that is made at once."""
    return max(32, _MOST_CELLS // len(schema.columns))


def made_up(
    schema: Schema, around: Sequence[tuple[int, tuple[float, ...]]], words: dict[int, list[str]]
) -> Table:
    """Records of known categories and of numbers that columns are compared with, where none are at hand.

    words   those that texts are made of, by column
    """
    chance = np.random.default_rng(_SEED)
    known: dict[int, list[Any]] = {
        index: list(map(" ".join, chance.choice(vocabulary, size=(_MADE_UP, _WORDS)).tolist()))
        for index, vocabulary in words.items()
    }
    for index, values in around:
        known.setdefault(index, []).extend(_fitting(schema.columns[index], values[:1]))
    columns = enumerate(schema.columns)
    return Table([_drawn(column, known.get(index), chance) for index, column in columns], _MADE_UP)


def _drawn(column: Column, known: list[Any] | None, chance: np.random.Generator) -> list[Any]:
    if column.categories:
        known = list(map(column.kind.converter(), column.categories))
    if known:
        return [known[place] for place in chance.integers(len(known), size=_MADE_UP).tolist()]
    if column.type not in ("int", "float"):
        kind, convert = column.kind, column.kind.converter()
        own = random.Random(_SEED)  # noqa: S311 - no secret depends on it
        return [convert(kind.draw(own)) for _ in range(_MADE_UP)]
    numbers = chance.normal(size=_MADE_UP) * 10.0 ** chance.integers(-1, 4, size=_MADE_UP)
    numbers = numbers.clip(*column.bounds)
    return list(map(round, numbers.tolist())) if column.type == "int" else numbers.tolist()


class Jumps:
    """Finds records beside jumps of an engine's predictions, and on them."""

    def __init__(self, schema: Schema, bases: Table, scale: Scale) -> None:
        self._bases, self._scale = bases, scale
        self._numeric = [place for place, one in enumerate(schema.columns) if one.type in ("int", "float")]
        self._cells = list(map(as_list, bases.cells))
        self._numbers = np.array(
            [
                [np.nan if cell is None else float(cell) for cell in self._cells[place]]
                for place in self._numeric
            ]
        ).reshape(len(self._numeric), bases.count)
        self._whole = np.array([schema.columns[place].type == "int" for place in self._numeric], dtype=bool)
        dtypes = {schema.columns[place].dtype.lower() for place in self._numeric}
        self._at_once = most_records(schema)
        self._beside = _BESIDE_SINGLES if dtypes & {"float32", "float16"} else _BESIDE

    def beside(self, engine: Engine, pairs: int) -> Table:
        """Records on both sides of jumps, on lines between base records that the engine tells apart.

        All lines are cut at once, each cut at its largest jump again.
        """
        most = min(pairs, self._at_once // (_PARTS + 1)) if self._numeric else 0
        first, second = self._pairs(engine, most)
        low, high = np.zeros(len(first)), np.ones(len(first))
        for _ in range(_CUTS):
            if not len(first):
                break
            shares = low[:, None] + (high - low)[:, None] * np.linspace(0, 1, _PARTS + 1)
            ends = first.repeat(_PARTS + 1), second.repeat(_PARTS + 1)
            found = outcome(engine, self._between(*ends, shares.ravel())).reshape(*shares.shape, -1)
            jumps = self._scale.jumps(found[:, :-1], found[:, 1:])
            rows, part = np.arange(len(first)), jumps.argmax(axis=1)
            kept = jumps[rows, part] > 0
            low, high = shares[rows, part][kept], shares[rows, part + 1][kept]
            first, second = first[kept], second[kept]
        shares = np.concatenate([low - self._beside, high + self._beside]).clip(0, 1)
        return self._between(np.tile(first, 2), np.tile(second, 2), shares)

    def ties(self, engine: Engine, most: int, enough: Callable[[], bool]) -> Table:
        """Mixtures of two base records on which a jump lies: with numbers a little lower or higher they
        are predicted differently.

        most     how many suffice
        enough   whether to stop searching
        """
        chance = np.random.default_rng(_SEED)
        step = np.nanstd(self._numbers, axis=1, keepdims=True) * _TO_BOTH_SIDES
        found: list[Table] = []
        for _ in range(_MIXED // _MIXED_AT_ONCE if self._numeric else 0):
            if enough() or sum(part.count for part in found) >= most:
                break
            count = min(_MIXED_AT_ONCE, self._at_once)
            pair = chance.integers(self._bases.count, size=(2, count))
            rows: Any = np.where(chance.integers(2, size=(len(self._cells), count)), *pair)
            numbers = self._numbers[np.arange(len(self._numeric))[:, None], rows[self._numeric]]
            way = step * chance.choice([-1.0, 1.0], size=numbers.shape)
            below, above = (outcome(engine, self._table(rows, [*(numbers + side)])) for side in (-way, way))
            jumping = np.flatnonzero(self._scale.jumps(below, above))
            found.append(self._table(rows[:, jumping], self._exact(numbers[:, jumping])))
        joined = join([self._bases.rows([]), *found])
        return joined.rows(range(min(most, joined.count)))

    def _pairs(self, engine: Engine, most: int) -> tuple[Any, Any]:
        """Places of base records whose predictions differ."""
        found = outcome(engine, self._bases)
        known: dict[Any, int] = {}
        keys = (
            found[:, 0]
            if found.dtype.kind == "f"
            else [known.setdefault(label, len(known)) for label in found[:, 0].tolist()]
        )
        order = np.argsort(keys, kind="stable")
        half = len(order) // 2
        chosen = np.unique(np.linspace(0, half - 1, min(most, half)).astype(int))
        first, second = order[:half][chosen], order[half : 2 * half][chosen]
        differ = self._scale.jumps(found[first], found[second]) > 0
        return first[differ], second[differ]

    def _between(self, first: Any, second: Any, shares: Any) -> Table:
        """Records with the numbers of `first`, moved towards those of `second`, and all else of `first`."""
        start = self._numbers[:, first]
        moved = start + (self._numbers[:, second] - start) * shares
        # A null has no line.
        moved = self._exact(np.where(np.isnan(moved), start, moved))
        return self._table(np.broadcast_to(first, (len(self._cells), len(first))), moved)

    def _exact(self, numbers: Any) -> list[Any]:
        """Numbers by column as the schema has them."""
        return [
            [None if cell != cell else round(cell) for cell in column.tolist()] if whole else column
            for column, whole in zip(numbers, self._whole, strict=True)
        ]

    def _table(self, rows: Any, numbers: list[Any]) -> Table:
        """Per column and record the cell of the base record `rows`, but in columns of numbers `numbers`."""
        by_place = dict(zip(self._numeric, numbers, strict=True))
        return Table(
            [
                by_place[place] if place in by_place else [cells[row] for row in rows[place].tolist()]
                for place, cells in enumerate(self._cells)
            ],
            rows.shape[1],
        )


def join(parts: list[Table]) -> Table:
    """The records of all tables, one after the other."""
    columns = zip(*(map(as_list, part.cells) for part in parts), strict=True)
    return Table(
        [[cell for cells in column for cell in cells] for column in columns],
        sum(part.count for part in parts),
    )


def outcome(engine: Engine, table: Table) -> Any:
    """Predictions (n, outputs)."""
    return np.asarray(engine.predict(table)).reshape(table.count, -1)
