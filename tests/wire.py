"""Requests byte by byte, and the answers to them: what a client library would not let a test send."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Generator
from typing import Any, NamedTuple

from tests.live import Service

MEGABYTE = 1024 * 1024
RECORD: dict[str, Any] = {
    "origin": "JFK",
    "dest": "LAX",
    "carrier": "DL",
    "month": 11,
    "weekday": 4,
    "hour": 18,
    "distance": 2475,
    "temp": 48.0,
    "dewp": 33.1,
    "humid": 56.4,
    "wind_dir": 250,
    "wind_speed": 12.7,
    "pressure": 1019.2,
}
GOOD = json.dumps(RECORD).encode()
HUGE = b"[" + GOOD + b" " * (50 * MEGABYTE)


class Answer(NamedTuple):
    """A response; the names of `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """A connection on which bytes are written as a test wants them."""

    def __init__(self, service: Service, seconds: float = 20) -> None:
        self.socket = socket.create_connection(("127.0.0.1", service.port), timeout=seconds)
        self._file = self.socket.makefile("rb")

    def send(self, content: bytes) -> None:
        self.socket.sendall(content)

    def answer(self) -> Answer:
        """The next response."""
        status = int(self._file.readline().split()[1])
        lines = iter(lambda: self._file.readline().decode().strip(), "")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return Answer(status, headers, self._file.read(int(headers.get("content-length", 0))))

    def ask(self, content: bytes) -> Answer:
        self.send(content)
        return self.answer()

    def has_ended(self) -> bool:
        """Whether the service closes the connection without a further byte."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def reset(self) -> None:
        """Go away without a farewell."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()


def head(
    *headers: str, method: str = "POST", path: str = "/predict", kind: str | None = "application/json"
) -> bytes:
    """The first lines of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test", *headers]
    return "\r\n".join([*lines, f"Content-Type: {kind}", "", ""] if kind else [*lines, "", ""]).encode()


def request(body: bytes, *headers: str, **line: Any) -> bytes:
    """A whole request."""
    return head(f"Content-Length: {len(body)}", *headers, **line) + body


def chunked(*chunks: bytes) -> bytes:
    """A whole request in chunks."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))
    return head("Transfer-Encoding: chunked") + body


def record(**cells: Any) -> bytes:
    """A record in which some cells are others."""
    return json.dumps(RECORD | cells).encode()


def tokens(**cells: str) -> bytes:
    """A record in which some cells are written as no JSON encoder would."""
    written = {name: json.dumps(value) for name, value in RECORD.items()} | cells
    return ("{" + ",".join(f'"{name}":{token}' for name, token in written.items()) + "}").encode()


def assert_problem(answer: Answer, status: int) -> None:
    """A problem document of that status, in which nothing of the inside shows."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["type"].startswith("urn:skdeploy:problem:")
    assert answer.json["title"]
    assert b"Traceback" not in answer.body


def assert_in_step(wire: Wire) -> None:
    """The connection is good for another request, and its answer is that request's."""
    assert wire.ask(request(GOOD)).status == 200


def timed_post(service: Service) -> float:
    """Seconds until a good request has its answer."""
    began = time.monotonic()
    assert service.post(GOOD)[0] == 200
    return time.monotonic() - began


@contextlib.contextmanager
def wires(service: Service, count: int, content: bytes = b"") -> Generator[list[Wire]]:
    """Connections that have sent `content` and wait."""
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(contextlib.closing(Wire(service))) for _ in range(count)]
        for wire in opened:
            wire.send(content)
        yield opened


@contextlib.contextmanager
def paused(processes: list[int]) -> Generator[None]:
    for pid in processes:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in processes:
            os.kill(pid, signal.SIGCONT)
