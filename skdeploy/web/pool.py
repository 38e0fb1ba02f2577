"""The threads that answer what the loop does not, and how many requests wait for one of them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Pool(ThreadPoolExecutor):
    """A thread pool that knows how many of its jobs no thread has time for."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self._unfinished: set[Future[Any]] = set()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As ThreadPoolExecutor does."""
        job = super().submit(fn, *args, **kwargs)
        self._unfinished.add(job)
        job.add_done_callback(self._unfinished.discard)
        return job

    @property
    def waiting(self) -> int:
        """Jobs beyond those that every thread may have one of.

        The executor's queue tells something else: it also holds what an idle thread is about to take.
        """
        return max(0, len(self._unfinished) - self._max_workers)
