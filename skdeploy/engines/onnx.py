"""The compiled engine: the pipeline as tables and one ONNX graph, run by onnxruntime on one thread.

Records become the one tensor of doubles that the graph takes. Texts and categories are encoded here, by
tables that the fitted encoders themselves filled in when the pipeline was compiled: a dictionary of Python
finds a text in less time than a graph takes to start an operator, and no tensor of strings is needed, which
could hold neither a null nor a NUL.

It needs neither pandas nor scikit-learn, except for a record that it cannot take as they do.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import repeat
from typing import Any

import numpy as np

from skdeploy.engines import Engine
from skdeploy.engines.graph import UNDECIDED_OUTPUT, Feature, Graph, Lookup, Number, WideLookup, Words
from skdeploy.schema import Coded, Table, as_list

# Numbers of the packed records, or of what trees read of them, that are in memory at once: 16 MB.
_MOST_AT_ONCE = 2**21
# Fewer records are scored faster than they are sorted.
_FEWEST_SORTED = 200
# A record alone is packed from tuples; tables with more numbers than this stay arrays.
_MOST_IN_TUPLES = 100_000
# An array is compared with each cell that is changed, where those are so few.
_MOST_COMPARED = 100


def import_runtime() -> Any:
    """onnxruntime, kept from starting a thread, as it does when it is imported, to report to its makers."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


