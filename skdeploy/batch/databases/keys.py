"""A key as text, for the row that says where a large interval is to be gone on with."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from skdeploy.batch.chunks import Key

_READ: dict[str, Callable[[str], Any]] = {
    "bytes": bytes.fromhex,
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "Decimal": Decimal,
    "UUID": uuid.UUID,
}


def key_as_text(key: Key) -> str:
    """A key that `key_from_text` makes the same values of."""
    return json.dumps([[type(value).__name__, _plain(value)] for value in key])


def key_from_text(text: str) -> Key:
    """The key that `key_as_text` wrote."""
    return tuple(_READ[kind](value) if kind in _READ else value for kind, value in json.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal | uuid.UUID) else value
