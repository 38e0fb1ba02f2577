"""Checked records by column. A column is a list, or an array where many records are scored at once.

Who has no arrays needs no numpy: it is imported where there are some.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any


class Coded(Sequence[Any]):
    """Cells that repeat: what occurs, and which of it each record has.

    values   what occurs, and nothing else; None is null
    codes    (records,), numpy's integers: places in `values`
    """

    __slots__ = ("codes", "values")

    def __init__(self, values: list[Any], codes: Any) -> None:
        self.values = values
        self.codes = codes

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, index: Any) -> Any:
        return self.values[self.codes[index]]

    def __iter__(self) -> Iterator[Any]:
        return map(self.values.__getitem__, self.codes.tolist())

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    def take(self, indices: Any) -> Coded:
        """The cells at `indices`, numpy's integers."""
        import numpy as np

        codes = self.codes.take(indices)
        used = np.bincount(codes, minlength=len(self.values)) > 0
        if used.all():
            return Coded(self.values, codes)
        return Coded([*compress(self.values, used)], (used.cumsum() - 1).take(codes))


def as_list(cells: Any) -> list[Any]:
    """A column's cells as a list, whatever it is; None is null."""
    if isinstance(cells, list):
        return cells
    if isinstance(cells, Coded):
        return list(cells)
    listed: list[Any] = cells.tolist()
    return [None if cell != cell else cell for cell in listed] if cells.dtype.kind == "f" else listed


@dataclass(frozen=True, slots=True)
class Table:
    """Checked records by column: `cells[c][r]`, columns in the schema's order.

    A column is a list, where None is null; or a Coded; or numpy's doubles, where NaN is null; or
    numpy's 64-bit integers, which have no null. Of a record alone all columns are lists.
    """

    cells: list[Any]
    count: int

    def rows(self, indices: Iterable[int]) -> Table:
        """The records at `indices`, in that order."""
        chosen = list(indices)
        if all(isinstance(column, list) for column in self.cells):
            return Table([[column[index] for index in chosen] for column in self.cells], len(chosen))
        import numpy as np

        places = np.array(chosen, dtype=np.intp)
        return Table([_taken(column, places) for column in self.cells], len(chosen))


def _taken(cells: Any, places: Any) -> Any:
    if isinstance(cells, list):
        return [cells[place] for place in places.tolist()]
    taken = cells.take(places)
    return as_list(taken) if len(places) == 1 else taken
