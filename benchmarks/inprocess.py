"""Requests through the worker's event loop in this process, without sockets: the best a server could do.

python -m benchmarks.inprocess MODEL BODY SECONDS     prints bodies per second
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.web import create_app
from skdeploy.web.arrival import Reads
from skdeploy.web.bodies import BodyMemory
from skdeploy.web.front import Front
from skdeploy.web.http import HttpProtocol, Limits, Tails


class Wire:
    """The part of a transport that a connection uses; keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.waits = False

    def get_extra_info(self, name: str) -> Any:
        """Both addresses are this machine's."""
        return ("127.0.0.1", 9696) if name in ("peername", "sockname") else None

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written.append(data)

    def is_closing(self) -> bool:
        """It stays open."""
        return False


class InProcess:
    """Connections of one worker; `ask` sends a request on each of them in one turn of the loop."""

    def __init__(self, app: Any, settings: WebSettings, connections: int) -> None:
        # asyncio's own loop: uvloop's passes cannot be run one by one.
        self._loop = asyncio.new_event_loop()
        self.front = Front(self._loop, app.wsgi_app, app.extensions["skdeploy"], settings)
        limits = Limits(settings.client_timeout, settings.keepalive, settings.max_body, lambda _: False)
        tails, memory, opened = Tails(), BodyMemory(), set[HttpProtocol]()
        tails.renew()
        reads = Reads(None)
        self._open: list[tuple[HttpProtocol, Wire]] = []
        for _ in range(connections):
            protocol = HttpProtocol(self._loop, limits, tails, memory, opened, self.front.handle, reads)
            wire = Wire()
            protocol.connection_made(cast(asyncio.BaseTransport, wire))
            self._open.append((protocol, wire))

    def ask(self, requests: Sequence[bytes]) -> list[bytes]:
        """The answers to requests that arrive in one turn."""
        self.send(requests)
        self.run_until(self.all_answered)
        return self.answers()[: len(requests)]

    def send(self, requests: Sequence[bytes], first: int = 0) -> None:
        """Let a request arrive on each connection from the `first` on; nothing is answered yet."""
        for (protocol, wire), request in zip(self._open[first:], requests, strict=False):
            wire.written.clear()
            wire.waits = True
            protocol.get_buffer(-1)[: len(request)] = request
            protocol.buffer_updated(len(request))

    def leave(self, place: int) -> None:
        """Let a client go away."""
        protocol, wire = self._open[place]
        wire.waits = False
        protocol.connection_lost(None)

    def run_until(self, condition: Callable[[], bool], passes: int = 1_000_000) -> None:
        """Run passes of the loop until the condition holds."""
        while passes and not condition():
            passes -= 1
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()

    def all_answered(self) -> bool:
        """Whether no client waits."""
        return all(wire.written for _, wire in self._open if wire.waits)

    def answers(self) -> list[bytes]:
        """What each connection was answered last."""
        return [b"".join(wire.written) for _, wire in self._open]

    def close(self) -> None:
        """End its threads and its loop."""
        self.front.end()
        self._loop.close()


def request(body: bytes) -> bytes:
    """A prediction's request, as clients send it."""
    head = (
        "POST /predict HTTP/1.1\r\nHost: 127.0.0.1:9696\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def serving(model_file: str | Path, connections: int) -> InProcess:
    """The service's own application with a model, set up as its workers are."""
    settings = WebSettings.from_env({})
    served = InProcess(create_app(skdeploy.load(model_file), settings), settings, connections)
    # As skdeploy/web/wsgi.py does for the service.
    gc.collect()
    gc.freeze()
    return served


def main(model_file: str, body_file: str, seconds: str) -> None:
    """Answer the body again and again."""
    served = serving(model_file, 1)
    content = request(Path(body_file).read_bytes())
    _rate(served, content, 1.0)
    print(_rate(served, content, float(seconds)))


def _rate(served: InProcess, content: bytes, seconds: float) -> float:
    begin, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < seconds:
        (answer,) = served.ask([content])
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"The body is answered with {answer[:40]!r}.")
        count += 1
    return count / passed


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main(*sys.argv[1:])
