"""The last good models, on disk: files named by their digest, and a record per URI.

    models/<sha256>          a model's file
    sources/<sha256>.json    by the URI's digest: which model came from there last, and when

Whatever is read is compared with its digest; what is damaged counts as not there.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import msgspec

from skdeploy.writing import write

_log = logging.getLogger(__name__)

# The models that are kept; others are removed, the longest unused first.
KEPT = 5
# The permissions of what may be unpickled, or says what is: the service's own alone.
PRIVATE = 0o600


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What came from a URI last; the fields are those of `Fetched`."""

    uri: str
    digest: str
    where: str
    name: str
    version: str | None
    fetched: str
    verified: bool


class Cache:
    """A folder of models. It must be writable by the service alone: pickles are loaded from it."""

    def __init__(self, folder: Path) -> None:
        self._models = folder / "models"
        self._records = folder / "sources"

    def content(self, digest: str) -> bytes | None:
        """The file with this digest; None if it is not there or is damaged, which is logged."""
        path = self._models / digest
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("The cached model %s cannot be read: %s", path, error.strerror)
            return None
        if hashlib.sha256(content).hexdigest() != digest:
            _log.warning("The cached model %s is damaged, and not used", path)
            return None
        return content

    def record(self, uri: str) -> Record | None:
        """What came from `uri` last; None if nothing did, or the record is damaged, which is logged."""
        path = self._record_file(uri)
        try:
            record = msgspec.json.decode(path.read_bytes(), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("The cache's record %s cannot be read, and is not used: %s", path, error)
            return None
        return record if record.uri == uri else None

    def put(self, record: Record, content: bytes) -> None:
        """Keep `content`, and that it came from `record.uri`. Raises OSError."""
        for folder in (self._models, self._records):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.content(record.digest) is None:
            write(self._models / record.digest, content, PRIVATE)
        os.utime(self._models / record.digest)
        write(self._record_file(record.uri), msgspec.json.encode(record), PRIVATE)
        self._prune()

    def _record_file(self, uri: str) -> Path:
        return self._records / f"{hashlib.sha256(uri.encode()).hexdigest()}.json"

    def _prune(self) -> None:
        models = [path for path in self._models.iterdir() if not path.name.startswith(".")]
        for path in sorted(models, key=lambda path: path.stat().st_mtime)[:-KEPT]:
            path.unlink(missing_ok=True)
