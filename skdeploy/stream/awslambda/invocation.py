"""AWS's documents: an invocation -> events; what was not done -> batchItemFailures.

https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html, with-msk.html, with-kafka.html;
services-kinesis-batchfailurereporting.html and kafka-retry-configurations.html.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from skdeploy.errors import MalformedBody
from skdeploy.stream.events import Event, Headers, Position

_KINESIS = "aws:kinesis"
_KAFKA = ("aws:kafka", "SelfManagedKafka")


def events_of(document: Any) -> list[Event]:
    """The events that an invocation brings, in their order.

    Records that Amazon's producer library aggregated are not taken apart. Raises MalformedBody if the
    document is none of Kinesis or Kafka.
    """
    try:
        if isinstance(document, Mapping) and document.get("eventSource") in _KAFKA:
            batches: Mapping[str, Any] = document["records"]
            return [_of_kafka(record) for records in batches.values() for record in records]
        if isinstance(document, Mapping) and "Records" in document:
            return [_of_kinesis(record) for record in document["Records"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MalformedBody(f"The invocation is not as AWS documents it ({error!r}).") from None
    raise MalformedBody(f"The invocation is neither Kinesis' nor Kafka's: {_described(document)}.")


def failures(events: Iterable[Event], undone: Iterable[Event]) -> list[dict[str, Any]]:
    """`batchItemFailures`: the first event of each shard or partition that was not done.

    Lambda goes on there, so that those behind it come again, done or not.
    """
    positions = {event.position for event in undone}
    first: dict[tuple[str, int | str], Position] = {}
    for event in events:
        if event.position in positions:
            first.setdefault(event.position[:2], event.position)
    return [{"itemIdentifier": _identifier(position)} for position in first.values()]


def _identifier(position: Position) -> str | dict[str, Any]:
    if isinstance(position.number, int):
        return {"partition": f"{position.stream}-{position.shard}", "offset": position.number}
    return position.number


def _of_kinesis(record: Mapping[str, Any]) -> Event:
    if record.get("eventSource") != _KINESIS:
        source = record.get("eventSource") or record.get("EventSource")
        raise MalformedBody(f"The invocation is neither Kinesis' nor Kafka's: its records are {source!r}.")
    inner = record["kinesis"]
    shard = record["eventID"].partition(":")[0]
    return Event(
        value=_bytes(inner["data"]),
        position=Position(_stream(record["eventSourceARN"]), shard, inner["sequenceNumber"]),
        key=inner["partitionKey"].encode(),
        timestamp=round(1000 * inner["approximateArrivalTimestamp"]),
    )


def _stream(arn: str) -> str:
    """The stream's name; behind it an enhanced consumer's may follow."""
    return arn.partition(":stream/")[2].partition("/")[0]


def _of_kafka(record: Mapping[str, Any]) -> Event:
    return Event(
        value=_maybe_bytes(record.get("value")),
        position=Position(record["topic"], int(record["partition"]), int(record["offset"])),
        key=_maybe_bytes(record.get("key")),
        headers=_headers(record.get("headers") or ()),
        timestamp=record.get("timestamp"),
    )


def _headers(listed: Sequence[Mapping[str, Any]]) -> Headers:
    """Pairs of name and value, whose bytes are Java's: from -128 to 127."""
    return [
        (name, None if value is None else bytes(byte & 0xFF for byte in value))
        for header in listed
        for name, value in header.items()
    ]


def _maybe_bytes(text: str | None) -> bytes | None:
    return None if text is None else _bytes(text)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("a value is not base64") from None


def _described(document: Any) -> str:
    if not isinstance(document, Mapping):
        return f"it is no object but {type(document).__name__}"
    return f"its keys are {', '.join(map(repr, [*document][:5])) or 'none'}"
