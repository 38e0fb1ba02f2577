"""Columns on their way through the first steps of a pipeline, and what those steps are given of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from skdeploy.engines.inputs import InputBuilder
from skdeploy.schema import Column, Schema, Table


@dataclass(frozen=True, slots=True)
class Cells:
    """A column of the schema that no step has encoded yet.

    changed    cell -> what imputers have put in its place; None is the null
    imputed    whether one came by, after which the column is an array's, not a frame's
    """

    column: int
    changed: dict[Any, Any] = field(default_factory=dict)
    imputed: bool = False

    width = 1


class Probe:
    """Calls fitted steps on columns whose cells are chosen one by one."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def column(self, cells: Cells) -> Column:
        """The schema's column."""
        return self._schema.columns[cells.column]

    def transform(self, step: Any, columns: list[Cells], rows: list[list[Any]]) -> Any:
        """What the step makes of records with these cells, an array or sparse matrix (n, outputs).

        rows   per record, one cell for each column
        """
        by_column = [list(cells) for cells in zip(*rows, strict=True)]
        made = step.transform(self._inputs(columns, by_column))
        return made.to_numpy() if isinstance(made, pd.DataFrame) else made

    def _inputs(self, columns: list[Cells], by_column: list[list[Any]]) -> Any:
        if not any(one.imputed for one in columns):
            chosen = [self.column(one) for one in columns]
            builder = InputBuilder(Schema(container=self._schema.container, columns=chosen))
            return builder.build(Table(by_column, len(by_column[0])))
        values = [
            [one.changed.get(cell, cell) for cell in cells]
            for one, cells in zip(columns, by_column, strict=True)
        ]
        numeric = all(self.column(one).kind.is_numeric for one in columns)
        return np.array(values, dtype=float if numeric else object).T


def valid(column: Column) -> Any:
    """A cell that a step can be expected to take."""
    return {"str": "text", "bool": False}.get(column.type, 0)


def unseen(column: Column, known: list[Any]) -> list[Any]:
    """A cell of the column's type that is none of the known, in a list; none if there is no other."""
    cell = column.kind.unseen(set(known))
    return [] if cell is None else [cell]
