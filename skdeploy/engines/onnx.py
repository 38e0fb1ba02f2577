"""The compiled engine: the pipeline as tables and one ONNX graph, run by onnxruntime on one thread.

It needs neither pandas nor scikit-learn, except for a record that it cannot take as they do.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from skdeploy.engines import Engine
from skdeploy.engines.graph import Graph
from skdeploy.engines.packing import Packer
from skdeploy.schema import Table

# Numbers of the packed records that are in memory at once: 16 MB.
_MOST_AT_ONCE = 2**21
# Fewer records are scored faster than they are sorted.
_FEWEST_SORTED = 200


def import_runtime() -> Any:
    """onnxruntime, kept from starting a thread, as it does when it is imported, to report to its makers."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


class OnnxEngine(Engine):
    """Scores records with a graph.

    others   scores the records that the graph cannot take as scikit-learn does: an encoder raises on
             them, or a graph with single precision in it has no number beyond that
    boolean_labels   a tensor has no booleans: 0 and 1 are turned back into them
    widths   of a classifier with several outputs, the number of classes of each
    """

    name = "onnx"

    def __init__(
        self, graph: Graph, others: Any, *, boolean_labels: bool = False, widths: list[int] | None = None
    ) -> None:
        onnxruntime = import_runtime()
        options = onnxruntime.SessionOptions()
        # One request, one thread: parallelism is the workers' affair, and threads do not survive a fork.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            graph.content, options, providers=["CPUExecutionProvider"]
        )
        # onnxruntime's `run` is a method of Python around this one that checks names once more, and it
        # makes options anew in every call: together a third of the time that a lone record takes.
        self._call = getattr(self._session, "_sess", self._session).run
        self._options = onnxruntime.RunOptions()
        self._outputs = [output.name for output in self._session.get_outputs()][:2]
        self._labels = self._outputs[:1]
        self._input = self._session.get_inputs()[0].name
        self._packer = Packer(graph.features, graph.largest)
        self._split_most = graph.split_most
        self._most = max(1, _MOST_AT_ONCE // self._packer.width)
        self._others = others
        self._boolean_labels = boolean_labels
        self._ends = np.cumsum(widths or [])[:-1]

    def asking(self, wrap: Callable[[Any], Any]) -> OnnxEngine:
        """The engine on the same graph, with `wrap(others)` for the records that the graph cannot take."""
        engine = copy.copy(self)
        engine._others = wrap(self._others)
        return engine

    def predict(self, table: Table) -> Any:
        """An array (n,) or (n, outputs)."""
        return self._score(self._labels, table)[0]

    def predict_proba(self, table: Table) -> Any:
        """An array (n, classes), or a list of them, one per output."""
        return self._per_output(self._score(self._outputs[1:], table)[0])

    def predict_both(self, table: Table) -> tuple[Any, Any]:
        """`predict` and `predict_proba` from one run of the graph."""
        labels, probabilities = self._score(self._outputs, table)
        return labels, self._per_output(probabilities)

    def _per_output(self, probabilities: Any) -> Any:
        return np.split(probabilities, self._ends, axis=1) if len(self._ends) else probabilities

    def _score(self, outputs: list[str], table: Table) -> list[Any]:
        if table.count > self._most:
            starts = range(0, table.count, self._most)
            parts = [
                self._score(outputs, table.rows(range(start, min(start + self._most, table.count))))
                for start in starts
            ]
            return [np.concatenate(output) for output in zip(*parts, strict=True)]
        packed, apart = self._packer.pack(table)
        if apart:
            return self._score_apart(outputs, table, packed, apart)
        return self._run(outputs, packed)

    def _run(self, outputs: list[str], packed: Any) -> list[Any]:
        """Neighbours that are alike take the same branches of a tree, which the processor then foresees."""
        if self._split_most is None or len(packed) < _FEWEST_SORTED:
            return self._run_in_order(outputs, packed)
        order = packed[:, self._split_most].argsort(kind="stable")
        made = self._run_in_order(outputs, packed.take(order, axis=0))
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return [output.take(places, axis=0) for output in made]

    def _run_in_order(self, outputs: list[str], packed: Any) -> list[Any]:
        made: list[Any] = self._call(outputs, {self._input: packed}, self._options)
        if self._boolean_labels and outputs[0] == self._outputs[0]:
            made[0] = made[0].astype(bool)
        return made

    def _score_apart(self, outputs: list[str], table: Table, packed: Any, apart: list[int]) -> list[Any]:
        """With the records `apart` from the other engine, each in its place."""
        methods = dict(zip(self._outputs, (self._others.predict, self._others_side_by_side), strict=False))
        chosen = table.rows(apart)
        expected = [np.asarray(methods[output](chosen)) for output in outputs]
        if len(apart) == table.count:
            return expected
        rest = np.setdiff1d(np.arange(table.count), apart)
        results = []
        for got, other in zip(self._run(outputs, packed[rest]), expected, strict=True):
            result = np.empty((table.count, *got.shape[1:]), dtype=np.result_type(got, other))
            result[rest] = got
            result[apart] = other.reshape(len(apart), *got.shape[1:])
            results.append(result)
        return results

    def _others_side_by_side(self, table: Table) -> Any:
        found = self._others.predict_proba(table)
        return np.concatenate(found, axis=1) if isinstance(found, list) else found
