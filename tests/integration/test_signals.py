"""Signals to the service, and workers that die, while clients count what they lose."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live import Service, load, progress, running, served, started, wait_until
from tests.wire import GOOD, Wire, assert_in_step, paused, request, wires

BOTH = pytest.mark.parametrize("keep_alive", [False, True], ids=["connection per request", "keep-alive"])


@pytest.mark.robustness("fault", "SIGTERM while 20 requests wait to be accepted")
def test_sigterm_serves_what_the_kernel_has_accepted(
    tmp_path: Path, expected: bytes, fact: Callable[..., None]
) -> None:
    """Connections that still wait to be accepted when SIGTERM comes are served as well."""
    with served(tmp_path, WEB_CONCURRENCY="1") as service:
        with paused(service.workers()), contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(contextlib.closing(Wire(service))) for _ in range(20)]
            for wire in waiting:
                wire.send(request(GOOD))
            service.send(signal.SIGTERM)
            wait_until(lambda: "Handling signal: term" in service.log(), "gunicorn sees SIGTERM")
            kept = stack.pop_all()
        with kept:
            assert [wire.answer().body for wire in waiting] == [expected] * 20
        assert service.wait() == 0
    fact("all answered; exit code 0", 20, 0)


@pytest.mark.robustness("fault", "SIGTERM while idle clients stay connected")
def test_sigterm_does_not_wait_for_idle_clients(tmp_path: Path, fact: Callable[..., None]) -> None:
    """Idle connections, used before or not, hold the process no longer than SKDEPLOY_KEEPALIVE."""
    settings = {"WEB_CONCURRENCY": "1", "SKDEPLOY_KEEPALIVE": "1", "SKDEPLOY_CLIENT_TIMEOUT": "25"}
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(served(tmp_path, **settings))
        idle = stack.enter_context(wires(service, 2))
        assert_in_step(idle[0])
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 6
    fact("exit code 0 within 6 s")


# Where a worker sleeps while it starts: before it has handlers for signals, and before its first turn.
STARTING = """
import runpy, time
globals().update(runpy.run_path("web-service/gunicorn.conf.py"))

def {hook}({arguments}):
    time.sleep(1)