class OnnxEngine(Engine):
    """Scores records with a graph.

    others   scores the records that the graph cannot take as scikit-learn does: an encoder raises on
             them, a graph with single precision in it has no number beyond that, or the graph says so
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
        outputs = [output.name for output in self._session.get_outputs()]
        self._outputs = [name for name in outputs if name != UNDECIDED_OUTPUT][:2]
        self._undecided = [UNDECIDED_OUTPUT] if graph.undecided else []
        self._labels = self._outputs[:1]
        self._input = self._session.get_inputs()[0].name
        self._packer = Packer(graph.features, graph.largest)
        self._split_most = graph.split_most
        self._most = max(1, _MOST_AT_ONCE // max(self._packer.width, graph.widest))
        self._others = others
        self._boolean_labels = boolean_labels
        self._ends = np.cumsum(widths or [])[:-1]

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

    def leaves(self, table: Table) -> int:
        """How many records are scored by the other engine."""
        packed, apart = self._packer.pack(table)
        if not self._undecided:
            return len(apart)
        left = self._run(self._undecided, packed)[0][:, 0]
        left[apart] = True
        return int(left.sum())

    def _per_output(self, probabilities: Any) -> Any:
        return np.split(probabilities, self._ends, axis=1) if len(self._ends) else probabilities

    def _score(self, outputs: list[str], table: Table) -> list[Any]:
        if table.count == 1 and self._packer.packs_one:
            packed, apart = self._packer.pack_one(table.cells)
        elif table.count <= self._most:
            packed, apart = self._packer.pack(table)
        else:
            starts = range(0, table.count, self._most)
            parts = [
                self._score(outputs, table.rows(range(start, min(start + self._most, table.count))))
                for start in starts
            ]
            return [np.concatenate(output) for output in zip(*parts, strict=True)]
        if apart or self._undecided:
            return self._score_apart(outputs, table, packed, apart)
        return self._run(outputs, packed)

    def _run(self, outputs: list[str], packed: Any) -> list[Any]:
        made: list[Any]
        if self._split_most is not None and len(packed) >= _FEWEST_SORTED:
            # Neighbours that are alike take the same branches of a tree, which the processor then foresees.
            order = packed[:, self._split_most].argsort(kind="stable")
            made = self._call(outputs, {self._input: packed.take(order, axis=0)}, self._options)
            places = np.empty_like(order)
            places[order] = np.arange(len(order))
            made = [output.take(places, axis=0) for output in made]
        else:
            made = self._call(outputs, {self._input: packed}, self._options)
        if self._boolean_labels and outputs[0] == self._outputs[0]:
            made[0] = made[0].astype(bool)
        return made

    def _score_apart(self, outputs: list[str], table: Table, packed: Any, apart: list[int]) -> list[Any]:
        """With the records `apart`, and those that the graph leaves, from the other engine."""
        rest = np.setdiff1d(np.arange(table.count), apart)
        made: list[Any] = []
        if len(rest):
            made = self._run([*outputs, *self._undecided], packed[rest])
        if self._undecided and made:
            left = made.pop()[:, 0]
            if not apart and not left.any():
                return made
            apart, made, rest = (
                [*apart, *rest[left].tolist()],
                [output[~left] for output in made],
                rest[~left],
            )
        methods = dict(zip(self._outputs, (self._others.predict, self._others_side_by_side), strict=False))
        chosen = table.rows(apart)
        expected = [np.asarray(methods[output](chosen)) for output in outputs]
        if not len(rest):
            order = np.argsort(apart)
            return [output[order] for output in expected]
        results = []
        for got, other in zip(made, expected, strict=True):
            result = np.empty((table.count, *got.shape[1:]), dtype=np.result_type(got, other))
            result[rest] = got
            result[apart] = other.reshape(len(apart), *got.shape[1:])
            results.append(result)
        return results

    def _others_side_by_side(self, table: Table) -> Any:
        found = self._others.predict_proba(table)
        return np.concatenate(found, axis=1) if isinstance(found, list) else found


class Packer:
    """Packs records for a graph with these features.

    largest   a record with a greater number is scikit-learn's affair; None for any
    """

    def __init__(self, features: Sequence[Feature], largest: float | None = None) -> None:
        ends = np.cumsum([feature.width for feature in features]).tolist()
        self.width: int = ends[-1]
        placed = list(zip(features, [0, *ends[:-1]], strict=True))
        self._numbers = [(one, place) for one, place in placed if isinstance(one, Number)]
        self._others = [(one, place) for one, place in placed if not isinstance(one, Number)]
        self._lesser = {
            precision: [place for one, place in self._numbers if one.precision == precision]
            for precision in {one.precision for one, _ in self._numbers} - {"float64"}
        }
        self._largest = largest
        self._plan = _plan(features)
        self.packs_one = self._plan is not None

    def pack(self, table: Table) -> tuple[Any, list[int]]:
        """An array (n, width), and the records that are scikit-learn's affair, in whose rows is anything."""
        packed = np.empty((table.count, self.width))
        apart = np.zeros(table.count, dtype=bool)
        for number, place in self._numbers:
            packed[:, place] = _numbers(number.changed, table.cells[number.column])
            if self._largest is not None:
                apart |= np.abs(packed[:, place]) > self._largest
        for feature, place in self._others:
            block = packed[:, place : place + feature.width]
            _FILL[type(feature)](feature, table.cells[feature.column], block, apart)
        return self._rounded(packed), np.flatnonzero(apart).tolist()

    def pack_one(self, cells: list[list[Any]]) -> tuple[Any, list[int]]:
        """The same for a record alone, in a fraction of the time; only if `packs_one`."""
        row: list[Any] = []
        for columns, known, default in self._plan or ():
            if known is None:
                for column in columns:
                    row += cells[column]
                continue
            cell = cells[columns[0]][0]
            if default is _ITSELF:
                row.append(known.get(cell, cell))
                continue
            found = known.get(cell, default)
            if found is None:
                return np.empty((1, self.width)), [0]
            row += found
        packed = np.array([row], dtype=np.float64)
        if (largest := self._largest) is not None:
            for number, _ in self._numbers:
                cell = cells[number.column][0]
                if cell is not None and not -largest <= cell <= largest:
                    return packed, [0]
        return self._rounded(packed) if self._lesser else packed, []

    def _rounded(self, packed: Any) -> Any:
        for precision, places in self._lesser.items():
            packed[:, places] = packed[:, places].astype(precision)
        return packed


# Columns, what is known of their cells, and what any other becomes.
_Entry = tuple[list[int], dict[Any, Any] | None, Any]
_ITSELF = object()


