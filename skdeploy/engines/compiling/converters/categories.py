"""Splits by category. onnxruntime's nodes that look a number up in a set take ten times as long as
comparisons, so each such split reads a column of its own, which a table of codes makes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import TensorProto

from skdeploy.engines.compiling.converters.writer import Writer
from skdeploy.engines.compiling.trees import Codes, Tree


def split_by_category(
    write: Writer, x: str, width: int, trees: list[Tree], *, above: float
) -> tuple[str, list[Tree]]:
    """X, (n, width), with a column of 0 and 1 behind it for each way to split, and trees that compare those.

    above   numbers up to this have no code; others have that of their whole part
    """
    columns: dict[int, dict[Codes, int]] = {}
    for tree in trees:
        for node, codes in tree.categories.items():
            columns.setdefault(int(tree.feature[node]), {}).setdefault(codes, 0)
    if not columns:
        return x, trees
    count = width
    for ways in columns.values():
        for codes in ways:
            ways[codes], count = count, count + 1
    written = _columns(write, x, {feature: list(ways) for feature, ways in columns.items()}, above)
    return write.side_by_side([x, *written]), [_comparing(tree, columns) for tree in trees]


def _comparing(tree: Tree, columns: dict[int, dict[Codes, int]]) -> Tree:
    """0 goes left, 1 right, and NaN where it went."""
    feature, threshold = tree.feature.copy(), tree.threshold.astype(float)
    for node, codes in tree.categories.items():
        feature[node], threshold[node] = columns[int(feature[node])][codes], 0.5
    return replace(tree, feature=feature, threshold=threshold, categories={})


def _columns(write: Writer, x: str, ways: dict[int, list[Codes]], above: float) -> list[str]:
    tables = [_table(codes) for codes in ways.values()]
    # The last two rows of a table are those of any other number, and of NaN.
    other = np.array([[len(table) - 2.0 for table in tables]])
    chosen = write.columns(x, list(ways))
    known = write.node("And", write.node("Greater", chosen, above), write.node("Less", chosen, other))
    place = write.node("Where", known, chosen, other)
    place = write.node("Where", write.node("IsNaN", chosen), other + 1, place)
    place = write.node("Cast", place, to=TensorProto.INT64)
    return [
        write.node("Gather", table, write.node("Gather", place, np.int64(index), axis=1), axis=0)
        for index, table in enumerate(tables)
    ]


def _table(ways: list[Codes]) -> np.ndarray:
    """(codes + 2, ways): whether a code goes right."""
    count = 1 + max((code for way in ways for code in way.codes), default=-1)
    table = np.empty((count + 2, len(ways)))
    for column, way in enumerate(ways):
        table[:, column] = way.go_left
        table[list(way.codes), column] = not way.go_left
    table[-1] = np.nan
    return table
