"""Records at the edges of what a model accepts, for comparing two engines where they may differ."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from skdeploy.model.probe import UNSEEN
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
    for category in (column.categories or [])[:_MOST_CATEGORIES]:
        if column.type != "datetime":
            yield "a known category", category
    if column.type == "str" and column.unknown == "accept":
        yield "an unseen category", UNSEEN
        yield "the empty text", ""
        yield "a text with a NUL in it", f"{seen[0]}\0"
    if column.type == "bool":
        yield from [("true", True), ("false", False)]
    if column.type in ("int", "float") and not (column.categories and column.unknown == "refuse"):
        yield from _numbers(column, [value for value in seen if value is not None])


def _numbers(column: Column, seen: list[Any]) -> Iterator[tuple[str, Any]]:
    low, high = column.minimum or 0, column.maximum or 0
    span = (high - low) or 1
    extremes = [low, high, low - 1, high + 1, low - 1000 * span, high + 1000 * span, 0, -1]
    for value in extremes:
        if column.bounds[0] <= value <= column.bounds[1]:
            yield "an extreme", float(value) if column.type == "float" else value
    for value in seen if column.type == "float" else []:
        for towards in (-math.inf, math.inf):
            yield "beside a seen value", math.nextafter(value, towards)
            yield "a single's width beside a seen value", value + math.copysign(abs(value) * 2e-7, towards)
