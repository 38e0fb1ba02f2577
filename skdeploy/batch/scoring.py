"""A chunk of records -> its predictions and its rejects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pyarrow as pa

from skdeploy.batch.chunks import Chunk, Reject, ScoredChunk
from skdeploy.batch.columns import ColumnReader
from skdeploy.batch.keys import Keys
from skdeploy.drift import Tally
from skdeploy.errors import SettingsError
from skdeploy.model import Model
from skdeploy.model.outputs import class_key
from skdeploy.schema import Table, as_list
from skdeploy.scoring import Predictions, Scored, Scorer


class _Column(NamedTuple):
    """A column of what is written: an output's predictions, or the probabilities of one of its classes."""

    field: pa.Field
    output: int
    class_: int | None = None


class ChunkScorer:
    """Scores chunks; safe to call from several threads.

    keys     the key columns and their types, in the key's order
    proba    adds the probability per class
    strict   refuses categories unseen in training even where the pipeline accepts them
    drift    counts records by the bins of the model's sketch, if it has one

    Raises SettingsError if the model has no probabilities, or columns would have the same name.
    """

    def __init__(
        self,
        model: Model,
        keys: Mapping[str, pa.DataType],
        *,
        proba: bool,
        strict: bool,
        drift: bool = False,
    ) -> None:
        sketch = model.passport.sketch
        self.drift = Tally(sketch) if drift and sketch is not None else None
        self._scorer = Scorer(model, strict=strict, max_described=None, drift=self.drift)
        if proba:
            self._scorer.require_probabilities()
        self._keys = dict(keys)
        self._proba = proba
        self._reader = ColumnReader(self._scorer.reader)
        self._columns = _columns(self._scorer, proba)
        self.predicted = pa.schema([column.field for column in self._columns])
        _require_distinct([*self._keys, *self.predicted.names])

    def score(self, chunk: Chunk) -> ScoredChunk:
        """The chunk's predictions and rejects; each of its records is in one of them.

        Rejected are records with a bad cell; valid ones on which the pipeline fails; and those whose
        key is not theirs alone, has a null, or a value of another type than its column.
        """
        scored = self._scorer.score(self._reader.read(chunk), proba=self._proba, patient=True)
        keys = Keys(chunk, self._keys)
        faults = {row: [*found] for row, found in keys.faults.items()}
        for row, rejections in scored.rejections.items():
            faults.setdefault(row, []).extend(rejections)
        rows = sorted(faults)
        texts = zip(rows, keys.texts(rows), strict=True)
        rejects = [Reject(text, it.column, it.code, *it.words) for row, text in texts for it in faults[row]]
        return ScoredChunk(self._table(keys, scored, faults), rejects, len(faults), keys.last)

    def _table(self, keys: Keys, scored: Scored, faults: Mapping[int, Any]) -> pa.Table:
        arrays, count = keys.arrays, scored.checked.table.count
        made = Table([_cells(column, scored.predictions) for column in self._columns], count)
        if faults:
            good = [(row, index) for row, index in scored.predicted if index not in faults]
            indices = pa.array([index for _, index in good], pa.int64())
            arrays = {name: array.take(indices) for name, array in arrays.items()}
            made = made.rows(row for row, _ in good)
        predicted = map(_array, self._columns, made.cells)
        fields = [pa.field(name, array.type) for name, array in arrays.items()]
        return pa.table([*arrays.values(), *predicted], schema=pa.schema([*fields, *self.predicted]))


def _cells(column: _Column, predictions: Predictions) -> Any:
    if column.class_ is None:
        return predictions.columns[column.output]
    scores = predictions.scores
    return (scores[column.output] if isinstance(scores, list) else scores)[:, column.class_]


def _array(column: _Column, cells: Any) -> pa.Array:
    if pa.types.is_string(column.field.type):
        cells = [class_key(cell) for cell in as_list(cells)]
    return pa.array(cells, column.field.type)


def _columns(scorer: Scorer, proba: bool) -> list[_Column]:
    """Those of the labels, or numbers; then those of the probabilities."""
    output = scorer.model.passport.output
    paths: list[tuple[str, ...]] = [()] if output.names is None else [(name,) for name in output.names]
    classes = [output.classes] if output.names is None else output.classes or [None] * len(paths)
    found = []
    for place, (path, labels) in enumerate(zip(paths, classes, strict=True)):
        type_ = pa.float64() if output.kind == "regression" else _type(labels or _probed(scorer, place))
        found.append(_Column(pa.field("_".join(("prediction", *path)), type_), place))
    for place, (path, labels) in enumerate(zip(paths, classes, strict=True) if proba else ()):
        for class_, label in enumerate(map(class_key, labels or ())):
            name = "_".join(("probability", *path, label))
            found.append(_Column(pa.field(name, pa.float64()), place, class_))
    return found


def _probed(scorer: Scorer, output: int) -> list[Any]:
    """What a model predicts that does not say what it can predict, such as one that finds clusters."""
    return as_list(scorer.predict(scorer.model.probe).columns[output])


def _type(labels: list[Any]) -> pa.DataType:
    kinds = set(map(type, labels))
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {int}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float} else pa.string()


def _require_distinct(names: list[str]) -> None:
    """Columns whose names differ in their case alone are one to most databases."""
    seen: dict[str, str] = {}
    for name in names:
        if (other := seen.setdefault(name.lower(), name)) is not name:
            raise SettingsError(
                f"The predictions would have the columns {other!r} and {name!r}, which are the same to a "
                "database: give the key another name in a query, or leave the probabilities away."
            )
