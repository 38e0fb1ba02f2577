"""What converters write with, and what they give each other.

A converter is a function (write, model, x) -> names of tensors, x being doubles (n, columns) with
NaN for null. It calls the converters of nested models through `write`, with the same or another x.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.trees import ensemble_attributes

# How tensors of records, (n, 1), are named that are left to scikit-learn. `graph.py` makes them an output,
# which skl2onnx has no place for.
UNDECIDED = "undecided"
# skl2onnx knows ai.onnx.ml up to version 3; `graph.py` gives these nodes their real domain.
TREE_DOMAIN = "skdeploy"


@dataclass(frozen=True, slots=True)
class Scores:
    """What a classifier says: names of tensors, without what scikit-learn's has not.

    best            (n,) the place of the predicted class in `classes_`
    probabilities   (n, classes)
    decision        (n, 1) for two classes, else (n, classes)
    """

    best: str
    probabilities: str | None = None
    decision: str | None = None


Regressor = Callable[["Writer", Any, str], str]
Classifier = Callable[["Writer", Any, str], Scores]
Several = Callable[["Writer", Any, str], list[Scores]]
Transformer = Callable[["Writer", Any, str], str]


@dataclass(frozen=True, slots=True)
class Tables:
    """The converter of each class: regressors write (n, outputs), transformers (n, columns).

    several   classifiers with several outputs, scores for each
    """

    regressors: dict[type, Regressor]
    classifiers: dict[type, Classifier]
    several: dict[type, Several]
    transformers: dict[type, Transformer]


@dataclass(frozen=True, slots=True)
class _Node:
    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Writer:
    """Collects nodes, each with a name of its own, and adds those that outputs need to the graph."""

    def __init__(self, tables: Tables, scope: Any, container: Any) -> None:
        self._tables, self._scope, self._container = tables, scope, container
        self._nodes: list[_Node] = []
        self._known: dict[Any, str] = {}
        self._left: list[str] = []

    def regressor(self, model: Any, x: str) -> str:
        """Write a nested regressor; (n, outputs)."""
        converter: Regressor = _find(self._tables.regressors, model)
        return converter(self, model, x)

    def classifier(self, model: Any, x: str) -> Scores:
        """Write a nested classifier."""
        converter: Classifier = _find(self._tables.classifiers, model)
        return converter(self, model, x)

    def several(self, model: Any, x: str) -> list[Scores]:
        """Write a classifier with several outputs."""
        converter: Several = _find(self._tables.several, model)
        return converter(self, model, x)

    def transformer(self, model: Any, x: str) -> str:
        """Write a nested transformer; (n, columns)."""
        if model is None or model == "passthrough":
            return x
        converter: Transformer = _find(self._tables.transformers, model)
        return converter(self, model, x)

    def node(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """Add a node with one output, or find the same one; its output's name.

        Inputs that are no names are constants.
        """
        names = [one if isinstance(one, str) else self.constant(one) for one in inputs]
        key = f"{kind} {names} {attributes}" if kind != "TreeEnsemble" else ""
        if key in self._known:
            return self._known[key]
        output = self._name(kind)
        self._nodes.append(_Node(kind, names, [output], attributes))
        if key:
            self._known[key] = output
        return output

    def leave(self, records: str) -> None:
        """Leave records to scikit-learn: those for which truth values, (n, 1), are true."""
        name = self._name(UNDECIDED)
        self._nodes.append(_Node("Cast", [records], [name], {"to": TensorProto.BOOL}))
        self._left.append(name)

    def nearest(self, x: str, count: int, nearness: Callable[[str], str]) -> tuple[str, str]:
        """The `count` greatest of what `nearness` writes for one record, (columns,) -> (m,).

        Values and places, (n, count) each, the first ones first among equals. Records are taken one
        by one: n times m numbers would not stay in the processor's cache, nor in memory.
        """
        outside, known = self._nodes, self._known
        self._nodes, self._known = [], {}
        record = self._name("record")
        values, places = self._name("values"), self._name("places")
        inputs = [nearness(record), self.constant(np.array([count]))]
        inside = [*self._nodes, _Node("TopK", inputs, [values, places], {"axis": 0})]
        self._nodes, self._known = outside, known
        body = helper.make_graph(
            [helper.make_node(one.kind, one.inputs, one.outputs, **one.attributes) for one in inside],
            self._name("body"),
            [helper.make_tensor_value_info(record, TensorProto.DOUBLE, [None])],
            [
                helper.make_tensor_value_info(values, TensorProto.DOUBLE, [count]),
                helper.make_tensor_value_info(places, TensorProto.INT64, [count]),
            ],
        )
        outputs = [self._name("values"), self._name("places")]
        self._nodes.append(_Node("Scan", [x], outputs, {"body": body, "num_scan_inputs": 1}))
        return outputs[0], outputs[1]

    def sorted(self, x: str, width: int) -> tuple[str, str]:
        """The `width` least numbers of each row in ascending order, and the places that they had."""
        outputs = [self._name("values"), self._name("places")]
        inputs = [x, self.constant(np.array([width]))]
        self._nodes.append(_Node("TopK", inputs, outputs, {"axis": 1, "largest": 0}))
        return outputs[0], outputs[1]

    def constant(self, array: Any) -> str:
        """Add an initializer of doubles, integers or strings; its name."""
        array = np.asarray(array)
        content = tuple(array.ravel().tolist()) if array.dtype.kind == "O" else array.tobytes()
        key = (array.dtype, array.shape, content)
        if key in self._known:
            return self._known[key]
        name = self._name("constant")
        types = {"f": TensorProto.DOUBLE, "i": TensorProto.INT64, "b": TensorProto.INT64}
        kind = types.get(array.dtype.kind, TensorProto.STRING)
        values = array.ravel().tolist()
        if kind == TensorProto.STRING:
            values = [str(value).encode() for value in values]
        self._container.add_initializer(name, kind, list(array.shape), values)
        self._known[key] = name
        return name

    def finish(self, outputs: dict[str, str]) -> None:
        """Write each output from its tensor, and the nodes that it needs: the runtime would run all."""
        for output, tensor in outputs.items():
            self._nodes.append(_Node("Identity", [tensor], [output], {}))
        needed = {*outputs, *self._left}
        kept = []
        for node in reversed(self._nodes):
            if needed.intersection(node.outputs):
                needed.update(node.inputs)
                kept.append(node)
        for node in reversed(kept):
            name = self._scope.get_unique_operator_name(node.kind)
            self._container.add_node(node.kind, node.inputs, node.outputs, name=name, **node.attributes)
        self._nodes.clear()

    def _name(self, kind: str) -> str:
        return str(self._scope.get_unique_variable_name(kind.lower()))

    def trees(self, x: str, trees: list[Any], targets: int, *, single: bool, sums: Any = np.float64) -> str:
        """Sum trees given as (tree, column, target), one after the other; (n, targets) doubles.

        single   they were grown on single precision
        sums     np.float32 where the sum itself is in single precision
        """
        if single:
            x = self.rounded(x) if sums is np.float64 else self.node("Cast", x, to=TensorProto.FLOAT)
        attributes = ensemble_attributes(trees, targets, sums)
        total = self.node("TreeEnsemble", x, op_domain=TREE_DOMAIN, op_version=1, **attributes)
        return total if sums is np.float64 else self.double(total)

    def rounded(self, tensor: str) -> str:
        """Doubles to single precision, as doubles."""
        return self.double(self.node("Cast", tensor, to=TensorProto.FLOAT))

    def columns(self, x: str, places: Any) -> str:
        """Choose columns."""
        return self.node("Gather", x, np.asarray(places, dtype=np.int64), axis=1)

    def double(self, tensor: str) -> str:
        """Integers, truth values or singles as doubles."""
        return self.node("Cast", tensor, to=TensorProto.DOUBLE)

    def unless(self, bad: str, best: str) -> str:
        """The places of classes, but where scikit-learn raises a place that no class has.

        bad   (n,) truth values. The runtime fails on such a place.
        """
        return self.node("Where", bad, np.int64(2**31), best)

    def best(self, scores: str) -> str:
        """The first column with the greatest value, (n,)."""
        return self.node("ArgMax", scores, axis=1, keepdims=0)

    def total(self, tensor: str, axis: int = 1, *, keep: bool = True) -> str:
        """The sum along an axis."""
        return self.node("ReduceSum", tensor, np.array([axis]), keepdims=int(keep))

    def affine(self, x: str, weights: Any, start: Any) -> str:
        """X @ weights + start, with weights (columns, outputs)."""
        weights = np.asarray(weights, dtype=float)
        start = np.broadcast_to(np.asarray(start, dtype=float), (1, weights.shape[1]))
        return self.node("Add", self.node("MatMul", x, weights), start)

    def add(self, tensors: list[str]) -> str:
        """The sum of tensors, from left to right."""
        total = tensors[0]
        for tensor in tensors[1:]:
            total = self.node("Add", total, tensor)
        return total

    def side_by_side(self, tensors: list[str]) -> str:
        """Tensors (n, columns) as one."""
        return tensors[0] if len(tensors) == 1 else self.node("Concat", *tensors, axis=1)

    def interpolation(self, x: str, knots: Any, values: Any) -> str:
        """numpy.interp for numbers (n, 1) that lie between the first and the last knot.

        Of equal knots the last one counts, as there.
        """
        knots, values = np.asarray(knots, dtype=float), np.asarray(values, dtype=float)
        if len(knots) == 1:
            return self.node("Where", self.node("IsNaN", x), x, values[None, :])
        passed = self.double(self.node("GreaterOrEqual", x, knots[None, :-1]))
        below = self.node("Cast", self.node("Sub", self.total(passed), 1.0), to=TensorProto.INT64)
        width = np.diff(knots)
        slope = np.divide(np.diff(values), width, out=np.zeros(len(width)), where=width > 0)
        apart = self.node("Sub", x, self.node("Gather", knots[:-1], below, axis=0))
        rise = self.node("Mul", apart, self.node("Gather", slope, below, axis=0))
        return self.node("Add", rise, self.node("Gather", values[:-1], below, axis=0))

    def chances(self, decision: str) -> str:
        """The logistic function, with small values exact: the operator Sigmoid makes them 0."""
        return self.node("Div", 1.0, self.node("Add", self.node("Exp", self.node("Neg", decision)), 1.0))

    def two_classes(self, second: str) -> str:
        """Probabilities (n, 2) from that of the second class, (n, 1)."""
        return self.node("Concat", self.node("Sub", 1.0, second), second, axis=1)

    def positive(self, decision: str) -> str:
        """The place of the class among two, (n,), from a decision (n, 1)."""
        greater = self.node("Greater", decision, 0.0)
        return self.node("Reshape", self.node("Cast", greater, to=TensorProto.INT64), np.array([-1]))


def _find(table: dict[type, Any], model: Any) -> Any:
    if type(model) not in table:
        raise NotCompilable(f"{type(model).__name__} has no compiled form")
    return table[type(model)]
