"""The event loop's side of the service: where each request is answered.

    POST /predict, small, quick model     scored in the loop, with what arrived in the same turn
    POST /predict, small, slow model      scored in the scoring thread, with what arrived meanwhile
    POST /predict, a body over 16 KB, or one that has to be explained     alone, in the scoring thread
    /health, and /ready of a quick model  answered in the loop
    everything else                       the Flask application, in one of THREADS threads

A turn ends two passes of the loop after its first request, by when all that the loop has read is there: no
timer and no added wait, and a lone request is a turn of one. One thread at a time reads, explains and scores:
with several of them the loop would wait for the interpreter's lock as many times as long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from skdeploy.config import WebSettings
from skdeploy.schema import Checked
from skdeploy.web import pages, problems, wsgi_adapter
from skdeploy.web.context import RequestContext
from skdeploy.web.headers import PREDICTION, TLS
from skdeploy.web.http import LoopRequest, head_of
from skdeploy.web.middleware import Middleware, overloaded, too_late
from skdeploy.web.predict import Answer, Answered, Predictor, Turn
from skdeploy.web.problems import HttpProblem
from skdeploy.web.routes import HEALTH, PREDICT
from skdeploy.web.serving import ONLY, Serving

if TYPE_CHECKING:
    from skdeploy.web.app import Service

_log = logging.getLogger(__name__)

# Bytes of the largest body that is read in the loop.
SMALL = 16 * 1024
# Seconds for which a connection is not read after a refusal: a client that asks again at once would have the
# loop refuse, and nothing else.
_REST = 0.25
# Seconds that a turn may keep the event loop, and about how long reading and writing a record takes.
QUICK = 0.005
_RECORD_SECONDS = 8e-6
MOST_RECORDS = 1000
_MOST_PAUSE = 0.002
# A model is not quick after all if so many of its calls in the loop took so long within so many seconds.
_SLOW_CALLS, _SLOW_CALL, _SLOW_SECONDS = 3, 0.05, 10.0


class Threads:
    """A few threads, and how many jobs none of them has time for. Used in the loop's thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threads: int, name: str) -> None:
        self._loop, self._threads = loop, threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._unfinished = 0

    @property
    def waiting(self) -> int:
        """Jobs beyond those that every thread may have one of."""
        return max(0, self._unfinished - self._threads)

    def submit(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run `work` in one of the threads, and `then` with its result in the loop."""
        self._unfinished += 1

        def done(future: asyncio.Future[Any]) -> None:
            self._unfinished -= 1
            then(future.result())

        self._loop.run_in_executor(self._executor, work).add_done_callback(done)

    def end(self) -> None:
        """Drop what waits; no thread is waited for."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Turns:
    """The queue of one served model: a request is scored by the model that it came to.

    serving    whose queue it is; an older one is emptied by itself after a swap
    most       requests of one call; below 2 each request is scored in a call of its own
    patience   seconds after its arrival in which a request must have come to the model
    submit     runs a function in the scoring thread, then another one in the loop with its result
    answer     takes the answers of a turn
    refuse     takes one answer that is no prediction
    explain    takes a request whose body has to be looked at more closely
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serving: Serving,
        *,
        most: int,
        patience: float,
        submit: Callable[[Callable[[], Any], Callable[[Any], None]], None],
        answer: Callable[[Sequence[Answered]], None],
        refuse: Callable[[LoopRequest, Answer], None],
        explain: Callable[[LoopRequest], None],
    ) -> None:
        self._loop, self.serving = loop, serving
        self._predictor = serving.predictor
        # Both threads in which the model is called: this one, and the scoring thread.
        serving.one_thread.enter()
        submit(serving.one_thread.enter, lambda _: None)
        self._patience = patience
        self._submit, self._answer, self._refuse, self._explain = submit, answer, refuse, explain
        call, record = serving.model.cost or (QUICK, QUICK)  # not measured: not quick
        record += _RECORD_SECONDS
        self.is_quick = call + record <= QUICK
        self._most = most if serving.model.together and most > 1 else 1
        if self.is_quick:
            self._most = min(self._most, max(1, int((QUICK - call) / record)))
        self._pending: deque[LoopRequest] = deque()
        self._is_due = False
        self._slow_calls: list[float] = []
        # A call of this model is under way in the scoring thread.
        self._is_calling = False
        # After a slow call that several requests shared, clients that it has answered may ask again for so
        # many seconds: else each call would have half of them. It ends when as many requests are there.
        self._pause = min(_MOST_PAUSE, call / 10)
        self._expected = 0
        self._gathering: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Requests that wait for a call; of a quick model none does."""
        if self.is_quick:
            return 0
        return max(0, len(self._pending) - (0 if self._is_calling else self._most))

    def add(self, request: LoopRequest) -> None:
        """Score a request at the end of this turn, or with the next call."""
        self._pending.append(request)
        if self._gathering is not None:
            if len(self._pending) >= self._expected:
                self._gathering.cancel()
                self._end_turn()
        elif not self._is_due and not self._is_calling:
            self._is_due = True
            # One pass is not enough: the poll that wakes the loop may not have seen all that has come.
            self._loop.call_soon(self._loop.call_soon, self._end_turn)

    def _end_turn(self) -> None:
        """Read what is pending, and score it: in the loop if that is quick, else in the scoring thread."""
        self._is_due, self._gathering = False, None
        requests = self._take()
        if requests and not self.is_quick:
            self._is_calling = True
            self._expected = len(requests)
            self._submit(partial(self._run, requests), self._called)
            return
        if self._pending:
            self._is_due = True
            self._loop.call_soon(self._end_turn)
        if not requests:
            return
        turn = self._predictor.read_turn(requests)
        for odd in turn.odd:
            self._explain(odd)  # type: ignore[arg-type]  # what came in came from the loop
        if turn.table.count * _RECORD_SECONDS > QUICK:
            # Many records in few bodies: reading them was quick, scoring them may not be.
            self._submit(partial(self._score, turn), self._scored)
            return
        began = time.monotonic()
        try:
            answers = self._predictor.score_turn(turn)
        except Exception:  # the pipeline may raise anything; the thread finds out on what
            self._submit(partial(self._predictor.score_apart, turn), self._scored)
            return
        self._answer(answers)
        if time.monotonic() - began > _SLOW_CALL:
            self._note_slow_call(began)

    def _take(self) -> list[LoopRequest]:
        """The requests of one call, which ask alike for probabilities; not those whose clients have gone."""
        taken: list[LoopRequest] = []
        pending, records = self._pending, 0
        while pending:
            request = pending[0]
            body = request.body or b""
            records += 1 if body[:1] == b"{" else max(1, body.count(b"{"))  # at most
            if taken and (records > self._most or request.options.proba != taken[0].options.proba):
                break
            pending.popleft()
            if request.gone:
                self._refuse(request, problems.CLIENT_GONE)
            elif not self.is_quick and time.monotonic() > request.arrived + self._patience:
                self._refuse(request, problems.respond(too_late()))
            else:
                taken.append(request)
        return taken

    def _note_slow_call(self, now: float) -> None:
        """Leave a model to the scoring thread whose calls take longer than golden records made expect."""
        self._slow_calls = [*(moment for moment in self._slow_calls if now - moment < _SLOW_SECONDS), now]
        if len(self._slow_calls) >= _SLOW_CALLS:
            self.is_quick = False
            _log.warning(
                "%d calls of the model took more than %d ms each within %d s: a thread scores from now on",
                _SLOW_CALLS,
                _SLOW_CALL * 1000,
                _SLOW_SECONDS,
            )

    # In the scoring thread

    def _run(self, requests: list[LoopRequest]) -> tuple[list[Answered], list[Turn], list[Any]]:
        turn = self._predictor.read_turn(requests)
        return *self._score(turn), turn.odd

    def _score(self, turn: Turn) -> tuple[list[Answered], list[Turn]]:
        try:
            return self._predictor.score_turn(turn), []
        except Exception:  # the pipeline may raise anything
            return self._predictor.score_apart(turn)

    # In the loop again

    def _called(self, result: tuple[list[Answered], list[Turn], list[LoopRequest]]) -> None:
        answers, left, odd = result
        self._is_calling = False
        for request in odd:
            self._explain(request)
        self._scored((answers, left))
        self._expected = min(self._expected + len(self._pending), self._most)
        if self._expected > len(self._pending) and self._expected > 1:
            self._gathering = self._loop.call_later(self._pause, self._end_turn)
        elif self._pending:
            self._end_turn()

    def _scored(self, result: tuple[list[Answered], list[Turn]]) -> None:
        answers, left = result
        self._answer(answers)
        for turn in left:
            self._submit(partial(self._predictor.score_apart, turn), self._scored)


class Front:
    """Answers the requests of one worker. All its methods are called in the loop's thread.

    app       the WSGI application that gunicorn has loaded
    service   ours, if the loop may answer by itself; None: every request is the application's
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, app: Any, service: Service | None, settings: WebSettings
    ) -> None:
        self._loop, self._app, self._service, self._settings = loop, app, service, settings
        self._scoring = Threads(loop, 1, "scoring")
        # What another process explains is waited for here, so that it keeps nothing else waiting.
        self._explaining = Threads(loop, 1, "explaining")
        self._wsgi = Threads(loop, settings.threads, "wsgi")
        self._turns: Turns | None = None
        # What the head of a usual prediction begins with, by the scheme.
        usual = [*pages.JSON, *PREDICTION]
        self._heads = {"http": head_of(200, usual), "https": head_of(200, [*usual, *TLS])}

    def end(self) -> None:
        """No thread is waited for."""
        for threads in (self._scoring, self._explaining, self._wsgi):
            threads.end()

    def handle(self, request: LoopRequest) -> None:
        """Answer a request that has arrived whole, now or later."""
        service, route = self._service, request.route
        try:
            if request.problem is not None:
                self._refuse(request, request.problem)
            elif service is None or not route.loop or request.method not in route.methods:
                self._run_wsgi(request)
            elif route is HEALTH:
                self._answer_here(request, service.middleware, pages.health)
            else:
                serving, turns = service.models[ONLY].current, self._turns
                if turns is None or turns.serving is not serving:
                    turns = self._turns = self._turns_of(serving)
                if route is PREDICT:
                    self._predict(request, service, turns)
                elif turns.is_quick:
                    self._answer_here(request, service.middleware, service.ready)
                else:
                    self._run_wsgi(request)
        except Exception:  # a mistake of ours must not leave a client without an answer
            _log.exception("A request could not be handled")
            self._respond(request, problems.INTERNAL)

    @property
    def waiting(self) -> int:
        """Requests that wait for a thread."""
        turns = self._turns.waiting if self._turns is not None else 0
        return turns + self._scoring.waiting + self._explaining.waiting + self._wsgi.waiting

    def _is_full(self) -> bool:
        return 0 < self._settings.max_waiting <= self.waiting

    # Predictions

    def _predict(self, request: LoopRequest, service: Service, turns: Turns) -> None:
        predictor = turns.serving.predictor
        is_small = request.body is not None and len(request.body) <= SMALL
        request.shed = not (is_small and turns.is_quick) and self._is_full()
        answer = service.middleware.begin(request)
        if answer is None:
            answer = predictor.check(request)
        if answer is not None:
            self._finish(request, answer)
        elif is_small:
            turns.add(request)
        else:
            self._answer_alone(request, predictor)

    def _turns_of(self, serving: Serving) -> Turns:
        """The queue of a model."""
        return Turns(
            self._loop,
            serving,
            most=min(self._settings.batch_records, MOST_RECORDS),
            patience=self._settings.request_timeout,
            submit=self._scoring.submit,
            answer=self._finish_turn,
            refuse=self._finish,
            explain=lambda request: self._answer_alone(request, serving.predictor),
        )

    def _answer_alone(self, request: LoopRequest, predictor: Predictor) -> None:
        """Read and score a request by itself; a long body that does not fit is explained meanwhile."""
        patience = self._settings.request_timeout

        def in_time(work: Callable[[RequestContext], Any]) -> Callable[[], Any]:
            def run() -> Any:
                if request.gone:
                    return problems.CLIENT_GONE
                if time.monotonic() > request.arrived + patience:
                    return problems.respond(too_late())
                return work(request)

            return run

        def responded(answer: Answer | None) -> None:
            if answer is None:
                self._explaining.submit(in_time(predictor.explain), explained)
            else:
                self._finish(request, answer)

        def explained(outcome: Answer | Checked) -> None:
            if isinstance(outcome, tuple):
                self._finish(request, outcome)
            else:
                self._scoring.submit(lambda: predictor.respond_to(outcome, request), responded)

        self._scoring.submit(in_time(predictor.respond_soon), responded)

    def _finish_turn(self, answers: Sequence[Answered]) -> None:
        """What a turn has come to: the same headers for all, but for their ids."""
        assert self._service is not None  # noqa: S101
        middleware = self._service.middleware
        usual = []
        for answered in answers:
            if answered.status == 200 and middleware.plain:
                answered.context.status, answered.context.answer = 200, answered.body
                usual.append(answered)
            else:
                headers = pages.JSON if answered.status == 200 else problems.HEADERS
                self._finish(answered.context, (answered.status, headers, answered.body))
        for request, _, body in usual:
            head = self._heads[request.scheme] + request.identity.lines()
            request.protocol.respond(request, head, body)
        middleware.record([answered.context for answered in usual])

    # Everything else

    def _answer_here(self, request: LoopRequest, middleware: Middleware, route: Callable[[], Answer]) -> None:
        answer = middleware.begin(request)
        self._finish(request, answer if answer is not None else route())

    def _finish(self, request: Any, answer: Answer) -> None:
        assert self._service is not None  # noqa: S101
        self._respond(request, self._service.middleware.finish(request, answer))

    def _refuse(self, request: LoopRequest, problem: HttpProblem) -> None:
        """Answer what goes no further: it has its line and its count, and needs no key."""
        answer = problems.respond(problem)
        if self._service is None:
            self._respond(request, answer)
            return
        self._service.middleware.open(request)
        self._finish(request, answer)

    def _run_wsgi(self, request: LoopRequest) -> None:
        """Have the application answer in one of the threads."""
        request.shed = not request.route.probe and self._is_full()
        if request.shed:
            self._refuse(request, overloaded())
            return
        environ = wsgi_adapter.environ_of(request, multiprocess=self._settings.workers != 1)

        def run() -> Answer:
            request.waited = time.monotonic() - request.arrived
            try:
                status, headers, body = wsgi_adapter.call(self._app, environ)
            except Exception:  # an application's own errors are answered by itself
                _log.exception("The application raised")
                return problems.INTERNAL
            if request.method == "HEAD":  # the body that it would have is not here to be measured
                length = dict(headers).get("Content-Length", "")
                request.length = int(length) if length.isdigit() else None
            return int(status[:3]), headers, body

        self._wsgi.submit(run, lambda answer: self._respond(request, answer))

    def _respond(self, request: LoopRequest, answer: Answer) -> None:
        status, headers, body = answer
        try:
            head = head_of(status, headers)
        except ValueError:
            _log.exception("An answer's headers cannot be sent")
            status, headers, body = problems.INTERNAL
            head = head_of(status, headers)
        if request.shed and not request.gone:
            request.protocol.rest(_REST)
        request.protocol.respond(request, head, body)
        if request.middleware is not None:
            request.status, request.answer = status, body
            request.middleware.record([request])
