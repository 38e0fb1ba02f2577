"""Checked records by column. A column is a list, or an array where many records are scored at once.

numpy is imported only where arrays are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

from skdeploy.errors import InvalidRecord, Rejection


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


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of reading a body, or records. Every record is good, bad, further or malformed.

    table       the good records
    positions   for each of them, its index among all that came
    count       how many records came
    bad         index -> bad cells, for the bad records that are described; at least one cell each
    ids         index -> pass-through key, where one was given; None if none was
    single      whether a lone record came, not a list
    malformed   index -> why a body holds no record, where each record has a body of its own
    unlisted    index -> how many more bad cells a described record has
    further     runs of indices of the other bad records, which are not described, in order
    """

    table: Table
    positions: list[int] | range
    count: int
    bad: dict[int, list[Rejection]] = field(default_factory=dict)
    ids: dict[int, Any] | None = None
    single: bool = False
    malformed: dict[int, str] = field(default_factory=dict)
    unlisted: dict[int, int] = field(default_factory=dict)
    further: list[range] = field(default_factory=list)

    @property
    def rejections(self) -> list[Rejection]:
        """Those of all bad records, as far as they are listed."""
        return [cell for cells in self.bad.values() for cell in cells]

    @property
    def rejected(self) -> int:
        """How many records are bad, described or not."""
        return len(self.bad) + self.further_count

    @property
    def further_count(self) -> int:
        """How many records are bad and not described."""
        return sum(map(len, self.further))

    def require_all_good(self) -> None:
        """Raise InvalidRecord with the listed bad cells and the number of the others, if there is one."""
        if self.bad:
            raise InvalidRecord(
                self.rejections,
                more_cells=sum(self.unlisted.values()),
                more_records=self.further_count,
            )
