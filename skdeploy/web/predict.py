"""POST /predict: bodies in, answers out; one body alone, or several that arrived together."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec
from werkzeug.http import parse_options_header

from skdeploy.errors import TooManyRecords, count_cells
from skdeploy.model import OneThread
from skdeploy.schema import LONG, Checked, Explainer, Table
from skdeploy.scoring import Scored, Scorer
from skdeploy.web import problems
from skdeploy.web.context import RequestContext
from skdeploy.web.headers import Headers
from skdeploy.web.pages import JSON
from skdeploy.web.problems import HttpProblem, invalid_record, unscorable

_log = logging.getLogger(__name__)


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
    """Answers POST /predict with one model: requests in, answers out. `skdeploy.scoring` reads and scores.

    one_thread  keeps calls of the model to the thread that makes them
    explainer   reads bodies that do not plainly fit
    """

    def __init__(self, scorer: Scorer, one_thread: OneThread, *, explainer: Explainer, max_body: int) -> None:
        self._scorer, self._reader = scorer, scorer.reader
        self._one_thread, self._explainer, self._max_body = one_thread, explainer, max_body
        passport = scorer.model.passport
        self.version = passport.version
        self._has_probabilities = passport.output.probabilities
        self._encode = msgspec.json.Encoder().encode
        stamp = self._encode({"name": passport.name, "version": passport.version})
        self._stamp = msgspec.Raw(stamp)
        self._lone_tail = b',"model":' + stamp + b"}"
        self._are_numbers = passport.output.kind == "regression" and passport.output.names is None

    # A request by itself

    def check(self, context: RequestContext) -> Answer | None:
        """The refusal of a request whose query, media type or size is not understood; else None.

        Afterwards its options and its body are in `context`.
        """
        context.model = self.version
        headers = context.headers
        try:
            context.options = self.parse_query(context.query) if context.query else _PLAIN
            if headers.get(b"content-type") != b"application/json" or b"content-encoding" in headers:
                _require_json(headers)
            if context.body is None or len(context.body) > self._max_body:
                context.read(self._max_body)
        except Exception as error:  # each has its document
            return problems.respond(error)
        return None

    def parse_query(self, query: str) -> Options:
        """`proba=true`, `errors=partial`; anything else is refused (HttpProblem, 400)."""
        pairs = parse_qsl(query, keep_blank_values=True)
        asked = dict(pairs)
        for name, value in pairs:
            if (name, value) not in _KNOWN_QUERY or len(asked) != len(pairs):
                raise _bad_query(name, value)
        proba = asked.get("proba") == "true"
        if proba and not self._has_probabilities:
            raise HttpProblem(400, "bad-query", "Bad query", "proba: this model does not give probabilities.")
        return Options(proba=proba, partial="errors" in asked)

    def respond(self, context: RequestContext) -> Answer:
        """The answer to a request, in the thread that asks; long bodies that do not fit are waited for."""
        self._one_thread.enter()
        answer = self.check(context) or self.respond_soon(context)
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
        """The answer to what was read, scored in a call of its own."""
        options: Options = context.options
        context.records = checked.count
        if checked.bad:
            context.rejected = checked.rejected
            context.bad = checked.rejections
        try:
            if not options.partial or checked.single or checked.rejected == checked.count:
                checked.require_all_good()
            began = time.monotonic()
            scored = self._scorer.score(checked, proba=options.proba)
            context.predict = time.monotonic() - began
            status, body = self._write(scored, context)
        except Exception as error:  # each has its document
            return problems.respond(error)
        return status, JSON if status == 200 else problems.HEADERS, body

    # Requests that arrived together

    def read_turn(self, contexts: Sequence[RequestContext]) -> Turn:
        """What plainly fits of several small bodies, and the requests whose bodies do not.

        Those ask alike for probabilities.
        """
        began = time.monotonic()
        parts: list[Part] = []
        try:
            singles = [context for context in contexts if (context.body or b"")[:1] == b"{"]
            read = self._reader.read_each_fast([context.body or b"" for context in singles])
            for row, (place, key) in enumerate(zip(read.places, read.ids, strict=True)):
                context = singles[place]
                context.records = 1
                parts.append(Part(context, row, 1, None if key is msgspec.UNSET else _lone(key)))
            turn = Turn(parts, Table(read.cells, len(parts)), [singles[place] for place in read.rest])
            if len(singles) < len(contexts):
                for context in contexts:
                    if (context.body or b"")[:1] != b"{":
                        self._read_list(context, turn)
        except Exception:  # each is read alone then, and has its own answer
            _log.exception("Bodies could not be read together")
            return Turn([], _NO_TABLE, [*contexts])
        turn.parse = time.monotonic() - began
        return turn

    def _read_list(self, context: RequestContext, turn: Turn) -> None:
        """Add a body's records to those that are there; it is odd if they do not plainly fit."""
        try:
            checked = self._reader.read_fast(context.body or b"")
        except TooManyRecords:
            checked = None
        if checked is None:
            turn.odd.append(context)
            return
        table = turn.table
        for column, more in zip(table.cells, checked.table.cells, strict=True):
            column.extend(more)
        context.records = checked.count
        turn.parts.append(Part(context, table.count, checked.count, checked))
        turn.table = Table(table.cells, table.count + checked.count)

    def score_turn(self, turn: Turn) -> list[Answered]:
        """The answers to a turn's requests, from one call of the engine. Raises what the engine raises."""
        if not turn.parts:
            return []
        began = time.monotonic()
        proba = turn.parts[0].context.options.proba
        predictions = self._scorer.score_once(turn.table, proba)
        encode = time.monotonic()
        values = predictions.values
        answers: list[Answered] = []
        lone: list[Any] = []
        for context, start, records, checked in turn.parts:
            context.parse, context.predict = turn.parse, encode - began
            if checked is None and values[start] is not None and not proba:
                context.predicted = 1
                lone.append((context, values[start]))
                continue
            scored = Scored(checked or _LONE, predictions.part(start, start + records))
            answers.append(Answered(context, *self._write(scored, context)))
        if lone:
            encode = time.monotonic()
            if self._are_numbers:  # no comma stands in a number
                written = self._encode([value for _, value in lone])[1:-1].split(b",")
            else:
                written = [self._encode(value) for _, value in lone]
            took = time.monotonic() - encode
            for (context, _), value in zip(lone, written, strict=True):
                context.encode = took
                answers.append(Answered(context, 200, b'{"prediction":' + value + self._lone_tail))
        return answers

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
                context, _, _, checked = some.parts[0]
                status, _, body = self.respond_to(replace(checked or _LONE, table=some.table), context)
                answers.append(Answered(context, status, body))
                continue
            try:
                answers += self.score_turn(some)
            except Exception:  # the pipeline may raise anything
                middle = len(some.parts) // 2
                todo += [some.of(some.parts[middle:]), some.of(some.parts[:middle])]
        return answers, todo

    # Answers' bytes

    def _write(self, scored: Scored, context: RequestContext) -> tuple[int, bytes]:
        began = time.monotonic()
        context.unscorable = len(scored.predictions.unscorable)
        context.predicted = len(scored.predictions) - context.unscorable
        status, document = self._document(scored, context.options)
        answer = self._encode(document)
        context.encode = time.monotonic() - began
        return status, answer

    def _document(self, scored: Scored, options: Options) -> tuple[int, dict[str, Any]]:
        """The status, and the answer or the problem."""
        checked, predictions = scored.checked, scored.predictions
        partial = options.partial and not checked.single
        failed = {checked.positions[row]: reason for row, reason in predictions.unscorable.items()}
        if failed and len(failed) + checked.rejected == checked.count:
            checked.require_all_good()
        if failed and (not partial or len(failed) == checked.count):
            return 500, unscorable(failed)
        if checked.single:
            (document,) = self._scored_items(scored)
        elif partial or options.proba or checked.ids:
            document = {"predictions": self._items(scored, failed)}
        else:
            document = {"predictions": predictions.values}
        if checked.further:
            document["more_errors"] = _further(checked)
        document["model"] = self._stamp
        return 200, document

    def _scored_items(self, scored: Scored) -> list[dict[str, Any]]:
        """By good record: its key if it has one, its prediction, its probabilities."""
        predictions = scored.predictions
        items = [
            self._key(scored.checked, index) | {"prediction": value}
            for index, value in zip(scored.checked.positions, predictions.values, strict=True)
        ]
        for item, by_class in zip(items, predictions.probabilities or (), strict=False):
            item["probabilities"] = by_class
        return items

    def _items(self, scored: Scored, failed: dict[int, str]) -> list[dict[str, Any]]:
        """The scored records and the described ones, in the order in which they came."""
        checked = scored.checked
        pairs = zip(checked.positions, self._scored_items(scored), strict=True)
        items = {index: item for index, item in pairs if index not in failed}
        errors = {index: _described(checked, index) for index in checked.bad}
        errors |= {index: unscorable({index: reason}) for index, reason in failed.items()}
        for index, error in errors.items():
            items[index] = self._key(checked, index) | {"error": error}
        return [{"index": index} | items[index] for index in sorted(items)]

    def _key(self, checked: Checked, index: int) -> dict[str, Any]:
        id_field = self._scorer.id_field
        if id_field is None or checked.ids is None or index not in checked.ids:
            return {}
        return {id_field: checked.ids[index]}


