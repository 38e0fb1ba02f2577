"""Reading, predicting and writing at the same time, in order, and with little in memory."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_In = TypeVar("_In")
_Out = TypeVar("_Out")
# Items that are read and not yet asked for.
_AHEAD = 2


class _End:
    """What a thread that reads says last: nothing more, or an error."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


@contextmanager
def ahead(items: Iterator[_In]) -> Iterator[Iterator[_In]]:
    """`items`, made in a thread of their own, a few before they are asked for.

    What the thread raises is raised to who asks. On leaving, the thread has ended.
    """
    ready: queue.Queue[_In | _End] = queue.Queue(_AHEAD)
    left = threading.Event()

    def put(item: _In | _End) -> bool:
        while not left.is_set():
            try:
                ready.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def read() -> None:
        try:
            for item in items:
                if not put(item):
                    break
            put(_End())
        except BaseException as error:
            put(_End(error))
        finally:
            # Where they are made, because some connections may be closed in their own thread only.
            if hasattr(items, "close"):
                items.close()

    thread = threading.Thread(target=read, name="reader", daemon=True)
    thread.start()
    try:
        yield _until_end(ready)
    finally:
        left.set()
        thread.join()


def _until_end(ready: queue.Queue[_In | _End]) -> Iterator[_In]:
    while True:
        item = ready.get()
        if isinstance(item, _End):
            if item.error is not None:
                raise item.error
            return
        yield item


@contextmanager
def mapped(function: Callable[[_In], _Out], items: Iterator[_In], threads: int) -> Iterator[Iterator[_Out]]:
    """`function` of each item, in their order, made by several threads."""
    with ahead(items) as coming, ThreadPoolExecutor(threads, thread_name_prefix="predict") as pool:
        under_way: deque[Future[_Out]] = deque()

        def results() -> Iterator[_Out]:
            for item in coming:
                under_way.append(pool.submit(function, item))
                # One more than there are threads: none waits for the result to be taken.
                if len(under_way) > threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

        try:
            yield results()
        finally:
            for future in under_way:
                future.cancel()
