"""Predictions that arrive in one turn of the event loop are scored in one call of the engine.

A turn ends two passes of the loop after its first request, by when all that the loop has read is there:
no timer and no added wait, and a lone request is a turn of one. Where a call is not plainly quick it runs
in the scoring thread, and the requests that come meanwhile are the next call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from skdeploy.web import problems
from skdeploy.web.http import LoopRequest
from skdeploy.web.middleware import too_late
from skdeploy.web.predict import Answer, Answered, Turn
from skdeploy.web.serving import Serving

_log = logging.getLogger(__name__)

# Seconds that a turn may keep the event loop, and about how long reading and writing a record takes.
QUICK = 0.005
_RECORD_SECONDS = 8e-6
MOST_RECORDS = 1000
_MOST_PAUSE = 0.002
# A model is not quick after all if so many of its calls in the loop took so long within so many seconds.
_SLOW_CALLS, _SLOW_CALL, _SLOW_SECONDS = 3, 0.05, 10.0


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