class Part(NamedTuple):
    """A request's share in a turn.

    start, records   its rows of the turn's table
    checked        what was read, but for its table; None for a single record without a key
    """

    context: RequestContext
    start: int
    records: int
    checked: Checked | None


@dataclass(slots=True)
class Turn:
    """What arrived together and is scored together.

    parts   the requests whose bodies plainly fit
    table   all their records
    odd     the requests whose bodies have to be looked at more closely
    parse   seconds that it took to read them
    """

    parts: list[Part]
    table: Table
    odd: list[RequestContext]
    parse: float = 0.0

    def of(self, parts: Sequence[Part]) -> Turn:
        """A turn of some of the parts, which follow each other."""
        first = parts[0].start
        rows = self.table.rows(range(first, parts[-1].start + parts[-1].records))
        return Turn([part._replace(start=part.start - first) for part in parts], rows, [], self.parse)


class Answered(NamedTuple):
    """A request with the status and the body of its answer."""

    context: Any
    status: int
    body: bytes


_NO_TABLE = Table([], 0)
# A single record without a key.
_LONE = Checked(_NO_TABLE, range(1), 1, single=True)


def _lone(key: Any) -> Checked:
    """A single record with a key."""
    return Checked(_NO_TABLE, range(1), 1, ids={0: key}, single=True)


# Calls of the engine that a turn which raises may cost before others have theirs.
_MOST_CALLS = 100


_JSON_HINT = "Send the records as JSON: -H 'Content-Type: application/json'."


def _require_json(headers: Mapping[bytes, bytes]) -> None:
    """A missing Content-Type is taken for JSON; JSON itself has no encoding but UTF-8."""
    given = headers.get(b"content-type", b"")
    if given and given != b"application/json":
        media_type, options = parse_options_header(given.decode("latin-1").lower())
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise _unsupported(f"The content type is {media_type}. {_JSON_HINT}")
        charset = options.get("charset", "utf-8")
        if charset not in ("utf-8", "utf8"):
            raise _unsupported(f"The charset {charset} is not understood: JSON is UTF-8.")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
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
