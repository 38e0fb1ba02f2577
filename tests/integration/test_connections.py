"""Many connections: how they are spread over workers, and who makes room when there are too many."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.live import GUNICORN, Service, resident, running, served, sockets_of, wait_until
from tests.wire import GOOD, MEGABYTE, Wire, assert_in_step, head, paused, request, timed_post, wires

KEPT = 16
# As even as the machine's other work lets it be.
MOST = 12


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Two workers."""
    settings = {"WEB_CONCURRENCY": "2", "SKDEPLOY_KEEPALIVE": "60", "SKDEPLOY_CLIENT_TIMEOUT": "60"}
    with served(tmp_path_factory.mktemp("pair"), **settings) as service:
        yield service


def held(service: Service) -> dict[int, int]:
    """How many connections of the service each worker has."""
    ours = established(service.port)
    return {worker: len(sockets_of(worker) & ours) for worker in service.workers()}


def established(port: int) -> set[str]:
    """The inodes of the sockets at the service's side of its connections."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "01"}


def assert_spread(service: Service, connections: int) -> None:
    wait_until(
        lambda: sum(held(service).values()) == connections, lambda: f"all are accepted: {held(service)}"
    )
    assert max(held(service).values()) <= connections * MOST / KEPT, held(service)


def test_connections_one_after_the_other_are_spread(pair: Service) -> None:
    """No worker has many more of the kept connections than the other, if both get the processor."""
    most = []
    for _ in range(3):  # beside other tests a worker may say nothing for a while, and gets none then
        with contextlib.ExitStack() as stack:
            for _ in range(KEPT):
                assert_in_step(stack.enter_context(contextlib.closing(Wire(pair))))
            most.append(max(held(pair).values()))
        wait_until(lambda: not any(held(pair).values()), "all are closed")
    assert min(most) <= MOST


def test_connections_that_come_at_once_are_spread(pair: Service) -> None:
    """Also of those that all come before the first request."""
    most = []
    for _ in range(3):
        with wires(pair, KEPT, request(GOOD)) as kept:
            assert [wire.answer().status for wire in kept] == [200] * KEPT
            most.append(max(held(pair).values()))
        wait_until(lambda: not any(held(pair).values()), "all are closed")
    assert min(most) <= MOST


def test_a_worker_that_is_lost_in_a_call_leaves_connections_to_the_other(pair: Service) -> None:
    """While one worker says nothing, the other takes all."""
    with paused(pair.workers()[:1]), contextlib.ExitStack() as stack:
        for _ in range(KEPT):
            assert_in_step(stack.enter_context(contextlib.closing(Wire(pair))))
        assert sorted(held(pair).values()) == [0, KEPT]
    wait_until(lambda: not any(held(pair).values()), "all are closed")


def test_a_killed_worker_is_replaced_and_gets_its_share(pair: Service) -> None:
    """The other goes on meanwhile; later connections are spread over it and the new one."""
    first, second = pair.workers()
    with wires(pair, KEPT, request(GOOD)) as kept:
        assert [wire.answer().status for wire in kept] == [200] * KEPT
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: not running(first), "it is dead")
        for _ in range(20):
            timed_post(pair)
        wait_until(lambda: len(pair.workers()) == 2, "a new worker runs")
        assert second in pair.workers()
    wait_until(lambda: not any(held(pair).values()), "all are closed")
    wait_until(lambda: both_answer(pair), "the new worker accepts")
    with wires(pair, KEPT, request(GOOD)) as kept:
        assert [wire.answer().status for wire in kept] == [200] * KEPT
        assert_spread(pair, KEPT)


def both_answer(service: Service) -> bool:
    """Whether each of some connections at once finds a worker, and each worker has one of them."""
    with wires(service, 6, request(GOOD)) as kept:
        assert [wire.answer().status for wire in kept] == [200] * 6
        return all(held(service).values())


def test_an_idle_connection_makes_room(tmp_path: Path) -> None:
    """With --worker-connections open, the one that has been idle longest is closed for a new one."""
    settings = {
        "WEB_CONCURRENCY": "1",
        "GUNICORN_CMD_ARGS": "--worker-connections 8",
        "SKDEPLOY_KEEPALIVE": "60",
        "SKDEPLOY_CLIENT_TIMEOUT": "60",
    }
    with served(tmp_path, **settings) as service, contextlib.ExitStack() as stack:
        kept = []
        for _ in range(8):
            kept.append(stack.enter_context(contextlib.closing(Wire(service))))
            assert_in_step(kept[-1])
        time.sleep(0.05)  # the loop's clock counts in milliseconds
        for wire in kept[:4]:
            assert_in_step(wire)
        late = [stack.enter_context(contextlib.closing(Wire(service))) for _ in range(4)]
        for wire in late:
            assert_in_step(wire)
        assert all(wire.has_ended() for wire in kept[4:])
        for wire in (*kept[:4], *late):
            assert_in_step(wire)


def test_busy_connections_make_no_room(tmp_path: Path) -> None:
    """A new connection waits while all are in the middle of a request, and is served after them."""
    settings = {
        "WEB_CONCURRENCY": "1",
        "GUNICORN_CMD_ARGS": "--worker-connections 4",
        "SKDEPLOY_CLIENT_TIMEOUT": "30",
    }
    with served(tmp_path, **settings) as service, contextlib.ExitStack() as stack:
        wait_until(lambda: not held(service)[service.workers()[0]], "nobody else is connected")
        busy = stack.enter_context(wires(service, 4, request(GOOD)[:-20]))
        wait_until(lambda: held(service)[service.workers()[0]] == 4, "all are accepted")
        late = stack.enter_context(contextlib.closing(Wire(service)))
        late.send(request(GOOD))
        for wire in busy:
            assert wire.ask(request(GOOD)[-20:]).status == 200
        assert late.answer().status == 200


# Few file descriptors for the service, and as many as may be for its clients.
POOR = f"ulimit -n 64; exec {sys.executable} {' '.join(GUNICORN)}"


def test_a_worker_without_file_descriptors_goes_on(tmp_path: Path) -> None:
    """Where no connection can be accepted, idle ones make room: every new client is answered."""
    shell = tmp_path / "poor.py"
    shell.write_text(f"import os; os.execv('/bin/sh', ['sh', '-c', {POOR!r}])")
    settings = {"WEB_CONCURRENCY": "1", "SKDEPLOY_KEEPALIVE": "60", "SKDEPLOY_CLIENT_TIMEOUT": "60"}
    with served(tmp_path, (str(shell),), **settings) as service, contextlib.ExitStack() as stack:
        kept = []
        for _ in range(100):
            kept.append(stack.enter_context(contextlib.closing(Wire(service))))
            assert_in_step(kept[-1])
        assert sum(held(service).values()) < 64
        assert "Traceback" not in service.log()
        # Those that are in the middle of a request are not closed: a new one has to wait for them.
        half = stack.enter_context(wires(service, 80, request(GOOD)[:-20]))
        for wire in half:
            assert wire.ask(request(GOOD)[-20:]).status == 200
            wire.close()
        timed_post(service)
        assert "Traceback" not in service.log()


@contextlib.contextmanager
def many_files(count: int) -> Generator[None]:
    """Let this process open so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


