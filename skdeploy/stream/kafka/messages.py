"""Kafka's messages -> events; predictions and dead letters -> what is produced."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec

from skdeploy.stream.events import ORIGIN_HEADER, OURS, DeadLetter, Event, Position, Prediction

# What a message's fields, and its batch, take on the wire beside their contents, with room to spare.
_OVERHEAD = 1024
_PER_HEADER = 16
_PER_MESSAGE = 32
_JSON: tuple[str, bytes] = ("content-type", b"application/json")
_ONLY_JSON = [_JSON]


class Outgoing(NamedTuple):
    """What is produced. `timestamp` is in milliseconds; 0 is now."""

    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, str | bytes | None]]
    timestamp: int


# Half of the time that a named tuple's own constructor takes, once per event.
_event: Callable[[tuple[Any, ...]], Event] = partial(tuple.__new__, Event)
_position: Callable[[tuple[Any, ...]], Position] = partial(tuple.__new__, Position)


def event_of(message: Any) -> Event:
    """The event that a consumed message is."""
    known, timestamp = message.timestamp()
    position = _position((message.topic(), message.partition(), message.offset()))
    headers = message.headers() or ()
    return _event((message.value(), position, message.key(), headers, timestamp if known else None))


def prediction_message(prediction: Prediction) -> Outgoing:
    """Key, headers and timestamp are the event's, but for the type of the content."""
    event = prediction.event
    headers: Any = _ONLY_JSON
    if event.headers:
        headers = [header for header in event.headers if header[0].lower() != "content-type"]
        headers.append(_JSON)
    return Outgoing(prediction.value, event.key, headers, event.timestamp or 0)


def dead_letter_message(letter: DeadLetter, deployment: str, model: str, limit: int) -> Outgoing:
    """The event's bytes, key, timestamp and headers, and why it has no prediction.

    model   name and version
    limit   the most bytes of a message; a value that does not fit is cut
    """
    event = letter.event
    ours = _reasons(letter, deployment, model)
    given = [header for header in event.headers if not header[0].startswith(OURS)]
    value, key = event.value, event.key
    whole = _size(value, key, given) + _size(None, None, ours) + _OVERHEAD
    if whole > limit and value is not None:
        ours += [
            (OURS + "size", str(len(value)).encode()),
            (OURS + "sha256", hashlib.sha256(value).hexdigest().encode()),
        ]
        room = limit - _OVERHEAD - _size(None, None, ours)
        if _size(None, key, given) > room:
            # An event of keys and headers alone is none that a producer of records would send.
            key, given = None, []
        value = value[: max(0, room - _size(None, key, given))]
    return Outgoing(value, key, [*given, *ours], event.timestamp or 0)


def size_of(message: Outgoing) -> int:
    """About the bytes that it takes on the wire."""
    return _size(message.value, message.key, message.headers) + _PER_MESSAGE


def _reasons(letter: DeadLetter, deployment: str, model: str) -> list[tuple[str, bytes | None]]:
    return [
        (ORIGIN_HEADER, str(letter.event.origin).encode()),
        (OURS + "reason", letter.reason.encode()),
        (OURS + "detail", letter.detail.encode()),
        (OURS + "cells", msgspec.json.encode(letter.listed_cells)),
        (OURS + "deployment", deployment.encode()),
        (OURS + "model", model.encode()),
    ]


def _size(value: bytes | None, key: bytes | None, headers: Sequence[tuple[str, str | bytes | None]]) -> int:
    return (
        len(value or b"")
        + len(key or b"")
        + sum(len(name.encode()) + len(content or b"") + _PER_HEADER for name, content in headers)
    )
