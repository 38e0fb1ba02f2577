"""Concurrent calls of an engine gathered into one: who comes first scores for all that wait.

A fitted pipeline takes about as long for sixteen records as for one. The calls that come in while
one is being scored wait, and are then scored together by the first of them: there is no thread
beside the callers' own, so that nothing has to be started after a fork.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from itertools import chain
from typing import Any

import numpy as np

from skdeploy.engines import Engine
from skdeploy.errors import TooLate
from skdeploy.schema import Table, as_list

# time.monotonic() until which a call of this thread may wait for its turn; None: for ever.
DEADLINE: ContextVar[float | None] = ContextVar("DEADLINE", default=None)


class BatchingEngine(Engine):
    """Scores what several threads ask for in few calls of `engine`; each gets its own answer, or error.

    most   records of one gathered call; a larger table is scored at once, by itself
    wait   seconds that a call waits, at most, for others that can be expected
    """

    def __init__(self, engine: Engine, *, most: int, wait: float) -> None:
        self.name = engine.name
        self._labels = _Gatherer(engine.predict, most, wait)
        self._probabilities = _Gatherer(engine.predict_proba, most, wait)

    def predict(self, table: Table) -> Any:
        """What the engine's `predict` returns; raises what it raises on `table` alone, or TooLate."""
        return self._labels(table)

    def predict_proba(self, table: Table) -> Any:
        """What the engine's `predict_proba` returns."""
        return self._probabilities(table)


class _Call:
    """A caller's table and, once `answered`, its output or error."""

    __slots__ = ("answered", "deadline", "error", "leads", "output", "table", "woken")

    def __init__(self, table: Table) -> None:
        self.table = table
        self.deadline = DEADLINE.get()
        self.output: Any = None
        self.error: Exception | None = None
        self.answered = False
        self.leads = False
        # Held until the call is answered, or has to lead.
        self.woken = threading.Lock()
        self.woken.acquire()


class _Gatherer:
    """One method of an engine, called for many at a time.

    `_changed` guards everything here; scoring itself happens outside of it. At any time one call
    at most leads, and then `_led` is true: it takes what waits, scores it, wakes the others, and
    hands over to the first that came meanwhile. The leader is always the first in `_waiting`.
    """

    def __init__(self, score: Callable[[Table], Any], most: int, wait: float) -> None:
        self._score = score
        self._most = most
        self._wait = wait
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[_Call] = deque()
        self._led = False
        # How many calls can be expected to gather: those that were under way at the last handing over.
        self._expected = 1

    def __call__(self, table: Table) -> Any:
        """The engine's output for `table`; raises what the engine raises on it alone."""
        if table.count > self._most:
            return self._score(table)
        call = _Call(table)
        with self._changed:
            self._waiting.append(call)
            call.leads, self._led = not self._led, True
            if len(self._waiting) == self._expected:
                self._changed.notify()
        try:
            if not call.leads:
                call.woken.acquire()
            if call.leads:
                self._lead(call)
        except BaseException:  # thrown into a thread that waits: it must not be handed the lead
            self._leave(call)
            raise
        if call.error is not None:
            raise call.error
        return call.output

    def _lead(self, call: _Call) -> None:
        calls: list[_Call] = []
        try:
            self._gather(calls)
            if timely := _timely(calls):
                self._answer(timely)
        finally:
            self._hand_over(call, calls)

    def _gather(self, calls: list[_Call]) -> None:
        """Take the calls of one batch, the oldest first."""
        with self._changed:
            deadline = time.monotonic() + self._wait
            while len(self._waiting) < self._expected and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            room = self._most
            while self._waiting and self._waiting[0].table.count <= room:
                calls.append(self._waiting.popleft())
                room -= calls[-1].table.count

    def _answer(self, calls: list[_Call]) -> None:
        """Score by halves until what fails is a single call: its error is then its own."""
        counts = [call.table.count for call in calls]
        try:
            outputs = _split(self._score(_joined(calls)), counts)
        except Exception as error:  # the pipeline may raise anything
            if len(calls) > 1:
                middle = len(calls) // 2
                self._answer(calls[:middle])
                self._answer(calls[middle:])
                return
            calls[0].error, calls[0].answered = error, True
            return
        for call, output in zip(calls, outputs, strict=True):
            call.output, call.answered = output, True

    def _hand_over(self, leader: _Call, calls: list[_Call]) -> None:
        """Wake who has an answer, and the next leader; if this thread dies, the others are tried again."""
        others = [call for call in calls if call is not leader]
        with self._changed:
            if self._waiting and self._waiting[0] is leader:
                self._waiting.popleft()
            self._waiting.extendleft(call for call in reversed(others) if not call.answered)
            self._expected = len(calls) + len(self._waiting)
            self._appoint()
        for call in others:
            if call.answered:
                call.woken.release()

    def _appoint(self) -> None:
        self._led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].woken.release()

    def _leave(self, call: _Call) -> None:
        with self._changed:
            if call in self._waiting:
                self._waiting.remove(call)
                if call.leads:
                    self._appoint()


def _timely(calls: list[_Call]) -> list[_Call]:
    """The calls that have not waited too long; the others have their error."""
    now = time.monotonic()
    timely = []
    for call in calls:
        if call.deadline is not None and call.deadline < now:
            call.error, call.answered = TooLate("The call waited too long for its turn."), True
        else:
            timely.append(call)
    return timely


def _joined(calls: list[_Call]) -> Table:
    if len(calls) == 1:
        return calls[0].table
    columns = zip(*(call.table.cells for call in calls), strict=True)
    joined = [list(chain.from_iterable(map(as_list, column))) for column in columns]
    return Table(joined, sum(call.table.count for call in calls))


def _split(output: Any, counts: list[int]) -> list[Any]:
    """What each of the gathered tables would have got, in their order."""
    if len(counts) == 1:
        return [output]
    if isinstance(output, list):  # probabilities, an array per output
        return [list(parts) for parts in zip(*(_split(array, counts) for array in output), strict=True)]
    array = np.asarray(output)
    if len(array) != sum(counts):
        raise ValueError("not one prediction per record")
    return np.split(array, np.cumsum(counts)[:-1])
