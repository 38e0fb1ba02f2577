"""Live services for tests: gunicorn as it is meant to run, and clients that count what they lose."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from examples.servers.process import free_ports
from skdeploy.config import DECLARED

ROOT = Path(__file__).resolve().parent.parent
GUNICORN = ("-m", "gunicorn", "-c", "web-service/gunicorn.conf.py", "predict:app")
_START_SECONDS = 60
_STOP_SECONDS = 45


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on."""
    return free_ports(1)[0]


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def running(pid: int) -> bool:
    """Whether a process lives; a zombie that nobody has waited for does not."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def sockets_of(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            link = str(entry.readlink())
            if link.startswith("socket:["):
                found.add(link[8:-1])
    return found


def resident(pid: int) -> int:
    """Bytes of memory that a process has to itself and with others."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmRSS" in line)
    return int(line.split()[1]) * 1024


def page(port: int, path: str) -> tuple[int, str]:
    """Status and text of a GET; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except OSError:
        return 0, ""


def wait_until(condition: Callable[[], bool], what: str | Callable[[], str], seconds: float = 20) -> None:
    """Poll until `condition` holds; AssertionError saying `what` did not happen in time.

    what   a function is asked in the end: for a log, say
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() >= deadline:
            said = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {seconds} seconds: {said}")
        time.sleep(0.02)


@dataclass
class Service:
    """A service that runs. `pid` is gunicorn's main process, the parent of its workers."""

    port: int
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        """What it has said; nothing if that went to a device."""
        return self.log_file.read_text() if self.log_file.is_file() else ""

    def workers(self) -> list[int]:
        return sorted({*children(self.pid)} - {self.poller()})

    def poller(self) -> int | None:
        """The process that starts the poller, and starts it again; the log names it."""
        match = re.search(r"The source poller's process is (\d+)", self.log())
        return int(match[1]) if match else None

    def send(self, sig: signal.Signals) -> None:
        self.process.send_signal(sig)

    def wait(self) -> int:
        """The exit code, once it has ended by itself."""
        return self.process.wait(_STOP_SECONDS)

    def stop(self) -> int:
        """End it as an orchestrator does; the exit code."""
        self.send(signal.SIGTERM)
        return self.wait()

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET; OSError if the port refuses."""
        return self.request("GET", path)

    def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body of a POST to /predict."""
        return self.request("POST", "/predict", body)

    def request(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        with contextlib.closing(self.connection()) as connection:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, response.read()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def is_ready(self) -> bool:
        """Whether /ready says so; AssertionError if the process has ended."""
        assert self.process.poll() is None, f"exit code {self.process.returncode}\n{self.log()}"
        try:
            return self.get("/ready")[0] == 200
        except OSError:
            return False


@contextlib.contextmanager
def started(folder: Path, command: Sequence[str] = GUNICORN, **settings: str) -> Generator[Service]:
    """A service whose process runs, ready or not.

    folder   where the file of its log goes; a device or a pipe is the log itself
    """
    settings = {"PORT": str(free_port()), **settings}
    port = int(settings["PORT"]) if settings["PORT"].isdigit() else 0
    log_file = folder / f"service-{port}.log" if folder.is_dir() else folder
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=_environment(settings),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Service(port, process, log_file)
    finally:
        _end(process)


@contextlib.contextmanager
def served(folder: Path, command: Sequence[str] = GUNICORN, **settings: str) -> Generator[Service]:
    """A service that is ready, with as many workers as WEB_CONCURRENCY says; stopped in the end."""
    with started(folder, command, **settings) as service:
        wait_until(service.is_ready, "/ready answers 200", _START_SECONDS)
        if "WEB_CONCURRENCY" in settings:
            wait_until(lambda: len(service.workers()) == int(settings["WEB_CONCURRENCY"]), "all workers run")
        yield service


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Ours, without the settings that it may hold."""
    inherited = {name: value for name, value in os.environ.items() if name not in DECLARED}
    return {**inherited, "GUNICORN_CMD_ARGS": "", "PYTHONUNBUFFERED": "1", **settings}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Its session is its own: what it started ends with it, even if it was killed itself."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@dataclass
class Tally:
    """What became of the requests of a load.

    answered   full and correct responses
    lost       what happened instead, for requests that a worker had taken
    refused    connections refused or reset before anything took their request
    reset      those of them that the kernel had completed before
    retried    keep-alive connections that ended before the first byte of a response
    """

    answered: int = 0
    refused: int = 0
    reset: int = 0
    retried: int = 0
    lost: Counter[str] = field(default_factory=Counter)


@contextlib.contextmanager
def load(
    service: Service, body: bytes, expected: bytes, *, keep_alive: bool, clients: int = 8
) -> Generator[Tally]:
    """Clients that post `body` one after the other while the block runs, from the first answer on."""
    tally, done, lock = Tally(), threading.Event(), threading.Lock()
    threads = [
        threading.Thread(target=_client, args=(service, body, expected, keep_alive, tally, done, lock))
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        progress(tally)
        yield tally
    finally:
        done.set()
        for thread in threads:
            thread.join()


def progress(tally: Tally, answers: int = 50) -> None:
    """Wait until so many more requests have been answered."""
    goal = tally.answered + answers
    wait_until(lambda: tally.answered >= goal, f"{answers} more answers, after {tally}")


def _client(
    service: Service,
    body: bytes,
    expected: bytes,
    keep_alive: bool,
    tally: Tally,
    done: threading.Event,
    lock: threading.Lock,
) -> None:
    connection = service.connection()
    while not done.is_set():
        outcome = _one_request(connection, body, expected)
        with lock:
            if outcome == "answered":
                tally.answered += 1
            elif outcome in ("refused", "reset"):
                tally.refused += 1
                tally.reset += outcome == "reset"
            elif outcome == "retried":
                tally.retried += 1
            else:
                tally.lost[outcome] += 1
        if not keep_alive or outcome != "answered":
            connection.close()
        if outcome in ("refused", "reset"):
            done.wait(0.01)
    connection.close()


def _one_request(connection: http.client.HTTPConnection, body: bytes, expected: bytes) -> str:
    """A worker that takes a request and fails closes the connection; the kernel, which no worker
    took it from, resets it. On a connection used before, the end may just have crossed the request.
    """
    used = connection.sock is not None
    try:
        if not used:
            connection.connect()
    except (ConnectionRefusedError, ConnectionResetError):
        return "refused"
    except OSError as error:
        return f"no connection: {error!r}"
    try:
        connection.request("POST", "/predict", body)
        response = connection.getresponse()
    except http.client.RemoteDisconnected:
        return "retried" if used else "closed without a response"
    except (ConnectionResetError, BrokenPipeError):
        return "retried" if used else "reset"
    except OSError as error:
        return f"no response: {error!r}"
    try:
        content = response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"half a response: {error!r}"
    return "answered" if (response.status, content) == (200, expected) else f"{response.status}: {content!r}"
