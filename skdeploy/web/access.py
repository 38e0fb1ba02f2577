"""Who may ask: API keys, by a file that may change while the service runs.

A key comes as `X-API-Key: KEY`, as `Authorization: Bearer KEY`, or as the password of HTTP Basic,
which a browser asks for. Open routes ask for none; `/admin/reload` asks for SKDEPLOY_ADMIN_TOKEN, which is
no API key, as no API key is a SKDEPLOY_ADMIN_TOKEN.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from skdeploy.api_keys import digest_of, parse
from skdeploy.config import WebSettings
from skdeploy.errors import SettingsError
from skdeploy.web.context import RequestContext
from skdeploy.web.problems import HEADERS, problem

_log = logging.getLogger(__name__)

# Seconds between looks at the file.
_LOOK_SECONDS = 1.0
# A header each: browsers do not find a second scheme in the first one's header.
CHALLENGES = [
    ("WWW-Authenticate", 'Basic realm="skdeploy", charset="UTF-8"'),
    ("WWW-Authenticate", 'Bearer realm="skdeploy"'),
]
_REFUSAL = msgspec.json.encode(
    problem(
        401,
        "unauthorized",
        "Unauthorized",
        detail="Send an API key as X-API-Key: KEY, as Authorization: Bearer KEY, "
        "or as the password of HTTP Basic.",
    )
)

_Stamp = tuple[int, int, int, int]


def refusal() -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body for a request without a key or with an unknown one: the same to both."""
    return 401, [*HEADERS, *CHALLENGES], _REFUSAL


class KeyRing:
    """The keys that are accepted now. Its `repr` shows none.

    The file is looked at once a second, by the first request of that second. One that cannot be
    read or holds no key changes nothing, and is said in the log.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises SettingsError if the file is missing, empty or broken.

        clock   seconds that never go back
        """
        self._path, self._clock = path, clock
        self._seen = self._stamp()
        try:
            self._entries = self._read()
        except OSError as error:
            raise SettingsError(
                f"SKDEPLOY_API_KEYS_FILE={str(path)!r} cannot be read: {error.strerror}. Correct it, or "
                "unset it: "
                "then no key is asked for."
            ) from None
        # A worker, forked from who read the file, looks before it trusts it.
        self._look_at = -1.0

    @classmethod
    def from_settings(cls, settings: WebSettings) -> KeyRing | None:
        """The ring of SKDEPLOY_API_KEYS_FILE; None if it is not set. Raises SettingsError."""
        return cls(Path(settings.api_keys_file)) if settings.api_keys_file else None

    def name_of(self, context: RequestContext) -> str | None:
        """The name of the key that a request came with; None if that is no key of ours."""
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + _LOOK_SECONDS
            self._look()
        given = _given(context)
        if given is None:
            return None
        digest, found = digest_of(given), None
        # All of them, whichever fits: the time says nothing of the place.
        for name, known in self._entries:
            if hmac.compare_digest(digest, known):
                found = name
        return found

    def _look(self) -> None:
        """Take what the file holds now, if it is another one than before."""
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._entries = self._read()
        except (OSError, SettingsError) as error:
            _log.error("The API keys stay the old ones: %s", error)
            return
        _log.info("The API keys are now those of %s", ", ".join(sorted({name for name, _ in self._entries})))

    def _stamp(self) -> _Stamp | None:
        """What changes when the file does, or its permissions; None if there is none.

        Links are followed: a secret that Kubernetes mounts is a link to its newest version.
        """
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[tuple[str, bytes], ...]:
        where = f"SKDEPLOY_API_KEYS_FILE={str(self._path)!r}"
        with self._path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
        try:
            entries = parse(content.decode(), where)
        except UnicodeDecodeError:
            raise SettingsError(f"{where} is not UTF-8 text.") from None
        if mode & (stat.S_IROTH | stat.S_IWOTH):
            _log.warning("%s may be read or written by everybody (mode %o): chmod 640", where, mode)
        return entries


def _given(context: RequestContext) -> str | None:
    """The key that a request came with, whatever it is."""
    key = context.header(b"x-api-key")
    if key is not None:
        return key
    scheme, _, credentials = (context.header(b"authorization") or "").partition(" ")
    scheme = scheme.lower()
    if scheme == "bearer":
        return credentials.strip()
    if scheme != "basic":
        return None
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None
