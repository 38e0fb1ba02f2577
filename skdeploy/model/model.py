"""Records in, predictions out: what every door calls."""

from __future__ import annotations

import logging
import math
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdeploy.engines import Engine, NoAnswer
from skdeploy.errors import PredictionFailed
from skdeploy.model.outputs import not_finite, plain_predictions, plain_probabilities
from skdeploy.passport import Output, Passport
from skdeploy.schema import Schema, Table

_log = logging.getLogger(__name__)

NOT_FINITE = "the pipeline's prediction is not a finite number"
RAISED = "the pipeline raised an exception on this record"
NOT_TRIED = "not tried, because the pipeline raised on too many records of this call"
# Each record that raises costs several calls of the pipeline.
_MOST_RAISING = 100


def _log_where(error: Exception) -> None:
    """Which line raised. Its message may hold the record's values, and is left to debugging."""
    lines = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    _log.error("The pipeline raised %s at\n%s", type(error).__name__, lines)
    _log.debug("It said: %s", error)


def _log_unscorable(predictions: Predictions) -> None:
    """Say in the log how many records have no prediction, and why the first of them has none."""
    _log.error(
        "%d of %d records are valid and have no prediction; record %d: %s",
        len(predictions.unscorable),
        len(predictions),
        *next(iter(predictions.unscorable.items())),
    )


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
        return self._with_gaps(plain_predictions(self.labels, self._output))

    @property
    def probabilities(self) -> list[Any] | None:
        """Per record an object by class; None if unscorable, and None for all if they were not asked for."""
        if self.scores is None:
            return None
        return self._with_gaps(plain_probabilities(self.scores, self._output))

    @property
    def columns(self) -> list[Any]:
        """By output, its predictions as `Table` has columns: None or NaN where a record has none."""
        names = self._output.names
        if names is None:
            return [self._column(self.labels.reshape(len(self.labels)))]
        return [self._column(self.labels[:, place]) for place in range(len(names))]

    def _column(self, labels: Any) -> Any:
        if labels.dtype.kind == "O":
            return self._with_gaps(labels.tolist())
        if not self.unscorable:
            return labels
        if labels.dtype.kind != "f":
            return self._with_gaps(labels.tolist())
        labels = labels.copy()
        labels[[*self.unscorable]] = math.nan
        return labels

    def _with_gaps(self, values: list[Any]) -> list[Any]:
        for row in self.unscorable:
            values[row] = None
        return values

    def part(self, start: int, stop: int) -> Predictions:
        """Those of the rows from `start` to before `stop`."""
        scores = self.scores
        if isinstance(scores, list):
            scores = [array[start:stop] for array in scores]
        elif scores is not None:
            scores = scores[start:stop]
        unscorable = {row - start: why for row, why in self.unscorable.items() if start <= row < stop}
        return Predictions(self._output, self.labels[start:stop], scores, unscorable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a model came from.

    uri          without credentials
    version      the registry's number
    fetched      when it came from there, RFC 3339
    from_cache   why it came from the cache although its source may have another; else None
    """

    uri: str
    version: str | None
    fetched: str
    from_cache: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """A proved model. Safe to call from several threads.

    probe    a record that is known to predict, for telling a bad record from a broken engine
    digest   SHA-256 of the file it came from
    notes    what could not be known or proved, for the log and for `GET /`
    fallback   why scikit-learn serves although a compiled engine was wanted; None if it was not
    origin   where it came from; None if nobody says
    cost     seconds of a call with one record, and seconds per further record; None if nobody measured it
    together whether records may share a call: golden records predict alone what they do together
    """

    passport: Passport
    engine: Engine
    probe: Table
    digest: str
    notes: tuple[str, ...] = ()
    fallback: str | None = None
    origin: Origin | None = None
    cost: tuple[float, float] | None = None
    together: bool = False

    def __repr__(self) -> str:
        # Not the fields: golden and probe records must not end up in a log.
        return f"Model({self.passport.name} {self.passport.version}, engine {self.engine.name})"

    @property
    def schema(self) -> Schema:
        """The columns of a record."""
        return self.passport.schema

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
            result = self._call(table, proba)
        except Exception as error:  # the pipeline may raise anything
            self._require_working_engine(error, proba)
            result = self._isolated(table, proba, patient)
        if result.unscorable:
            _log_unscorable(result)
        return result

    def score(self, table: Table, proba: bool) -> Predictions:
        """Predict every record of `table` in one call of the engine; raises what the engine raises."""
        result = self._call(table, proba)
        if result.unscorable:
            _log_unscorable(result)
        return result

    def _call(self, table: Table, proba: bool) -> Predictions:
        labels, scores = self.engine.predict_both(table) if proba else (self.engine.predict(table), None)
        labels = np.asarray(labels)
        if len(labels) != table.count:
            raise ValueError("not one prediction per record")
        broken = not_finite(labels)
        if proba:
            broken = sorted({*broken, *not_finite(scores)})
        return Predictions(self.passport.output, labels, scores, dict.fromkeys(broken, NOT_FINITE))

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
        output = self.passport.output
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
            self._call(self.probe, proba)
        except Exception:
            raise PredictionFailed("The engine fails on a record that it predicted at start-up.") from error


def _spread(count: int, parts: list[tuple[range, Any]], shape: tuple[int, ...]) -> Any:
    """An array of `count` rows with what the parts have for their rows; zeros, of this shape, elsewhere."""
    if not parts:
        return np.zeros((count, *shape))
    made = np.concatenate([array for _, array in parts])
    result = np.zeros((count, *made.shape[1:]), dtype=made.dtype)
    result[[row for rows, _ in parts for row in rows]] = made
    return result
