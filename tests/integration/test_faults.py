"""Faults under which the service goes on: workers killed, no memory, no log, a slow crowd."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.live import Service, Tally, load, progress, served, started, wait_until
from tests.wire import GOOD, MEGABYTE, Answer, Wire, assert_problem, head, paused, request, timed_post, wires

SLICE = 0.1
KILLS = 5


def rates(tally: Tally, seconds: float) -> Iterator[int]:
    """Answers in each tenth of a second."""
    before, due = tally.answered, time.monotonic()
    for _ in range(round(seconds / SLICE)):
        due += SLICE
        time.sleep(max(0.0, due - time.monotonic()))
        yield tally.answered - before
        before = tally.answered


def seconds_to_recover(service: Service, tally: Tally, victim: int, usual: float) -> float:
    """Until a new worker runs beside the other, and answers come as usual, three slices in a row.

    A quarter of the usual number will do: the clients share the machine with whatever else is tested.
    """
    began, good = time.monotonic(), 0
    for answers in rates(tally, 10):
        workers = service.workers()
        whole = len(workers) == 2 and victim not in workers
        good = good + 1 if whole and answers >= usual / 4 else 0
        if good == 3:
            return time.monotonic() - began - 3 * SLICE
    raise AssertionError(f"not a quarter of {usual} answers in {SLICE} s again: {tally}\n{service.log()}")


@pytest.mark.robustness("fault", "each worker in turn killed with SIGKILL, five times, under load")
def test_killed_workers_are_replaced_within_two_seconds(
    tmp_path: Path, expected: bytes, fact: Callable[..., None]
) -> None:
    """Only what they were at is lost, and the answers go on as before."""
    with served(tmp_path, WEB_CONCURRENCY="2") as service:
        taken = []
        with load(service, GOOD, expected, keep_alive=False) as tally:
            progress(tally, 200)
            usual = statistics.median(rates(tally, 1))
            for _ in range(KILLS):
                lost = tally.lost.total()
                victim = service.workers()[0]
                os.kill(victim, signal.SIGKILL)
                taken.append(seconds_to_recover(service, tally, victim, usual))
                assert tally.lost.total() - lost <= 8
        assert max(taken) < 2, taken
        for worker in service.workers():
            with paused([pid for pid in service.workers() if pid != worker]):
                assert service.post(GOOD) == (200, expected)
        assert "was sent SIGKILL" in service.log()
        assert service.stop() == 0
        said = f"two workers and the usual answers again after {max(taken):.1f} s at most"
        fact(said, tally.answered, tally.lost.total())


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker that gives a client two seconds."""
    settings = {"WEB_CONCURRENCY": "1", "SKDEPLOY_CLIENT_TIMEOUT": "2"}
    with served(tmp_path_factory.mktemp("patient"), **settings) as running:
        yield running


CROWDS = {
    "300 half heads": head()[:30],
    "300 half bodies": request(GOOD)[:-20],
    "300 half bodies in chunks, which take threads": head("Transfer-Encoding: chunked") + b"fff\r\n[",
}


@pytest.mark.heavy
@pytest.mark.robustness("fault", "slow loris")
@pytest.mark.parametrize("content", CROWDS.values(), ids=CROWDS.keys())
def test_a_crowd_of_half_requests_is_cut(patient: Service, content: bytes, fact: Callable[..., None]) -> None:
    """Others are answered all the while, and every connection of the crowd ends."""
    with wires(patient, 300, content) as crowd:
        began, slowest, asked = time.monotonic(), 0.0, 0
        while time.monotonic() - began < 2:
            slowest, asked = max(slowest, timed_post(patient)), asked + 1
        assert slowest < 1
        statuses = {status_or_end(wire) for wire in crowd}
        assert statuses <= {0, 400, 408, 503}
        ended = time.monotonic() - began
    timed_post(patient)
    fact(f"others waited {slowest * 1000:.0f} ms at most; all cut within {ended:.0f} s", asked, 0)


