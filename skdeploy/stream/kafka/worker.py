"""Threads that work beside the one that keeps the group."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

from confluent_kafka import Producer

from skdeploy.stream.stopping import Stop

# Seconds of one look at whether a call is over.
_LOOK = 0.1


class Worker:
    """Does one call after the other. The process may end while it is busy: nothing waits for it.

    name   of its thread
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def submit(self, call: Callable[[], Any]) -> Future[Any]:
        """What comes of `call`."""
        future: Future[Any] = Future()
        self._calls.put((future, call))
        return future

    def _run(self) -> None:
        while True:
            future, call = self._calls.get()
            try:
                future.set_result(call())
            except BaseException as error:
                future.set_exception(error)
            # No poll is kept alive until the next one.
            del future, call


def patiently(future: Future[Any], stop: Stop, meanwhile: Callable[[], Any] = lambda: None) -> Any:
    """What comes of `future`. Raises what it raises, and StreamError when SIGTERM's time is over.

    meanwhile   called about ten times a second
    """
    while not wait([future], _LOOK).done:
        meanwhile()
        stop.check()
    return future.result()


class Patient:
    """Makes the calls of librdkafka that block, and learns meanwhile whether the brokers are down.

    librdkafka calls back from polls alone, and while the group's coordinator is away some calls have
    no end: a synchronous commit, and send_offsets_to_transaction whatever its timeout
    (confluentinc/librdkafka#5456). The consumer is not polled meanwhile: a rebalance must not meet
    a half-done commit.
    """

    def __init__(self, producer: Producer, stop: Stop) -> None:
        self._producer = producer
        self._stop = stop
        self._worker = Worker("commits")

    def call(self, step: Callable[[], Any]) -> Any:
        """What comes of `step`. Raises what it raises, and StreamError when SIGTERM's time is over."""
        return patiently(self._worker.submit(step), self._stop, lambda: self._producer.poll(0))
