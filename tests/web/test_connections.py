"""What is to be expected of a request, and sockets on which nothing is waited for."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from skdeploy.web.connections import DeadlineSocket, Outlook, outlook

HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HEAD + b"Content-Length: 2\r\n\r\n{}", "WHOLE"),
        (HEAD + b"content-length:2 \r\nA: b\r\n\r\n{}", "WHOLE"),
        (HEAD + b"Content-Length: 2\r\n\r\n{}POST", "WHOLE"),
        (HEAD + b"Content-Length: 0\r\n\r\n", "WHOLE"),
        (HEAD + b"\r\nContent-Length: 2\r\n\r\n{}", "WHOLE"),
        (HEAD + b"X-Content-Length: 2\r\n\r\n{}", "WHOLE"),
        (b"GET / HTTP/1.1\r\n\r\n", "WHOLE"),
        (b"\r\n\r\n", "WHOLE"),
        (HEAD + b"Content-Length: 3\r\n\r\n{}", "SHORT"),
        (HEAD + b"Content-Length: 2\r\n\r", "SHORT"),
        (b"P", "SHORT"),
        (HEAD + b"A: %s" % (b"b" * 20_000), "LONG"),
        (HEAD + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n", "LONG"),
        (HEAD + b"Content-Length: -2\r\n\r\n{}", "LONG"),
        (HEAD + b"Content-Length: 99999\r\n\r\n{}", "LONG"),
        (HEAD + b"Content-Length: 99999999\r\n\r\n{}", "LONG"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "LONG"),
    ],
)
def test_what_is_to_be_expected_of_a_request(data: bytes, expected: str) -> None:
    """The loop waits for what is small and says how long it is; a thread takes the rest."""
    assert outlook(data) is Outlook[expected]


@pytest.fixture
def pair() -> Iterator[tuple[DeadlineSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    adopted = DeadlineSocket.adopt(ours, limit=5.0)
    adopted.setblocking(False)
    with contextlib.closing(adopted), contextlib.closing(theirs):
        yield adopted, theirs


def test_what_is_held_is_sent_in_one_piece(pair: tuple[DeadlineSocket, socket.socket]) -> None:
    """Between hold and send_held nothing leaves, and nothing makes the socket wait."""
    ours, theirs = pair
    theirs.setblocking(False)
    ours.hold()
    ours.setblocking(True)
    ours.sendall(b"head ")
    ours.sendall(b"body")
    assert ours.gettimeout() == 0
    with pytest.raises(BlockingIOError):
        theirs.recv(100)
    assert ours.send_held() == b""
    assert theirs.recv(100) == b"head body"


def test_the_rest_comes_back(pair: tuple[DeadlineSocket, socket.socket]) -> None:
    """What the kernel does not take at once is returned, to the byte."""
    ours, theirs = pair
    content = bytes(range(256)) * 40_000
    ours.hold()
    ours.sendall(content)
    rest = ours.send_held()
    assert 0 < len(rest) < len(content)
    ours.hold()
    ours.sendall(rest)
    assert ours.send_held() == rest
    got = b""
    while len(got) < len(content) - len(rest):
        got += theirs.recv(1 << 20)
    assert got + rest == content


def test_who_has_waited_for_a_thread_has_little_time_left(pair: tuple[DeadlineSocket, socket.socket]) -> None:
    """The clock starts with the first byte; a tenth of the limit is left, and what has come is read."""
    ours, theirs = pair
    ours.limit = 0.5
    theirs.sendall(b"half a ")
    assert ours.recv(100) == b"half a "
    theirs.sendall(b"request")
    time.sleep(0.6)
    ours.setblocking(True)
    began = time.monotonic()
    assert ours.recv(100) == b"request"
    with pytest.raises(ConnectionResetError):
        ours.recv(100)
    assert 0.04 < time.monotonic() - began < 0.4
    ours.setblocking(True)
    began = time.monotonic()
    with pytest.raises(ConnectionResetError):
        ours.recv(100)
    assert time.monotonic() - began > 0.45, "the next request has its time"