def status_or_end(wire: Wire) -> int:
    """The status that the connection ends with, 0 if without one."""
    try:
        return wire.answer().status
    except (ConnectionError, IndexError):
        return 0


@pytest.mark.heavy
@pytest.mark.robustness("fault", "a body of 9 MB to a worker that has no memory left (RLIMIT_DATA)")
@pytest.mark.parametrize("margin", [4, 24], ids=["for the body", "for its records"])
def test_no_memory_is_an_answer_and_a_line_in_the_log(
    tmp_path: Path, expected: bytes, margin: int, fact: Callable[..., None]
) -> None:
    """Who asks for too much is told so, or loses that worker alone; the log says why."""
    many = request(b"[" + b",".join([GOOD] * (9 * MEGABYTE // (len(GOOD) + 1))) + b"]")
    with (
        served(tmp_path, WEB_CONCURRENCY="1", SKDEPLOY_MAX_RECORDS="100000") as service,
        load(service, GOOD, expected, keep_alive=True) as tally,
    ):
        (worker,) = service.workers()
        limit = data_size(worker) + margin * MEGABYTE
        resource.prlimit(worker, resource.RLIMIT_DATA, (limit, limit))
        answers = [large(service, many) for _ in range(3)]
        progress(tally, 100)
        wait_until(lambda: "MemoryError" in service.log() or "SIG" in service.log(), "the log says why", 5)
        survived = service.workers() == [worker]
    # What an earlier one gave back may be enough for a later one.
    told = [answer for answer in answers if answer is not None and answer.status != 200]
    for answer in told:
        assert answer.status in (500, 503)
        assert_problem(answer, answer.status)
    # Also a small request finds no memory while the large one has it all.
    assert tally.lost.total() <= 8
    said = " and ".join(sorted({str(answer.status) for answer in told})) or "no answer"
    # A native library may crash where Python would have raised.
    end = "the worker lives" if survived else "the worker was replaced"
    fact(f"{said}; {end}; the log says why", tally.answered, tally.lost.total())


def data_size(pid: int) -> int:
    """Bytes of memory that a process could write to and shares with none."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmData:")[1].split()[0]) * 1024


def large(service: Service, content: bytes) -> Answer | None:
    """The answer, or None if the connection ended without one."""
    with contextlib.closing(Wire(service)) as wire:
        try:
            return wire.ask(content)
        except (ConnectionError, IndexError):
            return None


@pytest.mark.robustness("fault", "the disk of the log is full (/dev/full)")
def test_a_log_that_cannot_be_written_stops_nothing(expected: bytes, fact: Callable[..., None]) -> None:
    """With a line per request, a killed worker and a reload: all is answered, and the exit code is 0."""
    with served(Path("/dev/full"), WEB_CONCURRENCY="2", SKDEPLOY_ACCESS_LOG="1") as service:
        with load(service, GOOD, expected, keep_alive=False) as tally:
            progress(tally, 100)
            old = set(service.workers())
            service.send(signal.SIGHUP)
            wait_until(lambda: len(service.workers()) == 2 and not old & {*service.workers()}, "new workers")
            progress(tally, 100)
        assert service.post(b"{}")[0] == 422
        assert service.stop() == 0
    assert not tally.lost
    fact("answered on, through a reload, and ended with 0", tally.answered, tally.lost.total())


@pytest.mark.robustness("fault", "the reader of the log has gone (a closed pipe)")
def test_a_log_without_a_reader_stops_nothing(
    tmp_path: Path, expected: bytes, fact: Callable[..., None]
) -> None:
    """Whatever collected the log has died: requests are answered, and the exit code is 0."""
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with started(pipe, WEB_CONCURRENCY="2", SKDEPLOY_ACCESS_LOG="1") as service:
        wait_until(service.is_ready, "it is ready", 60)
        os.close(reader)
        with load(service, GOOD, expected, keep_alive=True) as tally:
            progress(tally, 200)
        assert service.stop() == 0
    assert not tally.lost
    fact("answered on, and ended with 0", tally.answered, tally.lost.total())
