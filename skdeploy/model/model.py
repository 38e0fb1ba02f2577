"""Records in, predictions out: what every door calls."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skdeploy.engines import Engine, NoAnswer
from skdeploy.errors import PredictionFailed
from skdeploy.model.outputs import not_finite, plain_predictions, plain_probabilities
from skdeploy.passport import Passport
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


def log_unscorable(predictions: Predictions) -> None:
    """Say in the log how many records have no prediction, and why the first of them has none."""
    if predictions.unscorable:
        _log.error(
            "%d of %d records are valid and have no prediction; record %d: %s",
            len(predictions.unscorable),
            len(predictions.values),
            *next(iter(predictions.unscorable.items())),
        )


@dataclass(slots=True)
class Predictions:
    """One answer per record of the table, in its order.

    values          JSON-ready predictions; None where `unscorable` says why
    probabilities   per record, by class; None unless asked for
    unscorable      index -> reason, for records that are valid and still have no prediction
    """

    values: list[Any]
    probabilities: list[Any] | None = None
    unscorable: dict[int, str] = field(default_factory=dict)

    def put(self, indices: Sequence[int], part: Predictions) -> None:
        """Have the answers of `part` for the records at `indices`."""
        for place, index in enumerate(indices):
            self.values[index] = part.values[place]
            if self.probabilities is not None and part.probabilities is not None:
                self.probabilities[index] = part.probabilities[place]
            self.unscorable.pop(index, None)
            if place in part.unscorable:
                self.unscorable[index] = part.unscorable[place]


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

    def predict(self, table: Table, *, proba: bool = False) -> Predictions:
        """Predict every record of `table`; `proba` adds the probability per class.

        A record on which the pipeline raises, or whose prediction is not finite, is reported in
        `unscorable` and takes nothing from its neighbours. Raises PredictionFailed if it is the
        engine that fails: then not even the probe record predicts.
        """
        if not table.count:
            return Predictions([], [] if proba else None)
        try:
            result = self.score(table, proba)
        except Exception as error:  # the pipeline may raise anything
            self._require_working_engine(error, proba)
            result = Predictions([None] * table.count, [None] * table.count if proba else None)
            self._bisect(table, list(range(table.count)), result)
        log_unscorable(result)
        return result

    def predict_all(self, table: Table, *, proba: bool = False) -> Predictions:
        """The same for who can wait: also where so many records raise that `predict` leaves some untried."""
        predictions = self.predict(table, proba=proba)
        while left := [row for row, reason in predictions.unscorable.items() if reason is NOT_TRIED]:
            predictions.put(left, self.predict(table.rows(left), proba=proba))
        return predictions

    def score(self, table: Table, proba: bool) -> Predictions:
        """Predict every record of `table` in one call of the engine; raises what the engine raises."""
        output = self.passport.output
        raw, scores = self.engine.predict_both(table) if proba else (self.engine.predict(table), None)
        result = Predictions(plain_predictions(raw, output))
        if len(result.values) != table.count:
            raise ValueError("not one prediction per record")
        broken = set(not_finite(raw))
        if proba:
            result.probabilities = plain_probabilities(scores, output)
            broken |= set(not_finite(scores))
        for index in sorted(broken):
            result.values[index] = None
            result.unscorable[index] = NOT_FINITE
        return result

    def _bisect(self, table: Table, indices: list[int], result: Predictions) -> None:
        """Score `indices` by halves until what fails is a single record."""
        if len(result.unscorable) >= _MOST_RAISING:
            result.unscorable |= dict.fromkeys(indices, NOT_TRIED)
            return
        try:
            part = self.score(table.rows(indices), result.probabilities is not None)
        except Exception as error:  # the pipeline may raise anything
            if len(indices) == 1:
                if isinstance(error, NoAnswer):
                    result.unscorable[indices[0]] = str(error)
                    return
                if not result.unscorable:
                    _log_where(error)
                result.unscorable[indices[0]] = RAISED
                return
            middle = len(indices) // 2
            self._bisect(table, indices[:middle], result)
            self._bisect(table, indices[middle:], result)
            return
        result.put(indices, part)

    def _require_working_engine(self, error: Exception, proba: bool) -> None:
        try:
            self.score(self.probe, proba)
        except Exception:
            raise PredictionFailed("The engine fails on a record that it predicted at start-up.") from error
