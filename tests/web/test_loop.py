"""The worker's loop with applications that the service does not have."""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.glogging import Logger

from skdeploy.web.worker import Worker

REQUEST = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
MOST = 32 * 1024 * 1024


class Echo:
    """Answers with as many bytes as the path says, and says which thread it was."""

    def __init__(self) -> None:
        self.extensions = {"skdeploy": SimpleNamespace(current=SimpleNamespace(at_once=True))}
        self.threads: list[str] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.threads.append(threading.current_thread().name)
        size = int(environ["PATH_INFO"][1:])
        start_response("200 OK", [("Content-Length", str(size))])
        return [b"x" * size]


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def port(echo: Echo) -> Iterator[int]:
    """A worker's loop runs on that port, in a thread called "loop"."""
    cfg = Config()
    cfg.set("threads", 2)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        worker = Worker(0, os.getppid(), [listener], None, 30, cfg, Logger(cfg))
        worker.wsgi, worker.tpool = echo, worker.get_thread_pool()
        worker.poller = selectors.DefaultSelector()
        worker.method_queue.init()
        loop = threading.Thread(target=worker.run, name="loop")
        loop.start()
        yield listener.getsockname()[1]
        worker.alive = False
        loop.join()
        worker.tmp.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def ask(client: socket.socket, size: int) -> None:
    client.sendall(REQUEST % b"/%d" % size)


def read(client: socket.socket, size: int) -> bytes:
    """The body of the next answer, whose size is known."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += client.recv(1)
    body = bytearray()
    while len(body) < size:
        body += client.recv(min(1 << 20, size - len(body)))
    return bytes(body)


def test_what_arrives_whole_is_answered_by_the_loop(port: int, echo: Echo) -> None:
    """On new connections, on kept ones, and when a request comes in pieces."""
    with closing(connect(port)) as client:
        whole = REQUEST % b"/3"
        for pieces in ([whole], [whole[:9], whole[9:40], whole[40:]]):
            for piece in pieces:
                client.sendall(piece)
                time.sleep(0.05)
            assert read(client, 3) == b"xxx"
    assert echo.threads == ["loop", "loop"]


def test_what_takes_its_time_is_a_threads(port: int, echo: Echo) -> None:
    """A body that is not small, and chunks."""
    with closing(connect(port)) as client:
        client.sendall(b"POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n" + b"y" * 20_000)
        assert read(client, 3) == b"xxx"
        client.sendall(b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        assert read(client, 3) == b"xxx"
    assert "loop" not in echo.threads


def test_an_answer_that_the_kernel_does_not_take_is_sent_by_a_thread(port: int, echo: Echo) -> None:
    """It arrives whole, the connection is good for more, and nobody waits for its client."""
    with closing(connect(port)) as slow, closing(connect(port)) as other:
        ask(slow, MOST)
        ask(other, 3)
        assert read(other, 3) == b"xxx"
        assert read(slow, MOST) == b"x" * MOST
        ask(slow, 3)
        assert read(slow, 3) == b"xxx"
    assert echo.threads == ["loop"] * 3


def test_a_client_that_leaves_before_its_answer_is_forgotten(port: int, echo: Echo) -> None:
    """The loop goes on."""
    for _ in range(5):
        with closing(connect(port)) as leaving:
            ask(leaving, MOST)
    with closing(connect(port)) as client:
        ask(client, 3)
        assert read(client, 3) == b"xxx"
