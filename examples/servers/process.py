"""A server's process on this machine: started, awaited, and ended by its own id."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_BIN = _ROOT / ".venv-mlflow-server" / "bin"
_STOP_SECONDS = 15
# Below those that Linux gives to connections, and to whoever listens on any port: a server needs its own
# seconds later, and again when it was killed.
_FREE = range(20_000, 32_768)


class ServerError(Exception):
    """A server is not installed, or does not start; it says why."""


class ServerNotInstalled(ServerError):
    """The program is not on this machine."""


def program(name: str) -> str:
    """Where a server's program is; ServerNotInstalled if it is nowhere."""
    own = _BIN / name
    found = str(own) if own.exists() else shutil.which(name)
    if found is None:
        raise ServerNotInstalled(f"{name} is not installed: run make .venv-mlflow-server/done")
    return found


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 that nothing listens on, and that the system gives to nobody else."""
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().choice(_FREE)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)


def answers(port: int, path: str) -> bool:
    """Whether a server of this machine says 200 to GET `path`."""
    # http.client, because a proxy that the environment names must not be asked for 127.0.0.1.
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False


class Process:
    """A server that can be started, stopped, killed, and started again where it was.

    name          for messages
    command       the program and its arguments
    environment   all of it; nothing is inherited
    log_file      what it prints is added here
    is_ready      whether it answers; called until it does
    folder        where it runs; default: where this process does
    ended_by      the signal that asks it to end
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        is_ready: Callable[[], bool],
        folder: Path | None = None,
        ended_by: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log_file = log_file
        self._command = list(command)
        self._environment = dict(environment)
        self._is_ready = is_ready
        self._folder = folder
        self._ended_by = ended_by
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 120) -> None:
        """Start it and wait until it answers; ServerError if it does not within `seconds`."""
        with self.log_file.open("ab") as log:
            self._process = process = subprocess.Popen(  # noqa: S603 (the commands stand in this folder)
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own: Ctrl-C reaches whoever started it, who then ends the whole group.
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        try:
            while not self._is_ready():
                self._require_running(process, deadline, seconds)
                time.sleep(0.05)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it as an operator does; what does not end within 15 seconds is killed."""
        try:
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(self._ended_by)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_STOP_SECONDS)
        finally:
            # Also where a second Ctrl-C cuts the waiting short.
            self.kill()

    def kill(self) -> None:
        """End it and its children at once, as a crash does."""
        if self._process is not None:
            children = _children(self._process.pid)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            for child in children:
                _end(child)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It does nothing meanwhile, and its connections stay open, as when its machine is moved."""
        if self._process is None:
            raise ServerError(f"{self.name} does not run")
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def _require_running(self, process: subprocess.Popen[bytes], deadline: float, seconds: float) -> None:
        code = process.poll()
        if code is None and time.monotonic() < deadline:
            return
        what = f"did not answer within {seconds:g} seconds" if code is None else f"ended with {code}"
        tail = self.log_file.read_text(errors="replace")[-2000:]
        raise ServerError(f"{self.name} {what}. The end of its log:\n{tail}")


class LogSays:
    """Whether a log has said something since it was last found in it."""

    def __init__(self, log_file: Path, words: str) -> None:
        self._log_file = log_file
        self._words = words
        self._seen = 0

    def __call__(self) -> bool:
        """Once for every time that it says so."""
        found = self._log_file.read_text(errors="replace").count(self._words)
        if found <= self._seen:
            return False
        self._seen = found
        return True


def _children(pid: int) -> list[int]:
    """Also those in sessions of their own, as PostgreSQL's are, where no group's signal reaches them."""
    with contextlib.suppress(OSError):
        tasks = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for task in tasks for child in task.read_text().split()]
    return []


def _end(pid: int) -> None:
    """Kill what was a child, and wait until it holds nothing any more."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGKILL)
        # A zombie holds nothing any more, even if nobody reaps it.
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
            time.sleep(0.01)
