"""A dead letter as a record of a Kinesis stream, which has no headers: one JSON object."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from skdeploy.model import Model
from skdeploy.stream.events import DeadLetter, Event
from skdeploy.stream.kinesis.putting import MOST_RECORD_BYTES

# Left free for the partition key, and for the size and digest of what is cut.
_SPARE = 2048
# Headers, cells and a key that are longer than this together are left out, in favour of the event's bytes.
_MOST_BESIDE = MOST_RECORD_BYTES // 4


def letter(dead: DeadLetter, deployment: str, model: Model) -> bytes:
    """`deployment`, `reason`, `detail`, `cells`, `origin`, `key`, `timestamp`, `headers`, `model`, `data`.

    `data` are the event's bytes in base64, null of a tombstone. If the whole would be too large for a
    record they are cut, and `size` and `sha256` of the whole stand beside them. The key is text, or
    `key_base64` if it is none; `headers`, of Kafka's events, are pairs of a name and base64.
    """
    passport = model.passport
    beside = {"cells": dead.listed_cells, **_key(dead.event), **_headers(dead.event)}
    document: dict[str, Any] = {
        "deployment": deployment,
        "reason": dead.reason,
        "detail": dead.detail,
        "origin": str(dead.event.origin),
        "timestamp": dead.event.timestamp,
        "model": {"name": passport.name, "version": passport.version},
        **(beside if len(_bytes(beside)) <= _MOST_BESIDE else {"cells": []}),
    }
    return _bytes(document | _data(dead.event.value, MOST_RECORD_BYTES - _SPARE - len(_bytes(document))))


def _data(value: bytes | None, room: int) -> dict[str, Any]:
    if value is None:
        return {"data": None}
    most = max(room, 0) // 4 * 3
    data: dict[str, Any] = {"data": base64.b64encode(value[:most]).decode()}
    if len(value) > most:
        data |= {"size": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    return data


def _key(event: Event) -> dict[str, Any]:
    if event.key is None:
        return {"key": None}
    try:
        return {"key": event.key.decode()}
    except UnicodeDecodeError:
        return {"key": None, "key_base64": base64.b64encode(event.key).decode()}


def _headers(event: Event) -> dict[str, Any]:
    if not event.headers:
        return {}
    encoded = [
        [name, None if value is None else base64.b64encode(value).decode()] for name, value in event.headers
    ]
    return {"headers": encoded}


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")
