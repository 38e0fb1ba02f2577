"""Clients that are slow, half gone or rude: one worker of four threads, and two seconds per client."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.live import Service, served
from tests.wire import GOOD, Wire, assert_in_step, assert_problem, head, request, timed_post, wires


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker of four threads, whatever OMP_NUM_THREADS says; it gives a client two seconds."""
    settings = {"WORKERS": "1", "THREADS": "4", "CLIENT_TIMEOUT": "2", "OMP_NUM_THREADS": "2"}
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
