"""What reading records comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from skdeploy.errors import InvalidRecord, Rejection
from skdeploy.schema.table import Table


@dataclass(frozen=True, slots=True)
class Checked:
    """What a body or an iterable of records came to. Every record is good, bad, further or malformed.

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
