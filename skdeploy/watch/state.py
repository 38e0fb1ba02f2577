"""The folder that the processes of one service share.

models/, sources/     the model that is to be served, as `skdeploy.source.cache` keeps it
workers/<pid>.json    what each worker serves
watcher.json          when the watcher looked last, and what went wrong
look                  its time of change: when somebody asked the watcher to look now
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from skdeploy.source.cache import PRIVATE, Cache, Record
from skdeploy.writing import write


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker serves, and why it does not serve what was published last, if so."""

    pid: int
    version: str
    sha256: str
    registry_version: str | None = None
    failure: str | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The watcher's last look: when, RFC 3339, and what went wrong."""

    looked: str
    failure: str | None = None


class State:
    """Reads and writes that folder. Every file is the old one or the new one, never half of it."""

    def __init__(self, folder: Path, uri: str) -> None:
        self._folder = folder
        self._uri = uri
        self._cache = Cache(folder)
        self._workers = folder / "workers"
        self._workers.mkdir(mode=0o700, parents=True, exist_ok=True)

    def publish(self, record: Record, content: bytes) -> None:
        """Let every worker serve this model. Raises OSError."""
        self._cache.put(record, content)

    def stamp(self) -> int:
        """Changes when a model is published; 0 before the first."""
        return _changed(self._folder / "sources")

    def published(self) -> tuple[Record, bytes] | None:
        """The model that is to be served, if one was published and is not damaged."""
        record = self._cache.record(self._uri)
        content = self._cache.content(record.digest) if record else None
        return (record, content) if record and content is not None else None

    def report(self, worker: Worker) -> None:
        """Say what a worker serves. Raises OSError."""
        write(self._workers / f"{worker.pid}.json", msgspec.json.encode(worker), PRIVATE)

    def forget(self, pid: int) -> None:
        """The worker has ended."""
        (self._workers / f"{pid}.json").unlink(missing_ok=True)

    def workers(self) -> list[Worker]:
        """What the workers that are alive serve, by process."""
        found = (_read(path, Worker) for path in self._workers.glob("*.json"))
        return sorted((one for one in found if one and _is_alive(one.pid)), key=lambda one: one.pid)

    def note(self, look: Look) -> None:
        """Say how the watcher's look went. Raises OSError."""
        write(self._folder / "watcher.json", msgspec.json.encode(look), PRIVATE)

    def last_look(self) -> Look | None:
        """How the watcher's last look went; None before the first."""
        look: Look | None = _read(self._folder / "watcher.json", Look)
        return look

    def ask(self) -> None:
        """Ask the watcher to look now. Raises OSError."""
        write(self._folder / "look", b"", PRIVATE)

    def asked(self) -> int:
        """Changes when the watcher is asked to look."""
        return _changed(self._folder / "look")


def _changed(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    # Two changes can fall into one tick of the clock; a file that was renamed is another one.
    return hash((status.st_mtime_ns, status.st_ino, status.st_ctime_ns))


def _read(path: Path, kind: type[Any]) -> Any:
    with contextlib.suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=kind)
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
