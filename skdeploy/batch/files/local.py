"""Files in a folder of this machine, or of a file system that it mounts."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem

from skdeploy import writing
from skdeploy.batch.files.storage import Conflict, Storage, Stored
from skdeploy.errors import BatchError, IntervalHeld

# Of the whole folder, held for as long as a manifest is replaced.
_LOCK = "_lock"
_SCRATCH = ".partial"


class LocalStorage(Storage):
    """A folder. Locks are flock's, which the system drops when their process dies, however it dies."""

    exclusive = True

    def __init__(self, root: Path, variable: str, error: type[BatchError]) -> None:
        self._root = root
        self._variable = variable
        self._error = error
        self.where = str(root)
        self.scratch: Path | None = root / _SCRATCH

    def files(self, prefix: str) -> Iterator[Stored]:
        """See Storage; files that begin with a dot are nobody's."""
        folder = self._root / prefix.rpartition("/")[0]
        with self._told("read"):
            found = [
                Stored(path.relative_to(self._root).as_posix(), path.stat().st_size)
                for path in folder.rglob("*")
                if path.is_file() and not path.name.startswith(".")
            ]
        yield from sorted(file for file in found if file.name.startswith(prefix))

    def folders(self, prefix: str) -> list[str]:
        """See Storage."""
        with self._told("read"):
            try:
                return sorted(entry.name for entry in os.scandir(self._root / prefix) if entry.is_dir())
            except FileNotFoundError:
                return []

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See Storage."""
        with self._told("read"):
            try:
                content = (self._root / name).read_bytes()
            except FileNotFoundError:
                return None
        return content, _tag(content)

    def keep(self, name: str, file: Path) -> None:
        """See Storage."""
        target = self._root / name
        with self._told("written"):
            if target.exists() and target.stat().st_size == file.stat().st_size:
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
            file.replace(target)

    def replace(self, name: str, content: bytes, tag: str | None) -> str:
        """See Storage."""
        target = self._root / name
        with self._told("written"):
            target.parent.mkdir(parents=True, exist_ok=True)
            with _locked(self._root / _LOCK, fcntl.LOCK_EX):
                there = self.read(name)
                if tag != (there and there[1]):
                    raise Conflict(name)
                writing.write(target, content)
        return _tag(content)

    def remove(self, name: str) -> None:
        """See Storage; folders that are empty then go as well."""
        path = self._root / name
        with self._told("written"):
            path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                path.parent.rmdir()

    @contextlib.contextmanager
    def held(self, name: str) -> Iterator[None]:
        """See Storage."""
        path = self._root / name
        with contextlib.ExitStack() as stack:
            with self._told("written"):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(_locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
                except BlockingIOError:
                    raise IntervalHeld(
                        f"Another run is writing this interval ({name} in {self.where} is locked): "
                        "wait until it has ended."
                    ) from None
            yield

    def filesystem(self) -> Any:
        """See Storage."""
        return LocalFileSystem()

    def require_conditions(self, name: str, content: bytes) -> None:
        """See Storage; flock keeps the promise."""

    @contextlib.contextmanager
    def _told(self, done: str) -> Iterator[None]:
        """What the system says, as the storage's own error."""
        try:
            yield
        except OSError as error:
            named = f" ({error.filename})" if error.filename else ""
            raise self._error(
                f"{self._variable}: {self.where} cannot be {done}: {error.strerror or error}{named}."
            ) from None


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def _tag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
