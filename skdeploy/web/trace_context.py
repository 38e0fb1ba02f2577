"""What a request is called: its id, and its place in a trace, as W3C Trace Context has them."""

from __future__ import annotations

import os
import re
import secrets
from itertools import count
from random import getrandbits
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from skdeploy.web.context import RequestContext

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
# Lower case only. A later version may have more parts, which are not understood.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
# "Sampled" and "random": the others are reserved, and not passed on.
_KNOWN_FLAGS = 0x03


class Identity(NamedTuple):
    """What a request and our part in answering it are called.

    request_id   the client's, or that of the trace, or a new one
    trace_id     32 hexadecimal digits; None if the request is in no trace
    span_id      16 digits: our part of the trace
    flags        those of `traceparent`: "sampled" and "random"
    """

    request_id: str
    trace_id: str | None = None
    span_id: str | None = None
    flags: int = 0

    def lines(self) -> bytes:
        """The same as `headers`, as lines of an answer's head."""
        if self.trace_id is None:
            return b"X-Request-ID: %b\r\n" % self.request_id.encode()
        return "".join(f"{name}: {value}\r\n" for name, value in self.headers()).encode()

    def headers(self) -> list[tuple[str, str]]:
        """The headers that tell the client: X-Request-ID, and traceparent if one came or a trace began."""
        if self.trace_id is None:
            return [("X-Request-ID", self.request_id)]
        traceparent = f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"
        return [("X-Request-ID", self.request_id), ("traceparent", traceparent)]


class _RequestIds:
    """Ids that no other process makes: a random beginning of the process's own, and a number."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew, as a process does that was forked."""
        self.beginning, self.numbers = secrets.token_hex(8), count(1)


_ids = _RequestIds()
os.register_at_fork(after_in_child=_ids.renew)


def parse_traceparent(value: str) -> tuple[str, int] | None:
    """Trace id and flags of a `traceparent`; None if it is not written as the standard says."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, parent_id, flags, rest = match.groups()
    if version == "ff" or (rest is not None and version == "00"):
        return None
    if trace_id == "0" * 32 or parent_id == "0" * 16:
        return None
    return trace_id, int(flags, 16) & _KNOWN_FLAGS


def given_id(context: RequestContext) -> str | None:
    """The id that the client has given to its request; None if it has given none, or one that is no id."""
    request_id = context.header(b"x-request-id")
    return request_id if request_id is not None and _REQUEST_ID.fullmatch(request_id) else None


def identify(context: RequestContext) -> Identity:
    """The id of a request, and its place in the trace that it came in, if it did."""
    headers = context.headers
    request_id = given_id(context) if b"x-request-id" in headers else None
    if b"traceparent" in headers:
        came = parse_traceparent(headers[b"traceparent"].decode("latin-1"))
        if came is not None:
            trace_id, flags = came
            # Not all digits may be zero. Python seeds its generator anew after a fork.
            return Identity(request_id or trace_id, trace_id, f"{getrandbits(64) or 1:016x}", flags)
    return Identity(request_id or f"{_ids.beginning}-{next(_ids.numbers):08x}")
