"""Columns on their way through the first steps of a pipeline, and what those steps are given of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.inputs import InputBuilder
from skdeploy.schema import Column, Schema, Table


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a step makes of the cells of one column of the schema: numbers as floats, every null as NaN.

    domain   the cells that this step, or one before it, tells apart, the null aside
    refused  those among them on which a step raises; they are not in `domain`
    cells    all cells that it was asked for, first those of `domain` or, if there are none, a usual one
    rows     (cells, outputs)
    null     (1, outputs) for a null; None if the step raises, or the column takes none
    others   (1, outputs) for each of a few cells that are not in `domain`; none if the step raises on them
    kept     (outputs,): whether such a cell stays as it is
    """

    domain: list[Any]
    refused: list[Any]
    cells: list[Any]
    rows: Any
    null: Any
    others: list[Any]
    kept: Any


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A step that has made columns, each from one column of the schema alone.

    given     the columns that it takes
    answers   column of the schema -> what the step makes of its cells
    names     of the frame that it makes; None if that is an array
    """

    step: Any
    given: list[Cells]
    answers: dict[int, Answers]
    names: list[str] | None


@dataclass(frozen=True, slots=True)
class Cells:
    """A column that follows from one of the schema's.

    source, place   the step that made it, and which of its outputs it is; no step for the schema's own
    """

    column: int
    source: Source | None = None
    place: int = 0

    width = 1

    @property
    def is_kept(self) -> bool:
        """Whether a cell that no step has learned is still itself."""
        return self.source is None or bool(self.source.answers[self.column].kept[self.place])


class Probe:
    """Calls fitted steps on columns whose cells are chosen one by one."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def column(self, cells: Cells) -> Column:
        """The schema's column that the cells follow from."""
        return self._schema.columns[cells.column]

    def name(self, cells: Cells) -> str | None:
        """The column's name in a frame; None if it is in none."""
        if cells.source is None:
            return self.column(cells).name
        return cells.source.names[cells.place] if cells.source.names else None

    def holds_numbers(self, cells: Cells) -> bool:
        """Whether a step that takes numbers can be given the column."""
        if cells.source is None:
            return self.column(cells).kind.is_numeric
        made = cells.source.answers[cells.column].rows[:, cells.place]
        return all(isinstance(one, float) for one in made)

    def told_apart(self, cells: Cells) -> list[Any]:
        """The schema's cells that the steps so far tell apart, the null aside."""
        if cells.source is None:
            return []
        answers = cells.source.answers[cells.column]
        return [*answers.domain, *answers.refused]

    def transform(self, step: Any, columns: list[Cells], rows: list[list[Any]]) -> Any:
        """What the step makes of records with these cells, a frame, an array or a sparse matrix (n, outputs).

        rows   per record, one cell of the schema for each column
        """
        return step.transform(self._inputs(columns, [list(cells) for cells in zip(*rows, strict=True)]))

    def _inputs(self, columns: list[Cells], by_column: list[list[Any]]) -> Any:
        sources = {id(one.source): one.source for one in columns}
        if len(sources) > 1:
            parts = [self._inputs([one], [cells]) for one, cells in zip(columns, by_column, strict=True)]
            stacked = np.column_stack([np.asarray(part, dtype=object) for part in parts])
            return stacked.astype(float) if all(map(self.holds_numbers, columns)) else stacked
        (source,) = sources.values()
        if source is None:
            chosen = [self.column(one) for one in columns]
            builder = InputBuilder(Schema(container=self._schema.container, columns=chosen))
            return builder.build(Table(by_column, len(by_column[0])))
        cells: dict[int, list[Any]] = {}
        for one, its in zip(columns, by_column, strict=True):
            if cells.setdefault(one.column, its) != its:
                raise NotCompilable("columns that follow from one are encoded again")
        count = len(by_column[0])
        before = [cells.get(one.column, source.answers[one.column].cells[:1] * count) for one in source.given]
        made = source.step.transform(self._inputs(source.given, before))
        places = [one.place for one in columns]
        return made.iloc[:, places] if isinstance(made, pd.DataFrame) else made[:, places]


def fitted_steps(pipeline: Any) -> list[tuple[str, Any]]:
    """The steps of a pipeline that do anything when it predicts: imbalanced-learn's samplers do not."""
    return [
        (name, step)
        for name, step in pipeline.steps
        if step is not None and step != "passthrough" and not hasattr(step, "fit_resample")
    ]


def valid(column: Column) -> Any:
    """A cell that a step can be expected to take."""
    return {"str": "text", "bool": False}.get(column.type, 0)


def unseen(column: Column, known: list[Any]) -> list[Any]:
    """A cell of the column's type that is none of the known, in a list; none if there is no other."""
    cell = column.kind.unseen(set(known))
    return [] if cell is None else [cell]
