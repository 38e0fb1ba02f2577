"""What input and output need of a place for files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from skdeploy.errors import BatchError, SettingsError


class Stored(NamedTuple):
    """A file: its name below the storage's root, with slashes, and its size in bytes."""

    name: str
    size: int


class Conflict(Exception):
    """Somebody else has changed the file; nothing was written."""


class Storage(Protocol):
    """Files by name, each of them whole or not there.

    where       for messages; has no credentials
    exclusive   whether `held` keeps every other run away
    scratch     where a file must be made so that it can be put in its place at once; None: anywhere
    """

    where: str
    exclusive: bool
    scratch: Path | None

    def files(self, prefix: str) -> Iterator[Stored]:
        """All files whose names begin with `prefix`, at any depth, in the order of their names."""

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders directly in the folder `prefix`, which ends with a slash or is empty."""

    def read(self, name: str) -> tuple[bytes, str] | None:
        """A file's content and the tag of that content; None if it is not there."""

    def keep(self, name: str, file: Path) -> None:
        """Put `file` there, unless there is one of the same size: names follow from contents."""

    def replace(self, name: str, content: bytes, tag: str | None) -> str:
        """Replace the file that has the tag, or make one where there is none (`tag` None); the new tag.

        Raises Conflict if another tag is found; of several that replace at once, one does.
        """

    def remove(self, name: str) -> None:
        """Delete a file; fine if it is not there."""

    def held(self, name: str) -> AbstractContextManager[None]:
        """Keep other runs of this storage away from `name`; IntervalHeld at once if one is at it."""

    def filesystem(self) -> Any:
        """The same place, as pyarrow finds it: all of the machine, or all of the store."""

    def require_conditions(self, name: str, content: bytes) -> None:
        """Raise an error if `replace` cannot keep its promise here; tried on `name`, which has `content`."""


def open_storage(url: str, variable: str, error: type[BatchError]) -> Storage:
    """The place that a URL names: a path, file:///folder, or s3://bucket/prefix.

    variable   the setting, for messages
    error      what is raised when the place fails
    """
    scheme, rest = split(url)
    if scheme == "s3":
        from skdeploy.batch.files.s3 import S3Storage

        bucket, _, prefix = rest.partition("/")
        if not bucket:
            raise SettingsError(f"{variable} names no bucket: write s3://bucket/prefix.")
        return S3Storage(bucket, prefix, variable, error)
    if scheme != "file":
        raise SettingsError(f"{variable} has the scheme {scheme}://: give a folder, or s3://bucket/prefix.")
    from skdeploy.batch.files.local import LocalStorage

    return LocalStorage(Path(rest), variable, error)


def split(url: str) -> tuple[str, str]:
    """A URL's scheme and what follows it; a plain path has the scheme "file"."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", url)
    if found is None:
        return "file", url
    scheme = found[1].lower()
    if scheme == "file":
        return scheme, unquote(urlsplit(url).path)
    return scheme, url[found.end() :]
