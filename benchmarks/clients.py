"""Clients that pause after each answer, and note how long each took: wrk says it only with a correction.

An answer has come when the kernel has it, not when this process, which is one for all clients, reads it.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import uvloop

from benchmarks.inprocess import request
from benchmarks.processes import BenchmarkError
from skdeploy.web.arrival import Reads, stamp
from skdeploy.web.metrics import COARSE, Bins


@dataclass(frozen=True, slots=True)
class Seen:
    """The clients' figures: answers per second, and seconds that they waited for them."""

    rate: float
    mean: float
    p50: float
    p99: float


class _Client(asyncio.BufferedProtocol):
    def __init__(
        self,
        connection: socket.socket,
        requests: Iterator[bytes],
        pause: float,
        waits: list[float],
        reads: Reads,
    ) -> None:
        self._connection, self._requests, self._pause, self._waits = connection, requests, pause, waits
        self._reads = reads
        self._sent = self._came = 0.0
        self._answer = b""

    def connection_made(self, _transport: asyncio.BaseTransport) -> None:
        self._ask_later()

    def _ask_later(self) -> None:
        pause = random.uniform(0, 2 * self._pause)  # noqa: S311 - no secret
        asyncio.get_running_loop().call_later(pause, self._ask)

    def _ask(self) -> None:
        self._sent = time.monotonic()
        self._connection.send(next(self._requests))

    def get_buffer(self, _sizehint: int) -> memoryview:
        self._came = self._reads.came(self._connection, "http")
        return self._reads.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._answer += self._reads.buffer[:nbytes]
        if not self._answer.startswith(b"HTTP/1.1 200 "):
            raise BenchmarkError(f"the load is not what it should be: {self._answer!r}")
        if self._answer.endswith(b"}"):  # else a part of it is on its way
            self._answer = b""
            self._waits.append(self._came - self._sent)
            self._ask_later()


def load(port: int, bodies: Sequence[bytes], *, connections: int, pause: float, seconds: float) -> Seen:
    """Ask for predictions on so many connections, each of which pauses for about so many seconds."""
    requests = itertools.cycle(map(request, bodies))
    waits: list[float] = []
    failures: list[BaseException] = []

    async def ask() -> None:
        loop, reads = asyncio.get_running_loop(), Reads(Bins(COARSE))
        loop.set_exception_handler(lambda _, context: failures.append(context["exception"]))
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setblocking(False)
            stamp(connection)
            client = _Client(connection, requests, pause, waits, reads)
            await loop.create_connection(lambda client=client: client, sock=connection)  # type: ignore[misc]
        await asyncio.sleep(seconds)

    began = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask())
    if failures or not waits:
        raise BenchmarkError(f"the clients failed: {failures[:1]}")
    rate = len(waits) / (time.monotonic() - began)
    p50, p99 = np.quantile(waits, (0.5, 0.99))
    return Seen(rate, float(np.mean(waits)), float(p50), float(p99))
