"""Signals to the service, and workers that die, while clients count what they lose."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.live import Service, load, progress, served, started, wait_until
from tests.wire import GOOD, Wire, assert_in_step, paused, request, wires

BOTH = pytest.mark.parametrize("keep_alive", [False, True], ids=["connection per request", "keep-alive"])


@pytest.mark.robustness("fault", "SIGTERM while 20 requests wait to be accepted")
def test_sigterm_serves_what_the_kernel_has_accepted(
    tmp_path: Path, expected: bytes, fact: Callable[..., None]
) -> None:
    """Connections that still wait to be accepted when SIGTERM comes are served as well."""
    with served(tmp_path, WORKERS="1") as service:
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
    """Idle connections, used before or not, hold the process no longer than KEEPALIVE."""
    settings = {"WORKERS": "1", "KEEPALIVE": "1", "CLIENT_TIMEOUT": "25"}
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
    """It ends in its first turn, in place of being killed after GRACEFUL_TIMEOUT, and says nothing odd."""
    slow = tmp_path / "slow.py"
    slow.write_text(STARTING.format(hook=hook, arguments=arguments))
    command = ("-m", "gunicorn", "-c", str(slow), "predict:app")
    with started(tmp_path, command, WORKERS="2") as service:
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
    with served(tmp_path, WORKERS="2") as service:
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
        assert "Traceback" not in service.log()
    fact("exit code 0", tally.answered, 0)


def has_two_workers(service: Service, old: set[int]) -> bool:
    """Whether two workers run, none of them one of `old`."""
    workers = set(service.workers())
    return len(workers) == 2 and not workers & old


@pytest.mark.robustness("load", "two clients during DRAIN_DELAY")
def test_drain_delay(tmp_path: Path, expected: bytes, fact: Callable[..., None]) -> None:
    """With DRAIN_DELAY a load balancer learns from /ready to go elsewhere, while all is served."""
    with served(tmp_path, WORKERS="2", DRAIN_DELAY="4") as service:
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
