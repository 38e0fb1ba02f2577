"""A client that asks by the event loop and by Flask's own way, and demands one answer."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import termios
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import uvloop
from flask import Flask
from flask.testing import FlaskClient

from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.web import create_app
from skdeploy.web.arrival import Reads
from skdeploy.web.bodies import BodyMemory
from skdeploy.web.front import Front
from skdeploy.web.http import HttpProtocol, Limits, Tails

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
Answer = tuple[str, list[tuple[str, str]], bytes]
# What differs from answer to answer, and what only a server adds.
_OWN = {"x-request-id", "date", "connection"}


class Loop:
    """A worker's event loop around an application, which runs while it is asked."""

    def __init__(self, app: Flask, settings: WebSettings) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        loop = self._runner.get_loop()
        self.front = Front(loop, app.wsgi_app, app.extensions["skdeploy"], settings)
        limits = Limits(settings.client_timeout, settings.keepalive, settings.max_body, lambda _: False)
        tails, memory, connections = Tails(), BodyMemory(), set[HttpProtocol]()
        tails.renew()
        reads = Reads(None)
        self._make = lambda: HttpProtocol(loop, limits, tails, memory, connections, self.front.handle, reads)
        self._close = weakref.finalize(self, _close, self.front, self._runner)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def ask(self, *requests: bytes) -> list[Answer]:
        """The answers to requests that are sent at once, each on a connection of its own."""
        return self._runner.run(self._ask(requests))

    async def _ask(self, requests: Iterable[bytes]) -> list[Answer]:
        return await asyncio.gather(*map(self._ask_one, requests))

    def converse(self, *conversations: Sequence[bytes]) -> list[bytes]:
        """All that is answered on connections of their own.

        conversations   the pieces that arrive one by one, before the client sends no more
        """
        return self._runner.run(self._converse(conversations))

    async def _converse(self, conversations: Iterable[Sequence[bytes]]) -> list[bytes]:
        return await asyncio.gather(*map(self._converse_once, conversations))

    async def _converse_once(self, pieces: Sequence[bytes]) -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await loop.connect_accepted_socket(self._make, ours)
        with theirs:
            with contextlib.suppress(
                BrokenPipeError
            ):  # it may be answered, and closed, before the last piece
                for piece in pieces:
                    await loop.sock_sendall(theirs, piece)
                    while _unread(ours):
                        await asyncio.sleep(0)
                theirs.shutdown(socket.SHUT_WR)
            answered = b""
            while more := await loop.sock_recv(theirs, 64 * 1024):
                answered += more
            return answered

    async def _ask_one(self, request: bytes) -> Answer:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        await asyncio.get_running_loop().connect_accepted_socket(self._make, ours)
        reader, writer = await asyncio.open_connection(sock=theirs)
        writer.write(request)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines[1:])]
        length = int(dict(headers).get("Content-Length", 0))
        body = await reader.readexactly(0 if request.startswith(b"HEAD") else length)
        writer.close()
        return lines[0].removeprefix("HTTP/1.1 "), headers, body


def _unread(connection: socket.socket) -> bool:
    """Whether bytes wait to be read from a socket that may have been closed."""
    if connection.fileno() < 0:
        return False
    waiting: int = struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0]
    return waiting > 0


def _close(front: Front, runner: asyncio.Runner) -> None:
    front.end()
    runner.close()


def client_of(model: Model, **settings: str) -> FlaskClient:
    """A client of a service with `model`; AssertionError if the two ways differ in a byte."""
    read = WebSettings.from_env(settings)
    app = create_app(model, read)
    loop = Loop(app, read)
    wsgi: Wsgi = app.wsgi_app

    def both(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        (by_loop,) = loop.ask(_written(environ))
        status, headers, body = _answer(wsgi, environ)
        assert _comparable(by_loop) == _comparable((status, headers, body))
        start_response(status, headers)
        return [body]

    app.wsgi_app = both  # type: ignore[method-assign]
    return app.test_client()


def _comparable(answer: Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    status, headers, body = answer
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in _OWN]
    return int(status[:3]), sorted(kept), body


def _answer(app: Wsgi, environ: dict[str, Any]) -> Answer:
    given: list[Any] = []
    body = b"".join(app(environ, lambda *start: given.extend(start[:2])))
    status, headers = given
    return status, headers, body


def _written(environ: dict[str, Any]) -> bytes:
    """The request as a client sends it; the body of the environment is left as it was."""
    stream = environ["wsgi.input"]
    place = stream.tell()
    body: bytes = stream.read()
    stream.seek(place)
    query = environ.get("QUERY_STRING")
    headers = {
        name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")
    }
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    if "CONTENT_LENGTH" in environ or body:
        headers["Content-Length"] = str(len(body))
    target = environ["PATH_INFO"] + (f"?{query}" if query else "")
    lines = [f"{environ['REQUEST_METHOD']} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
