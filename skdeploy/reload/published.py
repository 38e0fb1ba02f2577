"""The folder that the processes of one service share.

published.json        which model is to be served
<sha256>.model        its files: the exported model, the file that was fetched, or both
worker-<pid>.json     what each worker serves
poll.json             the outcome of the last poll
requested             its time of change: when a poll was requested
"""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Any

import msgspec

from skdeploy.errors import SettingsError
from skdeploy.model.handover import Facts, Handover
from skdeploy.source import Record
from skdeploy.trusted_folder import TrustedFolder

_log = logging.getLogger(__name__)

_PUBLISHED = "published.json"
_POLL = "poll.json"
_REQUESTED = "requested"


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A model that every worker is to serve.

    source   where it came from, with the SHA-256 of the file that was fetched there
    facts    what was found out of it, with the SHA-256 of the exported model
    """

    source: Record
    facts: Facts


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """What one worker serves, and why it does not serve what was published last, if so."""

    pid: int
    version: str
    sha256: str
    registry_version: str | None = None
    failure: str | None = None


class Poll(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a poll: when it was, RFC 3339, and what went wrong."""

    polled: str
    failure: str | None = None


class PublishedState:
    """Reads and writes that folder. Every file is the old one or the new one, never half of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = TrustedFolder(folder, "SKDEPLOY_STATE_DIR")

    def make(self) -> None:
        """Make the folder if it is missing. Raises SettingsError if it cannot be, or others may write."""
        try:
            self._files.make()
        except OSError as error:
            raise SettingsError(
                f"SKDEPLOY_STATE_DIR={str(self.folder)!r} cannot be made: {error.strerror}."
            ) from None

    def begin(self) -> None:
        """Remove what an earlier run left: this one serves what its source names. Raises OSError."""
        if (self.folder / _PUBLISHED).exists():
            _log.warning(
                "SKDEPLOY_STATE_DIR=%s holds the model of an earlier run, which is ignored", self.folder
            )
        for pattern in (_PUBLISHED, "*.model", "worker-*.json", _POLL, _REQUESTED):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def publish(self, record: Record, handover: Handover) -> None:
        """Let every worker serve this model. Raises OSError."""
        facts = handover.facts
        contents = {_model(record.digest): handover.fetched, _model(facts.exported): handover.exported}
        for name, content in contents.items():
            if content is not None:
                self._files.write(name, content)
        self._files.write(_PUBLISHED, msgspec.json.encode(Published(source=record, facts=facts)))
        for path in self.folder.glob("*.model"):
            if contents.get(path.name) is None:
                path.unlink(missing_ok=True)

    def stamp(self) -> int:
        """Changes when a model is published; 0 before the first."""
        return _changed(self.folder / _PUBLISHED)

    def published(self) -> tuple[Record, Handover] | None:
        """The model that is to be served, if one was published and can be read; why it cannot is logged.

        Its bytes are compared with their digests when it is loaded.
        """
        try:
            published = msgspec.json.decode(self._files.read(_PUBLISHED), type=Published)
            record, facts = published.source, published.facts
            exported = self._files.read(_model(facts.exported)) if facts.exported else None
            fetched = self._files.read(_model(record.digest)) if facts.pickled else None
        except FileNotFoundError:  # none yet, or another one at this moment
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("What was published in SKDEPLOY_STATE_DIR cannot be read, and is ignored: %s", error)
            return None
        return record, Handover(facts, record.digest, exported, fetched)

    def report(self, worker: Worker) -> None:
        """Say what a worker serves. Raises OSError."""
        self._files.write(f"worker-{worker.pid}.json", msgspec.json.encode(worker))

    def forget(self, pid: int) -> None:
        """The worker has ended."""
        (self.folder / f"worker-{pid}.json").unlink(missing_ok=True)

    def workers(self) -> list[Worker]:
        """What the workers that are alive serve, by process."""
        found = (self._read(path.name, Worker) for path in self.folder.glob("worker-*.json"))
        return sorted(
            (worker for worker in found if worker and _is_alive(worker.pid)), key=lambda worker: worker.pid
        )

    def note(self, poll: Poll) -> None:
        """Record the outcome of a poll. Raises OSError."""
        self._files.write(_POLL, msgspec.json.encode(poll))

    def last_poll(self) -> Poll | None:
        """The outcome of the last poll; None before the first."""
        poll: Poll | None = self._read(_POLL, Poll)
        return poll

    def request_poll(self) -> None:
        """Have the source polled now. Raises OSError."""
        self._files.write(_REQUESTED, b"")

    def requested(self) -> int:
        """Changes when a poll is requested."""
        return _changed(self.folder / _REQUESTED)

    def _read(self, name: str, kind: type[Any]) -> Any:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._files.read(name), type=kind)
        return None


def _model(digest: str | None) -> str:
    # A digest that holds a path leads nowhere.
    return Path(f"{digest}.model").name


def _changed(path: Path) -> int:
    try:
        status = path.stat()
    except FileNotFoundError:
        return 0
    # Two changes can fall into one tick of the clock; a file that was renamed is another one.
    return hash((status.st_mtime_ns, status.st_ino, status.st_ctime_ns))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
