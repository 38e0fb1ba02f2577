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

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, Protocol

from skdeploy.errors import Rejection, SettingsError
from skdeploy.model import Model, Predictions
from skdeploy.schema import MOST_DESCRIBED, Checked, RecordReader, Table

A_PREDICTION = "a prediction"


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
        """Predict what was read; a record on which the pipeline fails takes nothing from its neighbours.

        patient   see `Model.predict`

        Raises PredictionFailed if it is the engine that fails, not a record.
        """
        predictions = self.model.predict(checked.table, proba=proba, patient=patient)
        if self.drift is not None:
            self.drift.add(checked.table, predictions.columns)
        return Scored(checked, predictions)

    def score_once(self, table: Table, proba: bool) -> Predictions:
        """Predict records of several callers in one call of the engine; raises what the engine raises."""
        predictions = self.model.score(table, proba)
        if self.drift is not None:
            self.drift.add(table, predictions.columns)
        return predictions
