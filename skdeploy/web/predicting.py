"""POST /predict: the bytes of a body in, the bytes of an answer out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from skdeploy.drift import Window
from skdeploy.errors import count_cells
from skdeploy.model import Model, Predictions
from skdeploy.schema import Checked, RecordReader
from skdeploy.web.exchange import Exchange
from skdeploy.web.problems import HttpProblem, invalid_record, unscorable


@dataclass(frozen=True, slots=True)
class Options:
    """What the query asks for.

    proba     the probability per class beside the label
    partial   good records of a list are answered although others are bad
    """

    proba: bool = False
    partial: bool = False


_PLAIN = Options()


class Predictor:
    """Answers bodies with one model.

    version   of the model
    drift     is told of every record that was predicted; None where nobody looks for drift
    """

    def __init__(
        self, model: Model, reader: RecordReader, id_field: str | None, drift: Window | None = None
    ) -> None:
        self._model = model
        self._reader = reader
        self._id_field = id_field
        self._drift = drift
        passport = model.passport
        self.version = passport.version
        self._encode = msgspec.json.Encoder().encode
        self._stamp = msgspec.Raw(self._encode({"name": passport.name, "version": passport.version}))

    def parse_query(self, query: str) -> Options:
        """`proba=true`, `errors=partial`; anything else is refused (HttpProblem, 400)."""
        if not query:
            return _PLAIN
        pairs = parse_qsl(query, keep_blank_values=True)
        asked = dict(pairs)
        for name, value in pairs:
            if (name, value) not in _KNOWN_QUERY or len(asked) != len(pairs):
                raise _bad_query(name, value)
        proba = asked.get("proba") == "true"
        if proba and not self._model.passport.output.probabilities:
            raise HttpProblem(400, "bad-query", "Bad query", "proba: this model does not give probabilities.")
        return Options(proba=proba, partial="errors" in asked)

    def answer(self, body: bytes, options: Options, exchange: Exchange) -> tuple[int, bytes]:
        """Status and JSON for a body; the status is 200, or 500 if a record cannot be scored.

        exchange   is told how long the parts took, and what became of the records

        Raises MalformedBody, TooManyRecords, InvalidRecord or PredictionFailed.
        """
        began = time.monotonic()
        checked = self._reader.read_json(body)
        read = time.monotonic()
        exchange.parse, exchange.records = read - began, checked.count
        if checked.bad:
            exchange.rejected = checked.rejected
            exchange.bad = checked.bad_cells
        partial = options.partial and not checked.single
        if not partial or checked.rejected == checked.count:
            checked.require_all_good()
        predictions = self._model.predict(checked.table, proba=options.proba)
        predicted = time.monotonic()
        exchange.predict = predicted - read
        exchange.unscorable = len(predictions.unscorable)
        exchange.predicted = checked.table.count - exchange.unscorable
        if self._drift is not None:
            self._drift.add(checked.table, predictions.values)
        status, document = self._document(checked, predictions, options.proba, partial)
        answer = self._encode(document)
        exchange.encode = time.monotonic() - predicted
        return status, answer

    def _document(
        self, checked: Checked, predictions: Predictions, proba: bool, partial: bool
    ) -> tuple[int, dict[str, Any]]:
        """The status, and the answer or the problem."""
        failed = {checked.positions[i]: reason for i, reason in predictions.unscorable.items()}
        if failed and len(failed) + checked.rejected == checked.count:
            checked.require_all_good()
        if failed and (not partial or len(failed) == checked.count):
            return 500, unscorable(failed)
        if checked.single:
            document = self._item(checked, predictions, 0)
        elif partial or proba or checked.ids:
            document = {"predictions": self._items(checked, predictions, failed)}
        else:
            document = {"predictions": predictions.values}
        if checked.further:
            document["more_errors"] = _further(checked)
        document["model"] = self._stamp
        return 200, document

    def _item(self, checked: Checked, predictions: Predictions, place: int) -> dict[str, Any]:
        """A scored record's answer: its key if it has one, its prediction, its probabilities."""
        item = self._key(checked, checked.positions[place])
        item["prediction"] = predictions.values[place]
        if predictions.probabilities is not None:
            item["probabilities"] = predictions.probabilities[place]
        return item

    def _items(
        self, checked: Checked, predictions: Predictions, failed: dict[int, str]
    ) -> list[dict[str, Any]]:
        """The scored records and the described ones, in the order in which they came."""
        items = {
            index: self._item(checked, predictions, place)
            for place, index in enumerate(checked.positions)
            if index not in failed
        }
        errors = {index: _described(checked, index) for index in checked.bad}
        errors |= {index: unscorable({index: reason}) for index, reason in failed.items()}
        for index, error in errors.items():
            items[index] = self._key(checked, index) | {"error": error}
        return [{"index": index} | items[index] for index in sorted(items)]

    def _key(self, checked: Checked, index: int) -> dict[str, Any]:
        if self._id_field is None or checked.ids is None or index not in checked.ids:
            return {}
        return {self._id_field: checked.ids[index]}


def _described(checked: Checked, index: int) -> dict[str, Any]:
    """A bad record's problem; it says how many bad cells there are if they are not all listed."""
    cells, more = checked.bad[index], checked.unlisted.get(index, 0)
    return invalid_record(cells, count_cells(cells, more) if more else None)


def _further(checked: Checked) -> dict[str, Any]:
    """The bad records that are not described: how many they are, and the first and last of each run."""
    runs = [(run.start, run.stop - 1) for run in checked.further]
    return {"count": checked.further_count, "indices": runs}


_KNOWN_QUERY = {("proba", "true"), ("proba", "false"), ("errors", "partial")}


def _bad_query(name: str, value: str) -> HttpProblem:
    return HttpProblem(
        400,
        "bad-query",
        "Bad query",
        f"{name}={value} is not understood: proba=true, proba=false and errors=partial are, once each.",
    )
