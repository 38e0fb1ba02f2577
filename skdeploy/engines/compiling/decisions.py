"""Where a compiled pipeline decides: the numbers that its graph compares columns of a record with.

They are read from the graph, whatever library the pipeline is of: splits of trees, edges of bins, thresholds,
and the training records that distances are measured to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from skdeploy.engines.graph import Graph, Number

_COMPARISONS = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
# Beside a number that was calculated, rounding may be different by this much, of doubles and of singles.
_DOUBLES, _SINGLES = 1e-9, 1e-6
# Numbers that are taken of a graph: a large forest has millions.
_MOST = 20_000


class Decisions(NamedTuple):
    """What a graph compares columns of the schema with.

    around   per number, the column, and the number itself with a few on both sides
    total    how many there are; `around` is drawn from them by chance where they are very many
    """

    around: list[tuple[int, tuple[float, ...]]]
    total: int


def decisions(graph: Graph) -> Decisions:
    """The numbers that a graph compares the schema's columns with, each once.

    Numbers that depend on several columns are not found: a component that a tree splits on, say.
    """
    found = [
        (column, np.unique(np.concatenate(values)), size, single)
        for column, values, size, single in _of_columns(graph)
    ]
    total = sum(len(values) for _, values, _, _ in found)
    chance = np.random.default_rng(0)
    around = []
    for column, values, size, single in found:
        if total > _MOST:
            values = values[chance.random(len(values)) < _MOST / total]
        around += [(column, _around(value, size, single=single)) for value in values.tolist()]
    return Decisions(around, total)


def _of_columns(graph: Graph) -> Iterator[tuple[int, list[Any], float | None, bool]]:
    numbers = _numbers(graph)
    for place, values in _Reader(onnx.load_from_string(graph.content).graph).read().items():
        feature = numbers.get(place.source)
        if feature is None:
            continue
        yield feature.column, values, place.size, place.single or feature.precision != "float64"


def _numbers(graph: Graph) -> dict[int, Number]:
    """The columns of the graph's input that are the schema's own numbers."""
    ends = np.cumsum([feature.width for feature in graph.features]).tolist()
    placed = zip(graph.features, [0, *ends[:-1]], strict=True)
    return {place: feature for feature, place in placed if isinstance(feature, Number)}


def _around(value: float, size: float | None, *, single: bool) -> tuple[float, ...]:
    """A number, and numbers on both sides of it; for `size` see `_Place`."""
    if size is not None:
        step = (_SINGLES if single else _DOUBLES) * (abs(value) + size)
        if single:  # scikit-learn may calculate in single precision, and what is at the number is not sure
            return value - step, value + step
        # With few digits it is most often the number of the training data that it was calculated from.
        return float(f"{value:.12g}"), value - step, value + step
    if not single:
        return value, float(np.nextafter(value, -np.inf)), float(np.nextafter(value, np.inf))
    # Doubles are rounded to the nearest single: they jump in the middle between two.
    with np.errstate(over="ignore"):
        middle = np.float32(value)
        around = [np.nextafter(middle, np.float32(way)) for way in (-np.inf, np.inf)]
    halves = [(float(middle) + float(one)) / 2 for one in around]
    cells = [value, *(float(np.nextafter(half, way)) for half in halves for way in (-np.inf, np.inf))]
    return tuple(cell for cell in cells if np.isfinite(cell))


@dataclass(frozen=True, slots=True)
class _Columns:
    """A tensor whose columns are scale * input[:, source] + start; arrays (columns,).

    single   it was rounded to single precision
    """

    source: Any
    scale: Any
    start: Any
    single: bool = False

    def take(self, places: Any) -> _Columns:
        """Some of the columns."""
        return replace(self, source=self.source[places], scale=self.scale[places], start=self.start[places])


class _Place(NamedTuple):
    """A column of the graph's input, as it is when it is compared.

    single   it was rounded to single precision
    size     None if it is compared as it is, else of what a number was calculated that it is compared with
    """

    source: int
    single: bool
    size: float | None


_Found = dict[_Place, list[Any]]


class _Reader:
    """Follows the columns of the input through a graph, as long as each is calculated from one of them."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._constants = {one.name: one for one in graph.initializer}
        record = graph.input[0]
        width = record.type.tensor_type.shape.dim[1].dim_value
        self._found: _Found = {}
        self._known = {record.name: _Columns(np.arange(width), np.ones(width), np.zeros(width))}

    def read(self) -> _Found:
        """The numbers that columns are compared with, arrays."""
        for node in self._graph.node:
            if node.op_type == "TreeEnsemble" and node.input[0] in self._known:
                attributes = {one.name: one for one in node.attribute}
                splits = numpy_helper.to_array(attributes["nodes_splits"].t)
                features = np.array(attributes["nodes_featureids"].ints)
                self._add(self._known[node.input[0]], features, splits)
            elif node.op_type in _COMPARISONS:
                self._add_compared(node)
            elif node.op_type == "Scan":
                self._add_measured(node)
            elif (columns := self._followed(node)) is not None:
                self._known[node.output[0]] = columns
        return self._found

    def _constant(self, name: str) -> Any:
        """A constant tensor, or None."""
        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def _followed(self, node: Any) -> _Columns | None:
        """What is known of the node's output."""
        kind, inputs = node.op_type, list(node.input)
        attributes = {one.name: one.i for one in node.attribute}
        known = [self._known.get(name) for name in inputs]
        first = next((one for one in known if one is not None), None)
        if first is None:
            return None
        if kind == "Identity":
            return first
        if kind == "Cast":
            return replace(first, single=first.single or attributes["to"] == TensorProto.FLOAT)
        if kind == "Where":  # an imputer
            return known[2] if self._constant(inputs[1]) is not None else None
        if kind == "Concat" and attributes["axis"] == 1 and None not in known:
            return _side_by_side([one for one in known if one is not None])
        if kind in ("Gather", "ArrayFeatureExtractor") and known[0] is not None:
            places = self._constant(inputs[1])
            by_column = kind != "Gather" or attributes.get("axis") == 1
            return first.take(places.ravel()) if places is not None and by_column else None
        return self._calculated(kind, inputs, first) if len(inputs) == 2 else None

    def _calculated(self, kind: str, inputs: list[str], columns: _Columns) -> _Columns | None:
        other = self._constant(inputs[1])
        swapped = other is None
        if swapped:
            other = self._constant(inputs[0])
        if other is None or other.dtype.kind != "f" or other.size not in (1, len(columns.source)):
            return None
        other = other.ravel()
        if kind == "Add":
            return replace(columns, start=columns.start + other)
        if kind == "Mul":
            return replace(columns, scale=columns.scale * other, start=columns.start * other)
        if kind == "Sub" and not swapped:
            return replace(columns, start=columns.start - other)
        if kind == "Div" and not swapped:
            return replace(columns, scale=columns.scale / other, start=columns.start / other)
        return None

    def _add_compared(self, node: Any) -> None:
        """A comparison of columns with constants: one each, or all with the one column."""
        for name, other in (node.input, reversed(node.input)):
            columns, values = self._known.get(name), self._constant(other)
            if columns is None or values is None:
                continue
            values, width = values.ravel().astype(float), len(columns.source)
            if width == 1:
                self._add(columns, np.zeros(len(values), dtype=int), values)
            elif len(values) in (1, width):
                self._add(columns, np.arange(width), np.broadcast_to(values, width))

    def _add_measured(self, node: Any) -> None:
        """The training records that distances are measured to."""
        columns = self._known.get(node.input[-1])
        body = next(one.g for one in node.attribute if one.name == "body")
        for kept in (self._constant(name) for inner in body.node for name in inner.input):
            if columns is not None and kept is not None and kept.ndim == 2:
                self._add(columns, np.tile(np.arange(kept.shape[1]), len(kept)), kept.ravel())

    def _add(self, columns: _Columns, places: Any, values: Any) -> None:
        """Columns `places` are compared with `values`."""
        for place in np.unique(places).tolist():
            source, scale, start = (
                one[place].item() for one in (columns.source, columns.scale, columns.start)
            )
            if scale and np.isfinite(scale):
                size = None if scale == 1 and start == 0 else abs(start / scale)
                chosen = (values[places == place] - start) / scale
                found = self._found.setdefault(_Place(source, columns.single, size), [])
                found.append(chosen[np.isfinite(chosen)])


def _side_by_side(parts: list[_Columns]) -> _Columns:
    return _Columns(
        np.concatenate([one.source for one in parts]),
        np.concatenate([one.scale for one in parts]),
        np.concatenate([one.start for one in parts]),
        single=any(one.single for one in parts),
    )
