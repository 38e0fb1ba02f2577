"""A folder from which models are unpickled: only this user, or root, may own or change what lies there."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from skdeploy.errors import SettingsError
from skdeploy.writing import write

_log = logging.getLogger(__name__)

# The permissions of the folder's files: what may be unpickled, or says what is.
PRIVATE = 0o600


class Untrusted(OSError):
    """Another user owns or may change it, or it is no regular file; `str(error)` has the remedy."""


class TrustedFolder:
    """A folder of one service. Permissions are checked at each reading; symbolic links in it are refused.

    setting   the variable that names the folder, for messages
    """

    def __init__(self, path: Path, setting: str) -> None:
        self.path = path
        self._setting = setting

    def make(self) -> None:
        """Make the folder if it is missing. Raises SettingsError if others may write there, or OSError."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            os.close(self._open())
        except Untrusted as error:
            raise SettingsError(
                f"{self._setting}: {error}, or name a folder that does not exist yet, such as "
                f"{self._setting}={self.path / 'own'}."
            ) from None
        if self.path.stat().st_mode & stat.S_IWGRP:
            _log.warning(
                "%s: the group of %s may write there, and thereby run code in this service",
                self._setting,
                self.path,
            )

    def read(self, name: str) -> bytes:
        """The file's content. Raises FileNotFoundError, Untrusted, or another OSError."""
        folder = self._open()
        try:
            # A planted link is not followed, and a planted pipe does not keep us waiting.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)
        with os.fdopen(file, "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Untrusted(f"{self.path / name} is not a regular file: remove it")
            if reason := _distrust(status):
                raise Untrusted(f"{self.path / name} {reason}: remove it")
            return opened.read()

    def write(self, name: str, content: bytes) -> None:
        """Replace a file whole, or make it. Raises OSError."""
        write(self.path / name, content, PRIVATE)

    def _open(self) -> int:
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        reason = _distrust(os.fstat(folder))
        if reason is None:
            return folder
        os.close(folder)
        raise Untrusted(
            f"{self.path} {reason}, and models that are loaded from there run their code: "
            "let this user alone own and write it"
        )


def _distrust(status: os.stat_result) -> str | None:
    """Why others could have written what has this status; None if they could not."""
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to user {status.st_uid}, and this process is of user {os.geteuid()}"
    if status.st_mode & stat.S_IWOTH:
        return "may be written by every user"
    return None
