"""API keys: how one is made, and the file that knows them by their digests.

A line of the file is `name sha256`, with the digest of the key in hexadecimal digits; `#` begins a
comment. Keys are 256 random bits, so that a plain SHA-256 suffices: there is nothing to guess which
a slow or salted digest would protect.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from pathlib import Path

from skdeploy.errors import SettingsError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)


def new_key() -> str:
    """A random key: `skd_`, so that scanners for secrets know it, and 43 characters."""
    return "skd_" + secrets.token_urlsafe(32)


def digest_of(key: str) -> bytes:
    """The SHA-256 that the file keeps, 32 bytes; of anything, also of what can be no key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def line_for(name: str, key: str) -> str:
    """The file's line for a key. Raises SettingsError if the name is none."""
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{name!r} cannot name a key: use up to 64 letters, digits, '.', '_' and '-'.")
    return f"{name} {digest_of(key).hex()}\n"


def parse(content: str, where: str) -> tuple[tuple[str, bytes], ...]:
    """The names and digests of a file's text; keys may share a name while one replaces another.

    Raises SettingsError that names the line and never shows it: it may hold a key by mistake.
    """
    entries: dict[bytes, str] = {}
    for number, line in enumerate(content.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 2 or not _NAME.fullmatch(words[0]) or not _DIGEST.fullmatch(words[1]):
            raise SettingsError(
                f"{where}: line {number} is not a name and a SHA-256 of 64 hexadecimal digits, as "
                "`skdeploy key NAME` prints them."
            )
        digest = bytes.fromhex(words[1])
        if digest in entries:
            raise SettingsError(f"{where}: line {number} repeats a key: one key has one line.")
        entries[digest] = words[0]
    if not entries:
        raise SettingsError(f"{where} holds no key: add the line that `skdeploy key NAME` prints.")
    return tuple((name, digest) for digest, name in entries.items())


def append(path: Path, line: str) -> None:
    """Add a line to the file, which others may not read if it is new. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
        ended = not size or file.read(1) == b"\n"
        file.write(("" if ended else "\n").encode() + line.encode())
