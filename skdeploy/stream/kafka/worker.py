"""One thread that works beside the one that keeps the group."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class Worker:
    """Does one call after the other. The process may end while it is busy: nothing waits for it."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="predictions", daemon=True).start()

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
