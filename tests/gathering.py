"""Calls of an engine that come while another one runs, so that they are gathered for certain."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from skdeploy.engines import Engine
from skdeploy.engines.batching import BatchingEngine
from skdeploy.schema import Table
from tests.live import wait_until


class HeldEngine(Engine):
    """Calls `engine`, but not before it is released; `counts` are the records of each call."""

    name = "held"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.released = threading.Event()
        self.counts: list[int] = []

    def predict(self, table: Table) -> Any:
        return self._call(self.engine.predict, table)

    def predict_proba(self, table: Table) -> Any:
        return self._call(self.engine.predict_proba, table)

    def _call(self, method: Any, table: Table) -> Any:
        self.counts.append(table.count)
        assert self.released.wait(20)
        return method(table)


def gathered(
    engine: Engine, tables: Sequence[Table], method: str = "predict", most: int = 1000, wait: float = 0.0
) -> tuple[list[Future[Any]], list[int]]:
    """The outcome of each table, and the records of each call; while the first is scored the others wait."""
    held = HeldEngine(engine)
    batching = BatchingEngine(held, most=most, wait=wait)
    call = {"predict": batching._labels, "predict_proba": batching._probabilities}[method]
    with ThreadPoolExecutor(len(tables)) as pool:
        futures = []
        for place, table in enumerate(tables):
            futures.append(pool.submit(call, table))
            if place == 0:
                wait_until(lambda: bool(held.counts), "the first call leads")
            else:
                wait_until(lambda place=place: len(call._waiting) == place, "the others wait")  # type: ignore[misc]
        held.released.set()
    return futures, held.counts