"""


@pytest.mark.robustness("fault", "SIGTERM while workers start")
@pytest.mark.parametrize(
    ("hook", "arguments"),
    [("post_fork", "server, worker"), ("post_worker_init", "worker")],
    ids=["forked", "loaded"],
)
def test_sigterm_reaches_a_worker_that_is_starting(
    tmp_path: Path, hook: str, arguments: str, fact: Callable[..., None]
) -> None:
    """It ends in its first turn, not killed after SKDEPLOY_GRACEFUL_TIMEOUT, and says nothing odd."""
    slow = tmp_path / "slow.py"
    slow.write_text(STARTING.format(hook=hook, arguments=arguments))
    command = ("-m", "gunicorn", "-c", str(slow), "predict:app")
    with started(tmp_path, command, WEB_CONCURRENCY="2") as service:
        wait_until(lambda: service.log().count("Booting worker") == 2, "both are forked", 60)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 8
        assert "ERROR" not in service.log()
    fact("exit code 0 within 8 s")


@pytest.mark.robustness("load", "eight clients through SIGHUP and SIGTERM")
@BOTH
def test_reload_and_stop_under_load_lose_nothing(
    tmp_path: Path, expected: bytes, keep_alive: bool, fact: Callable[..., None]
) -> None:
    """SIGHUP: new workers, and no client notices. SIGTERM: what was accepted is answered, exit code 0."""
    with served(tmp_path, WEB_CONCURRENCY="2") as service:
        with load(service, GOOD, expected, keep_alive=keep_alive) as tally:
            old = set(service.workers())
            service.send(signal.SIGHUP)
            wait_until(lambda: has_two_workers(service, old), "two new workers")
            progress(tally)
            assert not tally.refused
            began = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - began < 10
        assert not tally.lost
        assert not tally.retried
        assert not tally.reset
        assert "Traceback" not in service.log()
    fact("exit code 0", tally.answered, 0)


def has_two_workers(service: Service, old: set[int]) -> bool:
    """Whether two workers run, none of them one of `old`."""
    workers = set(service.workers())
    return len(workers) == 2 and not workers & old


@pytest.mark.robustness("load", "two clients during SKDEPLOY_DRAIN_DELAY")
def test_drain_delay(tmp_path: Path, expected: bytes, fact: Callable[..., None]) -> None:
    """With SKDEPLOY_DRAIN_DELAY a load balancer learns from /ready to go elsewhere, while all is served."""
    with served(tmp_path, WEB_CONCURRENCY="2", SKDEPLOY_DRAIN_DELAY="4") as service:
        with load(service, GOOD, expected, keep_alive=False, clients=2) as tally:
            began = time.monotonic()
            service.send(signal.SIGTERM)
            # One worker is told after the other.
            wait_until(lambda: {service.get("/ready")[0] for _ in range(10)} == {503}, "/ready says 503", 2)
            while time.monotonic() - began < 3:
                assert service.get("/ready")[0] == 503
                assert service.get("/health")[0] == 200
                assert service.post(GOOD) == (200, expected)
            assert not tally.refused
            assert service.wait() == 0
            assert 4 <= time.monotonic() - began < 11
        assert not tally.lost
    fact("/ready says 503, the rest is answered", tally.answered, 0)


@pytest.mark.heavy
@BOTH
@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_stop_resets_a_connection(tmp_path: Path, expected: bytes, workers: str, keep_alive: bool) -> None:
    """Of many stops under the load of twelve clients none loses what the kernel or a worker had taken."""
    for _ in range(8):
        with served(tmp_path, WEB_CONCURRENCY=workers) as service:
            with load(service, GOOD, expected, keep_alive=keep_alive, clients=12) as tally:
                assert service.stop() == 0
            assert not tally.lost
            assert not tally.retried
            assert not tally.reset
            assert "cut off" not in service.log()


# Slow enough to be in flight when the signal comes; what is scored alone comes behind it.
MANY = request(b"[" + b",".join([GOOD] * 4000) + b"]")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_pipelined_requests_in_flight_are_all_answered(
    tmp_path: Path, expected: bytes, sig: signal.Signals
) -> None:
    """Also those behind the one that is being answered; only the last answer ends the connection."""
    with (
        served(tmp_path, WEB_CONCURRENCY="1") as service,
        wires(service, 4, (MANY + request(GOOD)) * 10) as busy,
    ):
        old = service.workers()
        first = [wire.answer() for wire in busy]
        service.send(sig)
        for wire, begun in zip(busy, first, strict=True):
            answers = [begun, *(wire.answer() for _ in range(19))]
            assert [answer.status for answer in answers] == [200] * 20
            assert all(answer.body == expected for answer in answers[1::2])
            assert [answer.headers["connection"] for answer in answers].count("close") <= 1
            assert all(answer.headers["connection"] == "keep-alive" for answer in answers[:-1])
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.has_ended()
        wait_until(lambda: not any(map(running, old)), "the worker has ended")


def test_half_sent_requests_end_with_the_service(tmp_path: Path, expected: bytes) -> None:
    """On SIGTERM a request that comes to its end is answered, and one that does not is told so in time."""
    with (
        served(tmp_path, WEB_CONCURRENCY="1", SKDEPLOY_CLIENT_TIMEOUT="3") as service,
        wires(service, 6, request(GOOD)[:-20]) as finished,
        wires(service, 3, request(GOOD)[:-20]) as bodies,
        wires(service, 3, request(GOOD)[:30]) as heads,
    ):
        began = time.monotonic()
        service.send(signal.SIGTERM)
        wait_until(lambda: "Handling signal: term" in service.log(), "gunicorn sees SIGTERM")
        for wire in finished:
            answer = wire.ask(request(GOOD)[-20:])
            assert (answer.status, answer.body) == (200, expected)
            assert wire.has_ended()
        for wire in (*bodies, *heads):
            answer = wire.answer()
            assert (answer.status, answer.headers["connection"]) == (408, "close")
            assert wire.has_ended()
        assert service.wait() == 0
        assert time.monotonic() - began < 10
        assert "cut off" not in service.log()


def test_graceful_timeout_cuts_off_what_lasts_longer(tmp_path: Path) -> None:
    """SKDEPLOY_GRACEFUL_TIMEOUT holds for a client that SKDEPLOY_CLIENT_TIMEOUT would let go on."""
    settings = {"WEB_CONCURRENCY": "1", "SKDEPLOY_CLIENT_TIMEOUT": "60", "SKDEPLOY_GRACEFUL_TIMEOUT": "2"}
    with served(tmp_path, **settings) as service, wires(service, 3, request(GOOD)[:-20]) as half:
        began = time.monotonic()
        assert service.stop() == 0
        assert 2 <= time.monotonic() - began < 8
        assert all(wire.has_ended() for wire in half)
        assert "3 connections were open after the 2 seconds of SKDEPLOY_GRACEFUL_TIMEOUT" in service.log()
