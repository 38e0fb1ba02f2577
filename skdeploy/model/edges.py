"""Records at the edges of what a model accepts, for comparing two engines where they may differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from skdeploy.schema import Column, Schema, Table

# Golden records that edges are put into, categories tried per column, and edges in all.
_BASES = 20
_MOST_CATEGORIES = 200
_MOST_EDGES = 4000


def edge_records(schema: Schema, golden: Table) -> tuple[Table, list[str]]:
    """Golden records with one cell each at an edge, and what that edge is.

    Per column: null, an unseen category, every known one, least and greatest values seen and
    beyond, zero, and golden values moved by the last bit of a double and of a single, which is
    where a tree's splits are told apart.
    """
    few = max(1, min(_BASES, golden.count, _MOST_EDGES // (12 * len(schema.columns))))
    bases = list(zip(*golden.rows(range(few)).cells, strict=True))
    rows: list[list[Any]] = []
    names: list[str] = []
    for index, column in enumerate(schema.columns):
        seen = [base[index] for base in bases]
        for what, cell in _edges(column, seen):
            row = list(bases[len(rows) % len(bases)])
            row[index] = cell
            rows.append(row)
            names.append(f"column {column.name!r}: {what}")
    return Table([list(cells) for cells in zip(*rows, strict=True)], len(rows)), names


def _edges(column: Column, seen: list[Any]) -> Iterator[tuple[str, Any]]:
    if column.nullable:
        yield "null", None
    convert = column.kind.converter()
    for category in (column.categories or [])[:_MOST_CATEGORIES]:
        yield "a known category", convert(category)
    yield from column.kind.boundaries([cell for cell in seen if cell is not None])
