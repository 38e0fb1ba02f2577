"""POST /predict: bodies in, answers out; one body alone, or several that arrived together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from werkzeug.http import parse_options_header

from skdeploy.drift import Window
from skdeploy.errors import TooManyRecords, count_cells
from skdeploy.model import Model, Predictions, log_unscorable
from skdeploy.schema import LONG, Checked, Explainer, RecordReader, Table
from skdeploy.web import problems
from skdeploy.web.context import RequestContext
from skdeploy.web.headers import Headers
from skdeploy.web.pages import JSON
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

Answer = tuple[int, Headers, bytes]


class Predictor:
    """Answers bodies with one model.

    version   of the model
    explainer   reads bodies that do not plainly fit
    drift     is told of every record that was predicted; None where nobody looks for drift
    """

    def __init__(
        self,
        model: Model,
        reader: RecordReader,
        id_field: str | None,
        *,
        explainer: Explainer,
        max_body: int,
        drift: Window | None = None,
    ) -> None:
        self.model = model
        self._reader = reader
        self._id_field = id_field
        self._explainer = explainer
        self._max_body = max_body
        self._drift = drift
        passport = model.passport
        self.version = passport.version
        self._encode = msgspec.json.Encoder().encode
        stamp = self._encode({"name": passport.name, "version": passport.version})
        self._stamp = msgspec.Raw(stamp)
        self._lone_tail = b',"model":' + stamp + b"}"
        self._are_numbers = passport.output.kind == "regression" and passport.output.names is None

    def check(self, context: RequestContext) -> Answer | None:
        """The refusal of a request whose query, media type or size is not understood; else None.

        Whoever is not refused has its options and its body in `context`.
        """
        context.model = self.version
        try:
            context.options = self.parse_query(context.query)
            _require_json(context)
            context.read(self._max_body)
        except Exception as error:  # each has its document
            return problems.respond(error)
        return None

    def respond(self, context: RequestContext) -> Answer:
        """The answer to a request, by itself; long bodies that do not fit are waited for."""
        refusal = self.check(context)
        if refusal is not None:
            return refusal
        answer = self.respond_soon(context)
        if answer is not None:
            return answer
        explained = self.explain(context)
        return explained if isinstance(explained, tuple) else self.respond_to(explained, context)

    def respond_soon(self, context: RequestContext) -> Answer | None:
        """The answer to a request that `check` let pass; None if `explain` has to look at its body."""
        body = context.read(self._max_body)
        began = time.monotonic()
        try:
            checked = self._reader.read_fast(body)
            if checked is None:
                if len(body) > LONG:
                    return None
                checked = self._reader.explain(body)
        except Exception as error:  # each has its document
            return problems.respond(error)
        context.parse = time.monotonic() - began
        return self.respond_to(checked, context)

    def explain(self, context: RequestContext) -> Answer | Checked:
        """What a long body comes to, once another process has looked at it; or the refusal of all of it."""
        began = time.monotonic()
        try:
            checked = self._explainer.explain(self._reader, context.read(self._max_body))
        except Exception as error:  # each has its document
            return problems.respond(error)
        context.parse = time.monotonic() - began
        return checked

    def respond_to(self, checked: Checked, context: RequestContext) -> Answer:
        """The answer to what was read."""
        try:
            status, body = self._answer(checked, context)
        except Exception as error:  # each has its document
            return problems.respond(error)
        return status, JSON if status == 200 else problems.HEADERS, body

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
        if proba and not self.model.passport.output.probabilities:
            raise HttpProblem(400, "bad-query", "Bad query", "proba: this model does not give probabilities.")
        return Options(proba=proba, partial="errors" in asked)

    def _answer(self, checked: Checked, context: RequestContext) -> tuple[int, bytes]:
        """Status and JSON for what was read, in a call of its own; the status is 200, or 500 if a record
        cannot be scored.

        Raises InvalidRecord or PredictionFailed.
        """
        options: Options = context.options
        context.records = checked.count
        if checked.bad:
            context.rejected = checked.rejected
            context.bad = checked.rejections
        if not options.partial or checked.single or checked.rejected == checked.count:
            checked.require_all_good()
        began = time.monotonic()
        predictions = self.model.predict(checked.table, proba=options.proba)
        context.predict = time.monotonic() - began
        if self._drift is not None:
            self._drift.add(checked.table, predictions.columns)
        return self._write(checked, predictions, context)

    def _write(
        self, checked: Checked, predictions: Predictions, context: RequestContext
    ) -> tuple[int, bytes]:
        began = time.monotonic()
        options: Options = context.options
        context.unscorable = len(predictions.unscorable)
        context.predicted = len(predictions) - context.unscorable
        partial = options.partial and not checked.single
        status, document = self._document(checked, predictions, options.proba, partial)
        answer = self._encode(document)
        context.encode = time.monotonic() - began
        return status, answer

    # Bodies that arrived together

    def read_together(self, contexts: Sequence[RequestContext]) -> Turn:
        """What plainly fits of several small bodies, and the requests whose bodies do not.

        Those ask alike for probabilities.
        """
        began = time.monotonic()
        bodies = [context.body or b"" for context in contexts]
        singles = [place for place, body in enumerate(bodies) if body.lstrip()[:1] == b"{"]
        read = self._reader.read_each_fast([bodies[place] for place in singles])
        parts = []
        for row, (place, key) in enumerate(zip(read.places, read.ids, strict=True)):
            context = contexts[singles[place]]
            context.records = 1
            parts.append(Part(context, row, 1, None if key is msgspec.UNSET else self._lone(key)))
        cells, odd = read.cells, [contexts[singles[place]] for place in read.rest]
        if len(singles) < len(bodies):
            alone = set(singles)
            for place in range(len(bodies)):
                if place not in alone:
                    self._read_list(contexts[place], cells, parts, odd)
        took = time.monotonic() - began
        for part in parts:
            part.context.parse = took
        return Turn(parts, Table(cells, sum(part.records for part in parts)), odd)

    def _read_list(
        self, context: RequestContext, cells: list[Any], parts: list[Part], odd: list[RequestContext]
    ) -> None:
        """Add the records of a list to those that are there; it is odd if they do not plainly fit."""
        try:
            checked = self._reader.read_fast(context.body or b"")
        except TooManyRecords:
            checked = None
        if checked is None:
            odd.append(context)
            return
        start = len(cells[0])
        for column, more in zip(cells, checked.table.cells, strict=True):
            column.extend(more)
        context.records = checked.count
        parts.append(Part(context, start, checked.count, checked))

    def _lone(self, key: Any) -> Checked:
        """A single record with a key."""
        return Checked(_NO_TABLE, range(1), 1, ids={0: key}, single=True)

    def score_together(self, turn: Turn) -> list[Answered]:
        """The answers to a turn's requests, from one call of the engine. Raises what the engine raises."""
        if not turn.parts:
            return []
        began = time.monotonic()
        proba = turn.parts[0].context.options.proba
        predictions = self.model.score(turn.table, proba=proba)
        log_unscorable(predictions)
        predicted = time.monotonic()
        if self._drift is not None:
            self._drift.add(turn.table, predictions.columns)
        answers: list[Answered] = []
        lone: list[Part] = []
        for part in turn.parts:
            context = part.context
            context.predict = predicted - began
            if part.checked is None and not proba and part.start not in predictions.unscorable:
                lone.append(part)
                continue
            checked, own = part.checked or _LONE, predictions.part(part.start, part.start + part.records)
            answers.append(Answered(context, *self._write(checked, own, context)))
        encode = time.monotonic()
        values = predictions.values
        bodies = self._write_lone([values[part.start] for part in lone])
        took = time.monotonic() - encode
        for part, body in zip(lone, bodies, strict=True):
            part.context.predicted, part.context.encode = 1, took
            answers.append(Answered(part.context, 200, body))
        return answers

    def _write_lone(self, values: list[Any]) -> list[bytes]:
        """The answers of single records without keys and probabilities."""
        if self._are_numbers:  # no comma stands in a number
            written = self._encode(values)[1:-1].split(b",") if values else []
        else:
            written = [self._encode(value) for value in values]
        tail = self._lone_tail
        return [b'{"prediction":' + value + tail for value in written]

    def score_apart(self, turn: Turn) -> tuple[list[Answered], list[Turn]]:
        """The answers of a turn on which the engine raises: halved until a request fails alone.

        At most 100 calls are made; what is left then is given back, so that others have their turn between.
        """
        answers: list[Answered] = []
        todo, calls = [turn], 0
        while todo and calls < _MOST_CALLS:
            calls += 1
            some = todo.pop()
            if len(some.parts) == 1:
                answers.append(self._score_alone(some))
                continue
            try:
                answers += self.score_together(some)
            except Exception:  # the pipeline may raise anything
                middle = len(some.parts) // 2
                todo += [some.of(some.parts[middle:]), some.of(some.parts[:middle])]
        return answers, todo

    def _score_alone(self, turn: Turn) -> Answered:
        (part,) = turn.parts
        checked = part.checked or _LONE
        try:
            return Answered(part.context, *self._answer(replace(checked, table=turn.table), part.context))
        except Exception as error:  # each has its document
            status, _, body = problems.respond(error)
            return Answered(part.context, status, body)

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
            (document,) = self._scored(checked, predictions)
        elif partial or proba or checked.ids:
            document = {"predictions": self._items(checked, predictions, failed)}
        else:
            document = {"predictions": predictions.values}
        if checked.further:
            document["more_errors"] = _further(checked)
        document["model"] = self._stamp
        return 200, document

    def _scored(self, checked: Checked, predictions: Predictions) -> list[dict[str, Any]]:
        """By good record: its key if it has one, its prediction, its probabilities."""
        items = [
            self._key(checked, index) | {"prediction": value}
            for index, value in zip(checked.positions, predictions.values, strict=True)
        ]
        for item, by_class in zip(items, predictions.probabilities or (), strict=False):
            item["probabilities"] = by_class
        return items

    def _items(
        self, checked: Checked, predictions: Predictions, failed: dict[int, str]
    ) -> list[dict[str, Any]]:
        """The scored records and the described ones, in the order in which they came."""
        scored = zip(checked.positions, self._scored(checked, predictions), strict=True)
        items = {index: item for index, item in scored if index not in failed}
        errors = {index: _described(checked, index) for index in checked.bad}
        errors |= {index: unscorable({index: reason}) for index, reason in failed.items()}
        for index, error in errors.items():
            items[index] = self._key(checked, index) | {"error": error}
        return [{"index": index} | items[index] for index in sorted(items)]

    def _key(self, checked: Checked, index: int) -> dict[str, Any]:
        if self._id_field is None or checked.ids is None or index not in checked.ids:
            return {}
        return {self._id_field: checked.ids[index]}


