"""The data plane: records in; predictions, rejections, counts and drift out. Every door calls it.

    bytes     reader.read_json      a request's body
              reader.read_each      events, a record in each
    mappings  reader.read
    columns   columns of Arrow, by skdeploy.batch.columns
    -> Checked, the good records by column and the rejected ones
    -> score -> Scored, predictions as arrays and every rejection

A door translates what it has into one of these, and what comes back into what its callers read.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, Protocol

import numpy as np

from skdeploy.engines import NoAnswer
from skdeploy.errors import PredictionFailed, Rejection, SettingsError
from skdeploy.model import Model
from skdeploy.model.outputs import not_finite, plain_predictions, plain_probabilities
from skdeploy.passport import Output
from skdeploy.schema import MOST_DESCRIBED, Checked, RecordReader, Table

_log = logging.getLogger(__name__)

A_PREDICTION = "a prediction"
NOT_FINITE = "the pipeline's prediction is not a finite number"
RAISED = "the pipeline raised an exception on this record"
NOT_TRIED = "not tried, because the pipeline raised on too many records of this call"
# Each record that raises costs several calls of the pipeline.
_MOST_RAISING = 100


class Predictions:
    """The answers to the records of a table, in its order, as arrays until a door writes them.

    labels       (n,) or (n, outputs)
    scores       the probabilities, (n, classes), or a list of such arrays by output; None unless asked for
    unscorable   row -> reason, for records that are valid and still have no prediction; what the arrays
                 hold in such a row means nothing
    """

    __slots__ = ("_output", "labels", "scores", "unscorable")

    def __init__(self, output: Output, labels: Any, scores: Any, unscorable: dict[int, str]) -> None:
        self._output, self.labels, self.scores, self.unscorable = output, labels, scores, unscorable

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def values(self) -> list[Any]:
        """A prediction per record that JSON can say: a scalar, or an object by output; None if unscorable."""
        if self._output.names is None:
            values: list[Any] = self.labels.tolist()
        else:
            values = plain_predictions(self.labels, self._output)
        for row in self.unscorable:
            values[row] = None
        return values

    @property
    def probabilities(self) -> list[Any] | None:
        """Per record an object by class; None if unscorable, and None for all if they were not asked for."""
        if self.scores is None:
            return None
        found = plain_probabilities(self.scores, self._output)
        for row in self.unscorable:
            found[row] = None
        return found

    @property
    def columns(self) -> list[Any]:
        """By output, its predictions as `Table` has columns: None or NaN where a record has none."""
        labels, names = self.labels, self._output.names
        if names is not None:
            return [self._column(labels[:, place]) for place in range(len(names))]
        if self.unscorable or labels.dtype.kind == "O":
            return [self._column(labels)]
        return [labels]

    def _column(self, labels: Any) -> Any:
        if self.unscorable and labels.dtype.kind == "f":
            labels = labels.copy()
            labels[[*self.unscorable]] = math.nan
        elif self.unscorable or labels.dtype.kind == "O":
            labels = labels.tolist()
            for row in self.unscorable:
                labels[row] = None
        return labels

    def part(self, start: int, stop: int) -> Predictions:
        """Those of the rows from `start` to before `stop`."""
        scores = self.scores
        if isinstance(scores, list):
            scores = [array[start:stop] for array in scores]
        elif scores is not None:
            scores = scores[start:stop]
        unscorable = {row - start: why for row, why in self.unscorable.items() if start <= row < stop}
        return Predictions(self._output, self.labels[start:stop], scores, unscorable)


class Drift(Protocol):
    """Takes note of records that were predicted: `skdeploy.drift.Window` or `Tally`."""

    def add(self, table: Table, outputs: Sequence[Any]) -> None:
        """Records, and by output what was predicted for them."""


@dataclass(frozen=True)
class Scored:
    """What records came to: each of them has a prediction, or is rejected.

    checked      what was read
    predictions  of `checked.table`, in its order
    """

    checked: Checked
    predictions: Predictions

    @cached_property
    def rejections(self) -> dict[int, list[Rejection]]:
        """By index among all that came: why a record has no prediction, as far as it is described."""
        found = dict(self.checked.bad)
        for row, reason in self.predictions.unscorable.items():
            index = self.checked.positions[row]
            found[index] = [Rejection(index, None, "unscorable", A_PREDICTION, reason)]
        return found

    @property
    def predicted(self) -> list[tuple[int, int]]:
        """The records with a prediction in the order in which they came: row of the table, index."""
        failed = self.predictions.unscorable
        pairs = [(row, index) for row, index in enumerate(self.checked.positions) if row not in failed]
        return pairs if isinstance(self.checked.positions, range) else sorted(pairs, key=itemgetter(1))


class Scorer:
    """Reads and scores records with one model. Safe to call from several threads.

    model     the one
    reader    reads bodies and mappings
    id_field  the key of a record that comes back with its prediction; None where the model has such a column
    drift     is told of every record that was predicted; None where nobody looks for drift

    The other parameters are those of `RecordReader`.
    """

    def __init__(
        self,
        model: Model,
        *,
        id_field: str | None = None,
        ignore_unknown: bool = False,
        strict: bool = False,
        reveal: bool = True,
        max_records: int | None = None,
        max_described: int | None = MOST_DESCRIBED,
        drift: Drift | None = None,
    ) -> None:
        self.model = model
        self.id_field = None if id_field in model.schema.names else id_field
        self.drift = drift
        self.reader = RecordReader(
            model.schema,
            id_field=self.id_field,
            ignore_unknown=ignore_unknown,
            strict=strict,
            reveal=reveal,
            max_records=max_records,
            max_described=max_described,
        )

    def require_probabilities(self) -> None:
        """Raise SettingsError if the model has none."""
        passport = self.model.passport
        if not passport.output.probabilities:
            raise SettingsError(
                f"SKDEPLOY_PROBA is 1, but the model {passport.name} has no probabilities: unset it."
            )

    def score(self, checked: Checked, *, proba: bool = False, patient: bool = False) -> Scored:
        """Predict what was read, and tell drift of it; the parameters and errors are those of `predict`."""
        predictions = self.predict(checked.table, proba=proba, patient=patient)
        if self.drift is not None:
            self.drift.add(checked.table, predictions.columns)
        return Scored(checked, predictions)

    def score_once(self, table: Table, proba: bool) -> Predictions:
        """Predict records of several callers in one call of the engine, and tell drift of them.

        Raises what the engine raises.
        """
        predictions = self._call(table, proba)
        if predictions.unscorable:
            _log_unscorable(predictions)
        if self.drift is not None:
            self.drift.add(table, predictions.columns)
        return predictions

    def predict(self, table: Table, *, proba: bool = False, patient: bool = False) -> Predictions:
        """Predict every record of `table`; `proba` adds the probability per class.

        A record on which the pipeline raises, or whose prediction is not finite, is reported in
        `unscorable` and takes nothing from its neighbours. Each such record costs several calls of the
        pipeline: behind the first 100 others are given up with NOT_TRIED, unless the caller is `patient`.
        Raises PredictionFailed if it is the engine that fails: then not even the probe record predicts.
        """
        if not table.count:
            return self._assembled(0, [], {}, proba)
        try:
            predictions = self._call(table, proba)
        except Exception as error:  # the pipeline may raise anything
            self._require_working_engine(error, proba)
            predictions = self._isolated(table, proba, patient)
        if predictions.unscorable:
            _log_unscorable(predictions)
        return predictions

    def _call(self, table: Table, proba: bool) -> Predictions:
        engine = self.model.engine
        labels, scores = engine.predict_both(table) if proba else (engine.predict(table), None)
        labels, output = np.asarray(labels), self.model.passport.output
        if len(labels) != table.count:
            raise ValueError("not one prediction per record")
        if output.names is None and labels.ndim > 1:
            labels = labels.reshape(table.count)
        broken: list[int] = []
        if proba or labels.dtype.kind != "f" or not np.isfinite(labels).all():
            broken = not_finite(labels)
            if proba:
                broken = sorted({*broken, *not_finite(scores)})
        return Predictions(output, labels, scores, dict.fromkeys(broken, NOT_FINITE))

    def _isolated(self, table: Table, proba: bool, patient: bool) -> Predictions:
        """Score by halves until what fails is a single record."""
        parts: list[tuple[range, Predictions]] = []
        unscorable: dict[int, str] = {}
        todo = [range(table.count)]
        while todo:
            rows = todo.pop()
            if len(unscorable) >= _MOST_RAISING and not patient:
                unscorable |= dict.fromkeys(rows, NOT_TRIED)
                continue
            try:
                part = self._call(table.rows(rows), proba)
            except Exception as error:  # the pipeline may raise anything
                if len(rows) > 1:
                    middle = len(rows) // 2
                    todo += [rows[middle:], rows[:middle]]
                elif isinstance(error, NoAnswer):
                    unscorable[rows[0]] = str(error)
                else:
                    if RAISED not in unscorable.values():
                        _log_where(error)
                    unscorable[rows[0]] = RAISED
                continue
            parts.append((rows, part))
            unscorable |= {rows[row]: reason for row, reason in part.unscorable.items()}
        return self._assembled(table.count, parts, unscorable, proba)

    def _assembled(
        self, count: int, parts: list[tuple[range, Predictions]], unscorable: dict[int, str], proba: bool
    ) -> Predictions:
        """One table's predictions from those of runs of its rows; the other rows are unscorable."""
        output = self.model.passport.output
        width = () if output.names is None else (len(output.names),)
        labels = _spread(count, [(rows, part.labels) for rows, part in parts], width)
        scores: Any = None
        if proba and output.names is not None:
            scores = [
                _spread(count, [(rows, part.scores[place]) for rows, part in parts], (len(classes or ()),))
                for place, classes in enumerate(output.classes or ())
            ]
        elif proba:
            shape = (len(output.classes or ()),)
            scores = _spread(count, [(rows, part.scores) for rows, part in parts], shape)
        return Predictions(output, labels, scores, dict(sorted(unscorable.items())))

    def _require_working_engine(self, error: Exception, proba: bool) -> None:
        try:
            self._call(self.model.probe, proba)
        except Exception:
            raise PredictionFailed("The engine fails on a record that it predicted at start-up.") from error


def _log_where(error: Exception) -> None:
    """Which line raised. Its message may hold the record's values, and is left to debugging."""
    lines = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    _log.error("The pipeline raised %s at\n%s", type(error).__name__, lines)
    _log.debug("It said: %s", error)


def _log_unscorable(predictions: Predictions) -> None:
    """Say how many records have no prediction, and why the first of them has none."""
    _log.error(
        "%d of %d records are valid and have no prediction; record %d: %s",
        len(predictions.unscorable),
        len(predictions),
        *next(iter(predictions.unscorable.items())),
    )


def _spread(count: int, parts: list[tuple[range, Any]], shape: tuple[int, ...]) -> Any:
    """An array of `count` rows with what the parts have for their rows; zeros, of this shape, elsewhere."""
    if not parts:
        return np.zeros((count, *shape))
    made = np.concatenate([array for _, array in parts])
    result = np.zeros((count, *made.shape[1:]), dtype=made.dtype)
    result[[row for rows, _ in parts for row in rows]] = made
    return result