THOUSAND = {"WEB_CONCURRENCY": "1", "SKDEPLOY_CLIENT_TIMEOUT": "60", "SKDEPLOY_KEEPALIVE": "60"}


def test_a_thousand_idle_connections_delay_nobody(tmp_path: Path) -> None:
    """Others have their answers within a second, while the idle ones stay."""
    with many_files(3000), served(tmp_path, **THOUSAND) as service, wires(service, 1000) as idle:
        wait_until(lambda: sum(held(service).values()) >= 1000, "all are accepted")
        assert max(timed_post(service) for _ in range(50)) < 1
        for wire in idle[::50]:
            assert_in_step(wire)


def test_a_thousand_unfinished_bodies_take_little_memory(tmp_path: Path) -> None:
    """Of bodies of 9.9 MB the service takes less than 200 MB, and answers small requests."""
    part = head(f"Content-Length: {int(9.9 * MEGABYTE)}") + b" " * MEGABYTE
    with many_files(3000), served(tmp_path, **THOUSAND) as service, wires(service, 1000) as large:
        timed_post(service)
        (worker,) = service.workers()
        before, most = resident(worker), 0
        for wire in large:
            wire.socket.setblocking(False)
        for begin in range(0, len(part), 64 * 1024):
            for wire in large:
                with contextlib.suppress(BlockingIOError):
                    wire.socket.send(part[begin : begin + 64 * 1024])
            most = max(most, resident(worker))
            assert timed_post(service) < 5
        assert most - before < 200 * MEGABYTE, f"{(most - before) / MEGABYTE:.0f} MB"


def test_the_parts_of_a_chunked_body_take_little_memory(tmp_path: Path) -> None:
    """8 MB in chunks of two bytes: the service holds the bytes, and no object for each chunk."""
    with served(tmp_path, **THOUSAND) as service, contextlib.closing(Wire(service, 60)) as wire:
        timed_post(service)
        (worker,) = service.workers()
        before, most = resident(worker), 0
        wire.send(head("Transfer-Encoding: chunked"))
        for _ in range(64):
            wire.send(b"2\r\n  \r\n" * (64 * 1024))
            most = max(most, resident(worker))
        assert timed_post(service) < 5
        assert most - before < 64 * MEGABYTE, f"{(most - before) / MEGABYTE:.0f} MB"
        wire.send(b"0\r\n\r\n")
        assert wire.answer().status == 400
        assert_in_step(wire)
