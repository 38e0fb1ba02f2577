"""What the passport keeps of training data, to tell by how far later records are like it."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

# The column under which predictions are counted; an output with a name has it behind that.
PREDICTION = "(prediction)"


class Bins(msgspec.Struct, frozen=True, kw_only=True):
    """The bins of a column or an output, and how training data filled them.

    name     the column's, or `(prediction)`, or `(prediction) output`
    kind     what is binned: "ranges", the numbers; "moments", seconds since 1970; "lengths", a text's
             characters; "values", the cells themselves
    edges    ascending; bin i holds what is above edges[i - 1] and not above edges[i]
    values   those with a bin of their own
    others   known values without one
    shares   of training records, by bin, 1 in total

    The bins are those between the edges; or one per value, then that of the others and that of the
    unseen. The last one is always that of nulls.
    """

    name: str
    kind: Literal["ranges", "moments", "lengths", "values"]
    edges: list[float] = []
    values: list[Any] = []
    others: list[Any] = []
    shares: list[float] = []

    def __repr__(self) -> str:
        return f"Bins({self.name!r}, {self.kind}, {self.size})"

    @property
    def size(self) -> int:
        """How many bins there are."""
        return len(self.values) + 3 if self.kind == "values" else len(self.edges) + 2

    @property
    def null(self) -> int:
        """The bin of nulls; of an output, of records without a prediction."""
        return self.size - 1

    @property
    def unseen(self) -> int | None:
        """The bin of values that training data had not; None where values have no bins."""
        return self.size - 2 if self.kind == "values" else None


class Sketch(msgspec.Struct, frozen=True, kw_only=True):
    """Bins of every column, in the schema's order, and of every output; made of so many records."""

    columns: list[Bins]
    outputs: list[Bins]
    records: int

    def __repr__(self) -> str:
        return f"Sketch({len(self.columns)} columns, {self.records} records)"

    @property
    def all(self) -> list[Bins]:
        """Those of the columns, then those of the outputs."""
        return [*self.columns, *self.outputs]
