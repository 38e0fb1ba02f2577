"""The last good models, on disk: files named by their digest, and a record per address.

    <sha256>.model    a model's file
    <sha256>.json     by the digest of an address: which model came from there last, and when

Whatever is read is compared with its digest; what is damaged counts as not there.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

import msgspec

from skdeploy.trusted_folder import TrustedFolder

_log = logging.getLogger(__name__)

# The models that are kept; others are removed, the longest unused first.
KEPT = 5


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What came from an address last; the other fields are those of `Fetched`."""

    address: str
    digest: str
    where: str
    name: str
    version: str | None
    fetched: str
    verified: bool


class Cache:
    """A folder of models, which this user alone may write: pickles are loaded from it.

    setting   the variable that names the folder, for messages
    """

    def __init__(self, folder: Path, setting: str = "SKDEPLOY_MODEL_CACHE") -> None:
        self._folder = TrustedFolder(folder, setting)

    def make(self) -> None:
        """Make the folder if it is missing. Raises SettingsError if others may write there, or OSError."""
        self._folder.make()

    def content(self, digest: str) -> bytes | None:
        """The file with this digest; None if it is not there or is damaged, which is logged."""
        path = self._model(digest)
        try:
            content = self._folder.read(path.name)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("The cached model %s cannot be read: %s", path, error)
            return None
        if hashlib.sha256(content).hexdigest() != digest:
            _log.warning("The cached model %s is damaged, and not used", path)
            return None
        return content

    def record(self, address: str) -> Record | None:
        """What came from `address` last; None if nothing did, or it cannot be used, which is logged."""
        path = self._record(address)
        try:
            record = msgspec.json.decode(self._folder.read(path.name), type=Record)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("The cache's record %s cannot be read, and is not used: %s", path, error)
            return None
        if record.address != address:
            _log.warning(
                "The cache's record %s is of %s, not of %s, and is not used", path, record.address, address
            )
            return None
        return record

    def put(self, record: Record, content: bytes) -> None:
        """Keep `content`, and that it came from `record.address`; the folder is there. Raises OSError."""
        model = self._model(record.digest)
        if self.content(record.digest) is None:
            self._folder.write(model.name, content)
        os.utime(model)
        self._folder.write(self._record(record.address).name, msgspec.json.encode(record))
        models = sorted(self._folder.path.glob("*.model"), key=lambda path: path.stat().st_mtime)
        for path in models[:-KEPT]:
            path.unlink(missing_ok=True)

    def confirm(self, address: str) -> None:
        """The source has just named what is kept from `address`."""
        with suppress(OSError):
            os.utime(self._record(address))

    def age(self, address: str) -> float:
        """Seconds since the source last named what is kept from `address`, which has a record."""
        return max(0.0, time.time() - self._record(address).stat().st_mtime)

    def _model(self, digest: str) -> Path:
        return self._folder.path / f"{digest}.model"

    def _record(self, address: str) -> Path:
        return self._folder.path / f"{hashlib.sha256(address.encode()).hexdigest()}.json"
