"""A server started on its core, and stopped with all that it started."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import signal
import subprocess
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import proc

START_SECONDS = 120


class BenchmarkError(Exception):
    """The benchmark cannot go on; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is run where, and where its output goes."""

    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    log: Path


def neutral_environment(home: Path) -> dict[str, str]:
    """What every server gets: no setting of the user's, a home of its own, one native thread."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {**kept, **threads, "HOME": str(home), "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def started(command: Command, cpu: int, stop_seconds: float = 15) -> Generator[subprocess.Popen[bytes]]:
    """The process, pinned to `cpu`, in a session of its own; nothing of it is left afterwards.

    stop_seconds   how long it may take to end by itself
    """
    with command.log.open("wb") as log:
        process = subprocess.Popen(
            ["taskset", "-c", str(cpu), *command.arguments],
            cwd=command.folder,
            env=command.environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _end(process, stop_seconds)


def _end(process: subprocess.Popen[bytes], stop_seconds: float) -> None:
    # A descendant with a session of its own is not in the group; a handle outlives the reuse of its id.
    descendants = list(_handles(proc.tree(process.pid)[1:]))
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(stop_seconds)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    for handle in descendants:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            # Readable once the process has ended.
            select.select([handle], [], [], stop_seconds)
        os.close(handle)
    process.wait()


def _handles(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            yield os.pidfd_open(pid)


def post(port: int, path: str, body: bytes) -> bytes:
    """The answer to a body. OSError if none comes, ValueError if it is not 200."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
    if response.status != 200:
        raise ValueError(f"{response.status}: {answer[:500]!r}")
    return answer


def wait_for_answer(process: subprocess.Popen[bytes], log: Path, port: int, path: str, body: bytes) -> float:
    """Seconds until the first answer of status 200.

    Servers that listen before their model is loaded refuse for a while. Raises BenchmarkError with
    the end of the log.
    """
    begin, said = time.monotonic(), "no connection"
    while process.poll() is None and time.monotonic() < begin + START_SECONDS:
        try:
            post(port, path, body)
        except (OSError, ValueError, http.client.HTTPException) as error:
            said = str(error)
            time.sleep(0.01)
        else:
            return time.monotonic() - begin
    raise BenchmarkError(f"no answer ({said}); the end of its log:\n{log.read_text()[-2000:]}")
