"""A pickle's globals, each with whether it may be imported."""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from skdeploy.audit.allowed import refusal
from skdeploy.audit.walking import Lost, walk
from skdeploy.errors import UnreadableModel

# A skops file is a zip archive, and no pickle: skops has a list of its own.
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, slots=True)
class Finding:
    """A global as module.name, and why it is refused (None: it is not)."""

    name: str
    why: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a file would import; `lost` says why it could not be read to its end, if so."""

    findings: tuple[Finding, ...]
    lost: str | None = None

    @property
    def refused(self) -> tuple[str, ...]:
        """The names that are refused."""
        return tuple(finding.name for finding in self.findings if finding.why)

    @property
    def passed(self) -> bool:
        """Whether all of it was read, and nothing is refused."""
        return self.lost is None and not self.refused


def audit(content: bytes, allowed: Collection[str] = ()) -> Report:
    """What the joblib pickle `content` would import. Executes and raises nothing.

    allowed   further globals, each as module.name
    """
    found: dict[tuple[str, str], None] = {}
    lost = None
    try:
        walk(_decompressed(content), found)
    except Lost as error:
        lost = str(error)
    except Exception as error:  # a made file may break anything, and then it is not read to its end
        lost = f"it cannot be followed ({type(error).__name__}: {error})"
    findings = tuple(Finding(f"{m}.{n}", refusal(m, n, allowed)) for m, n in sorted(found))
    return Report(findings, lost)


def require_audited(content: bytes, where: str, allowed: Collection[str] = ()) -> None:
    """Raise UnreadableModel if `content` is a pickle that fails the audit; skops files are let by."""
    if content.startswith(_ZIP):
        return
    report = audit(content, allowed)
    if report.passed:
        return
    if report.lost:
        raise UnreadableModel(
            f"{where} was not unpickled (AUDIT=1): {report.lost}. Save it with skdeploy.save, or unset AUDIT "
            "if you trust whoever made it."
        )
    raise UnreadableModel(
        f"{where} was not unpickled (AUDIT=1): it would import {', '.join(report.refused)}. If these are "
        f"yours, set AUDIT_ALLOWED={','.join([*allowed, *report.refused])}"
    )


def _decompressed(content: bytes) -> bytes:
    """As joblib would: by the file's first bytes. What follows the compressed stream is refused."""
    if content.startswith(_ZIP):
        raise Lost("it is a zip archive, no pickle")
    if content.startswith(b"\x04\x22\x4d\x18"):
        raise Lost("it is compressed with lz4, which the audit does not read")
    decompressor = _decompressor(content)
    if decompressor is None:
        return content
    plain = bytes(decompressor.decompress(content))
    if not decompressor.eof or decompressor.unused_data:
        raise Lost("the compressed file is cut, or goes on behind its end")
    return plain


def _decompressor(content: bytes) -> Any:
    if content.startswith(b"x"):
        return zlib.decompressobj()
    if content.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(31)
    if content.startswith(b"BZ"):
        return bz2.BZ2Decompressor()
    if content.startswith((b"\xfd7zXZ", b"\x5d\x00")):
        return lzma.LZMADecompressor()
    return None
