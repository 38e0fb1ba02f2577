"""Poll -> process -> produce, again and again; a commit now and then; until told to stop."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from skdeploy.errors import PredictionFailed
from skdeploy.stream.events import DeadLetter, Event
from skdeploy.stream.kafka.brokers import Brokers
from skdeploy.stream.kafka.delivery import Delivery
from skdeploy.stream.kafka.metrics import Metrics
from skdeploy.stream.kafka.reader import Reader
from skdeploy.stream.kafka.sender import GivenUp, Sender, TakeAgain
from skdeploy.stream.kafka.worker import Worker
from skdeploy.stream.metrics import Times, times_of
from skdeploy.stream.process import Processed, Processor
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)

# Seconds of a poll that waits: a signal is seen so soon.
_IDLE = 0.1
# The same while predictions are not acknowledged, whose time is taken.
_AWAITING = 0.005
# Seconds before events are taken again, more with every time in a row.
_PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
_REPORT_SECONDS = 60.0


@dataclass
class Figures:
    """What was done since the last line of the log."""

    since: float = field(default_factory=time.monotonic)
    predictions: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)


class Consumption:
    """One consumer at work.

    processor        what events are scored with; asked again and again: it may change between polls
    commit_seconds   between commits
    """

    def __init__(
        self,
        reader: Reader,
        sender: Sender,
        delivery: Delivery,
        brokers: Brokers,
        metrics: Metrics,
        stop: Stop,
        *,
        processor: Callable[[], Processor],
        commit_seconds: float,
    ) -> None:
        self._reader = reader
        self._sender = sender
        self._delivery = delivery
        self._brokers = brokers
        self._metrics = metrics
        self._stop = stop
        self._processor = processor
        self._commit_seconds = commit_seconds
        self._due = time.monotonic() + commit_seconds
        self._worker = Worker("predictions")
        # How many messages were produced when these events were; the times of those events.
        self._awaited: deque[tuple[int, Times]] = deque()
        self._failures = 0
        self._figures = Figures()

    def run(self) -> None:
        """Until told to stop. Raises StreamError or PredictionFailed."""
        while not self._stop.is_set():
            self._turn()
        # Nothing new is polled; what is in hand is done with.
        self._guarded(self._commit)
        self._report()

    def _turn(self) -> None:
        timeout = _AWAITING if self._awaited else _IDLE
        events = self._reader.poll(max(0.0, min(timeout, self._due - time.monotonic())))
        if events:
            self._guarded(partial(self._take, events))
        self._guarded(self._look_after)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Do it; where it fails for now, begin again behind the last commit."""
        lessons = self._sender.lessons
        try:
            step()
        except GivenUp:
            _log.info("Events in hand were put back: partitions moved")
        except TakeAgain as error:
            self._brokers.say(str(error))
            self._sender.forget()
            self._delivery.abort()
            self._reader.go_back()
            self._awaited.clear()
            if self._sender.lessons > lessons:
                # It will be different at once.
                return
            self._failures += 1
            self._reader.pause_for(_PAUSES[min(self._failures, len(_PAUSES)) - 1])

    def _take(self, events: list[Event]) -> None:
        """Score events, and hand to the producer what came of it."""
        rewinds, owned = self._reader.rewinds, dict(self._reader.assignment.owned)
        processor = self._processor()
        processed = self._processed(processor, events)
        if self._reader.rewinds != rewinds:
            raise GivenUp
        self._delivery.begin()
        passport = processor.model.passport
        refused = self._sender.send(processed.predictions)
        letters = [*processed.dead_letters, *refused]
        self._sender.bury(letters, processor.deployment, f"{passport.name} {passport.version}")
        self._reader.assignment.finish(events, owned)
        self._count(processed, letters, len(refused))

    def _processed(self, processor: Processor, events: list[Event]) -> Processed:
        future = self._worker.submit(partial(processor.process, events))

        def is_done(look: float) -> bool:
            try:
                future.exception(look)
            except TimeoutError:
                # What is finished does not wait for what is slow: a transaction has 10 seconds.
                if self._is_due():
                    self._commit()
                return False
            return True

        self._reader.wait(is_done)
        try:
            result: Processed = future.result()
        except PredictionFailed:
            # Earlier polls have nothing to do with it; this one is not finished.
            self._guarded(self._commit)
            raise
        return result

    def _count(self, processed: Processed, letters: list[DeadLetter], refused: int) -> None:
        predictions = len(processed.predictions) - refused
        self._metrics.processed(predictions, letters)
        self._metrics.scored(processed)
        self._figures.predictions += predictions
        self._figures.dead_letters.update(letter.reason for letter in letters)
        times = times_of(processed.predictions)
        if len(times):
            self._awaited.append((self._sender.produced, times))

    def _look_after(self) -> None:
        self._processor()
        self._sender.serve()
        if self._delivery.acknowledges:
            self._observe(self._sender.acknowledged)
        if self._is_due():
            self._commit()
        if time.monotonic() - self._figures.since >= _REPORT_SECONDS:
            self._report()

    def _is_due(self) -> bool:
        return time.monotonic() >= self._due

    def _commit(self) -> None:
        self._due = time.monotonic() + self._commit_seconds
        if self._reader.assignment.finished and self._delivery.commit():
            self._failures = 0
            self._metrics.committed()
            self._observe(self._sender.produced)
        self._metrics.lags(self._reader.lags())

    def _observe(self, acknowledged: int) -> None:
        """The predictions of the first `acknowledged` messages are there."""
        while self._awaited and self._awaited[0][0] <= acknowledged:
            self._metrics.latency.observe(self._awaited.popleft()[1])

    def _report(self) -> None:
        figures, self._figures = self._figures, Figures()
        seconds = time.monotonic() - figures.since
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(figures.dead_letters.items()))
        _log.info(
            "In %.0f s: %s predictions, %s dead letters%s",
            seconds,
            f"{figures.predictions:,}",
            f"{figures.dead_letters.total():,}",
            f" ({reasons})" if reasons else "",
        )
