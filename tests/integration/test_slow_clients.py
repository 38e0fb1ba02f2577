"""Clients that are slow, half gone or rude: one worker of four threads, and two seconds per client."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live import Service, resident, served, sockets_of, wait_until
from tests.wire import (
    GOOD,
    MEGABYTE,
    Wire,
    assert_in_step,
    assert_problem,
    chunked,
    head,
    request,
    timed_post,
    wires,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker of four threads, whatever OMP_NUM_THREADS says; it gives a client two seconds."""
    settings = {
        "WEB_CONCURRENCY": "1",
        "SKDEPLOY_THREADS": "4",
        "SKDEPLOY_CLIENT_TIMEOUT": "2",
        "OMP_NUM_THREADS": "2",
    }
    with served(tmp_path_factory.mktemp("small"), **settings) as running:
        yield running


@pytest.mark.robustness("fault", "twice as many half requests as threads, on connections")
@pytest.mark.parametrize("first", [b"", request(GOOD)], ids=["new", "kept"])
def test_half_requests_do_not_stop_the_service(
    small: Service, first: bytes, fact: Callable[..., None]
) -> None:
    """Twice as many half requests as threads delay nobody, on new connections and on kept ones."""
    with wires(small, 8, first) as half:
        for wire in half:
            assert not first or wire.answer().status == 200
            wire.send(request(GOOD)[:-20])
        assert max(timed_post(small) for _ in range(10)) < 1.5
        answers = [wire.answer().status for wire in half]
        assert answers == [408] * 8
    fact("others wait less than 1.5 s; each is told 408")


@pytest.mark.robustness("fault", "a client that is slow to read its answer")
def test_a_client_that_is_slow_to_read_stops_nobody(small: Service, fact: Callable[..., None]) -> None:
    """An answer that the kernel does not take at once arrives whole, and others do not wait for it."""
    with wires(small, 1, request(GOOD)) as (wire,):
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        assert wire.answer().status == 200
        wire.send(request(b"[" + b",".join([GOOD] * 9000) + b"]"))
        assert timed_post(small) < 3
        answer = wire.answer()
        assert (answer.status, len(answer.json["predictions"])) == (200, 9000)
        assert_in_step(wire)
    fact("it has all of it; others do not wait")


@pytest.mark.robustness("fault", "four clients that never read their answers, on four threads")
def test_a_client_that_never_reads_is_cut_off(small: Service, fact: Callable[..., None]) -> None:
    """Its time ends, while others have their answers, and no thread is left behind."""
    with wires(small, 4, head(method="GET", path="/", kind=None) * 1000) as rude:
        began = time.monotonic()
        while not all(map(is_cut, rude)):
            assert timed_post(small) < 3
            assert time.monotonic() - began < 15
            time.sleep(0.1)
    fact("cut; others are answered")


def is_cut(wire: Wire) -> bool:
    """Whether the other side has gone; sends a byte that it cannot take for a request."""
    try:
        wire.send(b"?")
    except ConnectionError:
        return True
    return False


@pytest.mark.robustness("fault", "connections that never send anything")
def test_idle_connections_cost_nothing(small: Service, fact: Callable[..., None]) -> None:
    """Connections that have not sent anything take no thread, and are closed in time."""
    timed_post(small)
    with wires(small, 16) as idle:
        assert max(timed_post(small) for _ in range(10)) < 1.5
        assert all(wire.has_ended() for wire in idle)
    fact("closed in time; others wait less than 1.5 s")


@pytest.mark.robustness("fault", "a body that comes byte by byte")
def test_a_trickle_is_cut(small: Service, fact: Callable[..., None]) -> None:
    """The deadline is the request's, not the byte's."""
    with wires(small, 1, head(f"Content-Length: {len(GOOD)}")) as (wire,):
        began = time.monotonic()
        for byte in GOOD[:60]:
            wire.send(bytes([byte]))
            if select.select([wire.socket], [], [], 0.1)[0]:
                break
        assert_problem(wire.answer(), 408)
        assert time.monotonic() - began < 3.5
    fact("408 in time")


def test_a_slow_body_is_told_so(small: Service) -> None:
    """A body that does not arrive in time is answered with 408, and the connection ends."""
    with wires(small, 1, request(GOOD)[:-20]) as (wire,):
        answer = wire.answer()
        assert_problem(answer, 408)
        assert answer.headers["connection"] == "close"
        assert wire.has_ended()


HALF_HEADS = {
    "nothing but a letter": b"P",
    "a line": b"POST /predict HTTP/1.1\r\n",
    "all but the last byte": head()[:-1],
    "empty lines": b"\r\n" * 100,
}


@pytest.mark.parametrize("content", HALF_HEADS.values(), ids=HALF_HEADS.keys())
def test_half_heads_end_in_time(small: Service, content: bytes) -> None:
    """A head that does not come to its end ends the connection, and delays nobody."""
    with wires(small, 8, content) as half:
        assert max(timed_post(small) for _ in range(10)) < 1.5
        for wire in half:
            if content.strip():
                assert_problem(wire.answer(), 408)
            assert wire.has_ended()


def test_a_head_that_trickles_is_cut(small: Service) -> None:
    """The deadline is the head's, not the byte's."""
    with wires(small, 1, b"POST /predict HTTP/1.1\r\nX: ") as (wire,):
        began = time.monotonic()
        while not select.select([wire.socket], [], [], 0.1)[0]:
            wire.send(b"y")
            assert time.monotonic() - began < 10
        assert_problem(wire.answer(), 408)
        assert wire.has_ended()


