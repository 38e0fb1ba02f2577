"""The compiled engine: the pipeline as one ONNX graph, run by onnxruntime on one thread.

It needs neither pandas nor scikit-learn, except for a record that a tensor cannot hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skdeploy.engines.graph import Graph
from skdeploy.schema import Table


class OnnxEngine:
    """Scores records with a graph.

    others   scores the records that the graph cannot take as scikit-learn does: a tensor of strings
             has no null and ends a string at its first NUL, and a graph with single precision in
             it has no number beyond that
    boolean_labels   a tensor has no booleans either: 0 and 1 are turned back into them
    widths   of a classifier with several outputs, the number of classes of each
    """

    name = "onnx"

    def __init__(
        self, graph: Graph, others: Any, *, boolean_labels: bool = False, widths: list[int] | None = None
    ) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # One request, one thread: parallelism is the workers' affair, and threads do not survive a fork.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            graph.content, options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [output.name for output in self._session.get_outputs()]
        # skl2onnx may have changed a name; the order is ours.
        names = [tensor.name for tensor in self._session.get_inputs()]
        self._inputs = [
            (name, one.columns, object if one.text else np.float64)
            for name, one in zip(names, graph.inputs, strict=True)
        ]
        self._texts = [index for one in graph.inputs if one.text for index in one.columns]
        self._numbers = [index for one in graph.inputs if not one.text for index in one.columns]
        self._largest = graph.largest
        self._others = others
        self._boolean_labels = boolean_labels
        self._ends = np.cumsum(widths or [])[:-1]

    def predict(self, table: Table) -> Any:
        """An array (n,) or (n, outputs)."""
        labels = self._score(self._outputs[0], self._others.predict, table)
        return labels.astype(bool) if self._boolean_labels else labels

    def predict_proba(self, table: Table) -> Any:
        """An array (n, classes), or a list of them, one per output."""
        scores = self._score(self._outputs[1], self._others_side_by_side, table)
        return np.split(scores, self._ends, axis=1) if len(self._ends) else scores

    def _others_side_by_side(self, table: Table) -> Any:
        found = self._others.predict_proba(table)
        return np.concatenate(found, axis=1) if isinstance(found, list) else found

    def _score(self, output: str, other: Callable[[Table], Any], table: Table) -> Any:
        apart = self._apart(table)
        if not apart:
            return self._run(output, table)
        rest = sorted(set(range(table.count)) - set(apart))
        expected = np.asarray(other(table.rows(apart)))
        if not rest:
            return expected
        got = self._run(output, table.rows(rest))
        result = np.empty((table.count, *got.shape[1:]), dtype=np.result_type(got, expected))
        result[rest] = got
        result[apart] = expected.reshape(len(apart), *got.shape[1:])
        return result

    def _apart(self, table: Table) -> list[int]:
        """The records for the other engine."""
        found: set[int] = set()
        for column in self._texts:
            cells = table.cells[column]
            found |= {index for index, cell in enumerate(cells) if cell is None or "\0" in cell}
        if self._largest is not None:
            for column in self._numbers:
                for index, cell in enumerate(table.cells[column]):
                    if cell is not None and not -self._largest <= cell <= self._largest:
                        found.add(index)
        return sorted(found)

    def _run(self, output: str, table: Table) -> Any:
        feed = {
            name: np.array([table.cells[index] for index in columns], dtype=dtype).T
            for name, columns, dtype in self._inputs
        }
        return self._session.run([output], feed)[0]
