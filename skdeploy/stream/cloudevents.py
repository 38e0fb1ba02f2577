"""An event's record: its value, or the `data` of the CloudEvent that it is (CloudEvents 1.0)."""

from __future__ import annotations

import base64
import binascii

import msgspec

from skdeploy.errors import MalformedBody
from skdeploy.schema import parse_json
from skdeploy.stream.events import Event, Headers

_STRUCTURED = "application/cloudevents+json"


class _Envelope(msgspec.Struct):
    specversion: str
    data: msgspec.Raw = msgspec.Raw()
    data_base64: str | None = None
    datacontenttype: str = "application/json"


_DECODER = msgspec.json.Decoder(_Envelope)


def record_of(event: Event) -> bytes:
    """The bytes that should be a record's JSON. Raises MalformedBody if the envelope is none.

    In the binary mode (headers `ce_...`) the value is the data; in the structured mode, which the
    header `content-type: application/cloudevents+json` says, it is in the envelope.
    """
    if event.value is None:
        raise MalformedBody("The event has no value: it is a tombstone.")
    if event.headers and _content_type(event.headers) == _STRUCTURED:
        return _data(event.value)
    return event.value


def _content_type(headers: Headers) -> str:
    for name, value in headers:
        if name.lower() == "content-type" and value is not None:
            return _essence(value.decode("latin-1"))
    return ""


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _data(value: bytes) -> bytes:
    # Refuses what is no JSON, or holds a key twice; msgspec would take the last one.
    if not isinstance(parse_json(value), dict):
        raise MalformedBody("The CloudEvent is no object.")
    try:
        envelope = _DECODER.decode(value)
    except msgspec.DecodeError as error:
        raise MalformedBody(f"The CloudEvent's envelope does not fit: {error}.") from None
    media_type = _essence(envelope.datacontenttype)
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise MalformedBody(f"The CloudEvent's data are {media_type!r}: JSON is expected.")
    if envelope.data_base64 is None:
        return bytes(envelope.data)
    try:
        return base64.b64decode(envelope.data_base64, validate=True)
    except binascii.Error:
        raise MalformedBody("The CloudEvent's data_base64 is not base64.") from None
