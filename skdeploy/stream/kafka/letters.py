"""A dead letter as it is read back: whence it came, why, and how it is put back or written down."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NamedTuple

import msgspec

from skdeploy.stream.events import ORIGIN_HEADER, OURS, Headers, Position

_REASON, _DETAIL, _CELLS = OURS + "reason", OURS + "detail", OURS + "cells"
_SIZE, _SHA256 = OURS + "size", OURS + "sha256"
# The reason of what somebody else wrote into the topic.
UNKNOWN = "unknown"


class Letter(NamedTuple):
    """One letter.

    origin      where its event stood first; None if no header says so
    reason      "invalid-record" and so on
    cells       the bad cells, as the header has them
    headers     the event's own
    timestamp   milliseconds since 1970 UTC
    cut         size and SHA-256 of a value of which only the start is here; None if it is whole
    """

    origin: Position | None
    reason: str
    detail: str
    cells: Any
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp: int
    cut: dict[str, str] | None

    def put_back_headers(self) -> list[tuple[str, bytes | None]]:
        """The event's own, and its origin, of which its prediction's id is made."""
        origin = [(ORIGIN_HEADER, str(self.origin).encode())] if self.origin else []
        return [*self.headers, *origin]


def letter_of(message: Any) -> Letter:
    """The letter that a consumed message is."""
    headers = message.headers() or []
    ours = {name: (value or b"").decode("utf-8", "replace") for name, value in headers if _is_ours(name)}
    known, timestamp = message.timestamp()
    return Letter(
        origin=Position.parse(ours.get(ORIGIN_HEADER, "")),
        reason=ours.get(_REASON) or UNKNOWN,
        detail=ours.get(_DETAIL, ""),
        cells=_cells(ours.get(_CELLS, "")),
        key=message.key(),
        value=message.value(),
        headers=[header for header in headers if not _is_ours(header[0])],
        timestamp=timestamp if known else 0,
        cut={"size": ours[_SIZE], "sha256": ours.get(_SHA256, "")} if _SIZE in ours else None,
    )


def line_of(letter: Letter) -> bytes:
    """The letter as a line of JSON, its end included: what is text as text, other bytes as base64."""
    document = {
        "origin": str(letter.origin) if letter.origin else None,
        "reason": letter.reason,
        "detail": letter.detail,
        "cells": letter.cells,
        "key": _written(letter.key),
        "headers": [[name, _written(value)] for name, value in letter.headers],
        "timestamp": letter.timestamp,
        "value": _written(letter.value),
    }
    if letter.cut:
        document["cut"] = letter.cut
    return msgspec.json.encode(document) + b"\n"


class _Bytes(msgspec.Struct, forbid_unknown_fields=True):
    base64: str


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    value: str | _Bytes | None
    origin: str | None = None
    reason: str = UNKNOWN
    detail: str = ""
    cells: Any = None
    key: str | _Bytes | None = None
    headers: list[tuple[str, str | _Bytes | None]] = []
    timestamp: int = 0
    cut: dict[str, str] | None = None


_LINES = msgspec.json.Decoder(_Line)


def letter_from(line: bytes) -> Letter:
    """What `line_of` wrote, as a hand has corrected it. Raises ValueError, saying what is wrong."""
    try:
        read = _LINES.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    origin = Position.parse(read.origin or "")
    if read.origin and origin is None:
        raise ValueError(f"the origin {read.origin!r} is not topic/partition/offset")
    return Letter(
        origin,
        read.reason,
        read.detail,
        read.cells,
        _read(read.key),
        _read(read.value),
        [(name, _read(value)) for name, value in read.headers],
        read.timestamp,
        read.cut,
    )


def _is_ours(name: str) -> bool:
    return name.startswith(OURS)


def _cells(text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode()) if text else []
    except msgspec.DecodeError:
        return text


def _written(content: bytes | None) -> str | dict[str, str] | None:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _read(content: str | _Bytes | None) -> bytes | None:
    if content is None:
        return None
    if isinstance(content, str):
        return content.encode()
    try:
        return base64.b64decode(content.base64, validate=True)
    except binascii.Error:
        raise ValueError("a value of base64 is none") from None