def _plan(features: Sequence[Feature]) -> list[_Entry] | None:
    """How a record alone is packed; None where that is better done as for several."""
    plan: list[_Entry] = []
    for feature in features:
        if isinstance(feature, Number) and feature.changed:
            plan.append(([feature.column], feature.changed, _ITSELF))
        elif isinstance(feature, Number):
            if not plan or plan[-1][1] is not None:
                plan.append(([], None, _ITSELF))
            plan[-1][0].append(feature.column)
        elif isinstance(feature, Lookup) and feature.rows.size <= _MOST_IN_TUPLES:
            rows = [
                None if apart else tuple(row)
                for row, apart in zip(feature.rows.tolist(), feature.apart, strict=True)
            ]
            known = {cell: rows[code] for cell, code in feature.codes.items()}
            plan.append(([feature.column], known, rows[0]))
        else:
            return None
    return plan


def _numbers(changed: dict[Any, float], cells: Any) -> Any:
    """What numpy reads as doubles, None as NaN."""
    if isinstance(cells, Coded):
        return np.array(_numbers(changed, cells.values), dtype=np.float64).take(cells.codes)
    if not changed:
        return cells
    if isinstance(cells, list) or len(changed) > _MOST_COMPARED:
        return [changed.get(cell, cell) for cell in as_list(cells)]
    numbers = cells.astype(np.float64)
    for cell, number in changed.items():
        numbers[_equal(cells, cell)] = number
    return numbers


def _equal(cells: Any, cell: Any) -> Any:
    if cell is None:
        return np.isnan(cells)
    # Compared with a double, an integer would become one.
    return cells == (int(cell) if cells.dtype.kind != "f" and float(cell).is_integer() else cell)


def _codes(feature: Lookup | WideLookup, cells: Any, apart: Any) -> Any:
    if isinstance(cells, Coded):
        codes = _found(feature, cells.values).take(cells.codes)
    else:
        codes = _found(feature, as_list(cells))
    apart |= feature.apart.take(codes)
    return codes


def _found(feature: Lookup | WideLookup, cells: list[Any]) -> Any:
    found = map(feature.codes.get, cells, repeat(0))
    return np.fromiter(found, dtype=np.intp, count=len(cells))


def _look_up(feature: Lookup, cells: Any, block: Any, apart: Any) -> None:
    codes = _codes(feature, cells, apart)
    if feature.width == 1:
        block[:, 0] = feature.rows[:, 0].take(codes)
    else:
        block[:] = feature.rows.take(codes, axis=0)


def _look_up_wide(feature: WideLookup, cells: Any, block: Any, apart: Any) -> None:
    codes = _codes(feature, cells, apart)
    block[:] = 0.0
    block[np.arange(len(codes)), feature.places[codes]] = feature.values[codes]


def _count_words(feature: Words, cells: Any, block: Any, apart: Any) -> None:
    """Counts, weighted as TfidfTransformer does it; only of words that occur, since most do not."""
    get, width = feature.vocabulary.get, feature.width
    found: list[int] = []
    for row, text in enumerate(as_list(cells)):
        if text is None:
            apart[row] = True
            continue
        start = row * width
        found += [start + place for word in feature.analyze(text) if (place := get(word)) is not None]
    # An empty list would be an array of doubles.
    occurring, counts = np.unique(np.array(found, dtype=np.intp), return_counts=True)
    rows, places = np.divmod(occurring, width)
    values = np.ones(len(counts)) if feature.binary else counts.astype(float)
    if feature.sublinear:
        values = np.log(values) + 1.0
    if feature.weights is not None:
        values *= feature.weights[places]
    if feature.norm is not None:
        sizes = np.abs(values) if feature.norm == "l1" else values * values
        totals = np.bincount(rows, weights=sizes, minlength=len(cells))[rows]
        values /= totals if feature.norm == "l1" else np.sqrt(totals)
    block[:] = 0.0
    block[rows, places] = values


_FILL: dict[type, Any] = {Lookup: _look_up, WideLookup: _look_up_wide, Words: _count_words}