class Part(NamedTuple):
    """A request's share in a turn.

    start, records   its rows of the turn's table
    checked        what was read, but for its table; None for a single record without a key
    """

    context: RequestContext
    start: int
    records: int
    checked: Checked | None


@dataclass(frozen=True, slots=True)
class Turn:
    """What arrived together and is scored together.

    parts   the requests whose bodies plainly fit
    table   all their records
    odd     the requests whose bodies have to be looked at more closely
    """

    parts: list[Part]
    table: Table
    odd: list[RequestContext] = field(default_factory=list)

    def of(self, parts: Sequence[Part]) -> Turn:
        """A turn of some of the parts, which follow each other."""
        first = parts[0].start
        rows = self.table.rows(range(first, parts[-1].start + parts[-1].records))
        return Turn([part._replace(start=part.start - first) for part in parts], rows)


class Answered(NamedTuple):
    """A request with the status and the body of its answer."""

    context: Any
    status: int
    body: bytes


_NO_TABLE = Table([], 0)
# A single record without a key.
_LONE = Checked(_NO_TABLE, range(1), 1, single=True)
# Calls of the engine that a turn which raises may cost before others have theirs.
_MOST_CALLS = 100


_JSON_HINT = "Send the records as JSON: -H 'Content-Type: application/json'."


def _require_json(context: RequestContext) -> None:
    """A missing Content-Type is taken for JSON; JSON itself has no encoding but UTF-8."""
    given = context.headers.get(b"content-type", b"")
    if given and given != b"application/json":
        media_type, options = parse_options_header(given.decode("latin-1").lower())
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise _unsupported(f"The content type is {media_type}. {_JSON_HINT}")
        charset = options.get("charset", "utf-8")
        if charset not in ("utf-8", "utf8"):
            raise _unsupported(f"The charset {charset} is not understood: JSON is UTF-8.")
    if context.headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise _unsupported("A compressed body is not understood: send it without Content-Encoding.")


def _unsupported(detail: str) -> HttpProblem:
    return HttpProblem(415, "unsupported-media-type", "Unsupported media type", detail)


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
