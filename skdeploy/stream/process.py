"""A poll of events -> predictions and dead letters, in one call of the engine. No broker in sight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from skdeploy.errors import MalformedBody, Rejection, SettingsError
from skdeploy.model import Model
from skdeploy.schema import Checked, Table
from skdeploy.scoring import Scored, Scorer
from skdeploy.stream.cloudevents import record_of
from skdeploy.stream.events import DeadLetter, Event, Prediction

# Who wrote a thousand bad cells into an event needs no list of them all.
_MOST_CELLS = 20


@dataclass(frozen=True, slots=True)
class Processed:
    """What came of a poll: each of its events is in one of both lists.

    table, outputs   the valid records, and what the model said of them by output, for drift
    """

    predictions: list[Prediction]
    dead_letters: list[DeadLetter]
    table: Table | None = None
    outputs: Sequence[Any] = ()


class Processor:
    """Scores events with one model. Deterministic, without side effects.

    deployment   the name that prediction ids begin with
    id_field     the key of a record that comes back with its prediction; None for none
    by_id        prediction ids are made of that key, not of where the event came from
    proba        adds the probability per class

    A prediction's value is a JSON object: `prediction_id`, the pass-through key, `prediction`,
    `probabilities`, and `model` (name, version, sha256). The same event and model make the same bytes.
    """

    def __init__(
        self,
        model: Model,
        deployment: str | None = None,
        *,
        id_field: str | None = "id",
        by_id: bool = False,
        proba: bool = False,
        strict: bool = False,
        ignore_unknown: bool = False,
    ) -> None:
        passport = model.passport
        self.model = model
        self.deployment = deployment or passport.name
        self._scorer = Scorer(
            model, id_field=id_field, strict=strict, ignore_unknown=ignore_unknown, max_described=_MOST_CELLS
        )
        if proba:
            self._scorer.require_probabilities()
        if by_id and self._scorer.id_field is None:
            raise SettingsError(
                "SKDEPLOY_PREDICTION_ID is id, but SKDEPLOY_ID_FIELD is empty or a column of the model."
            )
        self._by_id = by_id
        self._proba = proba
        encoder = msgspec.json.Encoder()
        self._encode_lines = encoder.encode_lines
        stamp = {"name": passport.name, "version": passport.version, "sha256": model.digest}
        self._stamp = msgspec.Raw(encoder.encode(stamp))

    def process(self, events: Sequence[Event]) -> Processed:
        """Predictions and dead letters, each in the order of the events.

        Raises PredictionFailed if it is the engine that fails, not a record.
        """
        bodies, letters = _bodies(events)
        checked = self._scorer.reader.read_each(bodies)
        scored = self._scorer.score(checked, proba=self._proba, patient=True)
        for index, detail in checked.malformed.items():
            letters.setdefault(index, DeadLetter(events[index], "malformed-body", detail))
        for index, rejections in scored.rejections.items():
            letters[index] = _letter(events[index], rejections, checked.unlisted.get(index, 0))
        if self._by_id:
            letters |= self._without_id(events, checked, letters)
        made = self._predictions(events, scored, letters)
        dead = [letters[index] for index in sorted(letters)]
        return Processed(made, dead, checked.table, scored.predictions.columns)

    def _predictions(
        self, events: Sequence[Event], scored: Scored, letters: Mapping[int, DeadLetter]
    ) -> list[Prediction]:
        ids = scored.checked.ids or {}
        values, probabilities = scored.predictions.values, scored.predictions.probabilities
        documents: list[dict[str, Any]] = []
        answered: list[Event] = []
        for row, index in scored.predicted:
            if index in letters:
                continue
            event = events[index]
            stream, shard, number = event.origin
            document: dict[str, Any] = {"prediction_id": f"{self.deployment}/{stream}/{shard}/{number}"}
            if index in ids:
                if self._by_id:
                    document["prediction_id"] = f"{self.deployment}/{ids[index]}"
                document[self._scorer.id_field or ""] = ids[index]
            document["prediction"] = values[row]
            if probabilities is not None:
                document["probabilities"] = probabilities[row]
            document["model"] = self._stamp
            documents.append(document)
            answered.append(event)
        # In one call, a line each: inside of JSON as it is written here a line has no end.
        lines = self._encode_lines(documents).splitlines()
        return [Prediction(event, line) for event, line in zip(answered, lines, strict=True)]

    def _without_id(
        self, events: Sequence[Event], checked: Checked, letters: Mapping[int, DeadLetter]
    ) -> dict[int, DeadLetter]:
        ids = checked.ids or {}
        name = self._scorer.id_field
        detail = f"The record has no {name!r}, of which SKDEPLOY_PREDICTION_ID=id makes its prediction's id."
        return {
            index: DeadLetter(events[index], "no-id", detail)
            for index in checked.positions
            if ids.get(index) is None and index not in letters
        }


def process(model: Model, events: Sequence[Event], deployment: str | None = None, **how: Any) -> Processed:
    """The predictions and dead letters of `events`, once; who has many polls keeps a `Processor`."""
    return Processor(model, deployment, **how).process(events)


def _bodies(events: Sequence[Event]) -> tuple[list[bytes], dict[int, DeadLetter]]:
    """What should be records; and the dead letters of events whose envelope is none."""
    letters: dict[int, DeadLetter] = {}
    bodies: list[bytes] = []
    for index, event in enumerate(events):
        try:
            bodies.append(record_of(event))
        except MalformedBody as error:
            letters[index] = DeadLetter(event, "malformed-body", str(error))
            bodies.append(b"")
    return bodies, letters


def _letter(event: Event, rejections: Sequence[Rejection], unlisted: int) -> DeadLetter:
    if rejections[0].code == "unscorable":
        return DeadLetter(event, "unscorable-record", f"The record is valid, but {rejections[0].got}.")
    listed = [(cell.column, cell.code, *cell.words) for cell in rejections]
    found = len(rejections) + unlisted
    count = f"{found} bad {'cell' if found == 1 else 'cells'}"
    more = f", of which the first {len(rejections)} are listed" if unlisted else ""
    return DeadLetter(event, "invalid-record", f"The record has {count}{more}.", listed)
