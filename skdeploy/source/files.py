"""A model in a file of this machine."""

from __future__ import annotations

from pathlib import Path

from skdeploy.errors import SourceError
from skdeploy.source.target import Target


def resolve(path: Path) -> Target:
    """The file as it is now. Raises SourceError if it is not there."""
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    token = f"{stat.st_mtime_ns}-{stat.st_size}-{stat.st_ino}"
    return Target(token, str(path), path.stem, lambda: _read(path), local=True)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> SourceError:
    if isinstance(error, IsADirectoryError):
        return SourceError(
            "file",
            f"{path} is a folder, not a model's file.",
            "Name the file in it.",
        )
    if isinstance(error, FileNotFoundError):
        return SourceError(
            "file",
            f"There is no model at {path.absolute()}:",
            "correct the path, in the command or in SKDEPLOY_MODEL_URI; a relative one begins in the "
            "current folder.",
        )
    return SourceError(
        "file",
        f"The model at {path} cannot be read: {error.strerror}.",
        "Let this user read it.",
    )