ENDLESS = {
    "fields": b"".join(b"X%d: y\r\n" % at for at in range(1_500_000)),
    "one field": b"X: " + b"y" * (20 * MEGABYTE),
    "one name": b"X" * (20 * MEGABYTE),
    "fields of one name": b"X: y\r\n" * 3_500_000,
}


@pytest.mark.parametrize("fields", ENDLESS.values(), ids=ENDLESS.keys())
def test_an_endless_head_is_refused(small: Service, fields: bytes) -> None:
    """20 MB of a head are not held: the client is told 431, and the connection ends."""
    (worker,) = small.workers()
    before = resident(worker)
    with wires(small, 1, b"GET /health HTTP/1.1\r\nHost: test\r\n") as (wire,):
        with contextlib.suppress(ConnectionError):
            wire.send(fields)
        assert resident(worker) - before < 20 * MEGABYTE
        answer = wire.answer()
        assert_problem(answer, 431)
        assert answer.headers["connection"] == "close"
        assert wire.has_ended()


def test_an_endless_target_is_refused(small: Service) -> None:
    """A target without an end is refused as a head without an end is."""
    with wires(small, 1, b"GET /" + b"a" * 200_000) as (wire,):
        assert_problem(wire.answer(), 431)
        assert wire.has_ended()


def test_chunks_of_one_byte_are_read(small: Service) -> None:
    """A body that comes in chunks of one byte is read as any other."""
    with wires(small, 1, chunked(*[bytes([byte]) for byte in GOOD])) as (wire,):
        assert wire.answer().status == 200
        assert_in_step(wire)


def test_chunks_that_are_nearly_all_overhead_are_refused(small: Service) -> None:
    """Megabytes of chunk extensions around a few bytes are not read."""
    with wires(small, 1, head("Transfer-Encoding: chunked")) as (wire,):
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                wire.send(b"1;" + b"a" * 2000 + b"\r\n \r\n")
        assert_problem(wire.answer(), 400)
        assert wire.has_ended()


@pytest.mark.parametrize(
    "content",
    [
        request(GOOD),
        request(GOOD) * 5,
        request(b"[" + b",".join([GOOD] * 2000) + b"]"),
        head(method="GET", path="/openapi.json", kind=None),
    ],
    ids=["small", "pipelined", "large", "through the application"],
)
def test_a_half_closed_client_gets_its_answers(small: Service, content: bytes) -> None:
    """A client that has said that it sends no more is answered all the same, and then the connection ends."""
    with wires(small, 1, content) as (wire,):
        wire.socket.shutdown(socket.SHUT_WR)
        for _ in range(content.count(b"HTTP/1.1\r\n")):
            assert wire.answer().status == 200
        assert wire.has_ended()


def test_a_half_closed_client_that_has_not_sent_all_is_told_so(small: Service) -> None:
    """A body that has ended early is answered with 400."""
    with wires(small, 1, request(GOOD)[:-20]) as (wire,):
        wire.socket.shutdown(socket.SHUT_WR)
        assert_problem(wire.answer(), 400)
        assert wire.has_ended()


# A megabyte of answer: each prediction comes with its record's key.
LONG = request(b"[" + b",".join([GOOD[:-1] + b', "id": "' + b"k" * 400 + b'"}'] * 2500) + b"]")


def test_clients_that_reset_in_the_middle_of_their_answer(small: Service) -> None:
    """They harm nobody, and the log has nothing of them."""
    for _ in range(10):
        with wires(small, 1, LONG * 4) as (wire,):
            wire.socket.recv(1000)
            wire.reset()
    timed_post(small)
    assert "Traceback" not in small.log()


def test_unread_answers_of_any_size_do_not_keep_a_connection(small: Service) -> None:
    """Whatever is left in the service of answers that nobody reads, the connection ends."""
    (worker,) = small.workers()
    free = len(sockets_of(worker))
    page = head(method="GET", path="/openapi.json", kind=None)
    with contextlib.ExitStack() as stack:
        for count in range(20, 1000, 50):
            (wire,) = stack.enter_context(wires(small, 1))
            stack.enter_context(contextlib.suppress(ConnectionError))
            wire.socket.settimeout(0.5)
            with contextlib.suppress(TimeoutError):
                wire.send(page * count)
        wait_until(lambda: len(sockets_of(worker)) <= free, "all have ended", 40)
        timed_post(small)


def test_a_client_that_reads_slowly_has_all_of_its_answers(small: Service) -> None:
    """Megabytes taken in longer than SKDEPLOY_CLIENT_TIMEOUT arrive whole, if the client goes on reading."""
    with contextlib.closing(socket.socket()) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.settimeout(20)
        client.connect(("127.0.0.1", small.port))
        client.sendall(LONG * 10 + head("Content-Length: 0", "Connection: close"))
        began, taken = time.monotonic(), b""
        while more := client.recv(64 * 1024):
            taken += more
            if time.monotonic() - began < 6:
                time.sleep(0.2)  # that is how slow it is
        assert taken.count(b"HTTP/1.1 200 ") == 10
        assert taken.count(b"HTTP/1.1 400 ") == 1
        assert len(taken) > 8 * MEGABYTE
