"""A line of JSON per request on standard output, if SKDEPLOY_ACCESS_LOG asks for it.

A line is written by one call and is shorter than what a pipe takes whole, so that workers' lines do
not mix. No value of a record is in a line, and no header or path can forge one: all is JSON. A line
that cannot be written is lost; its request is not.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import threading
import time

import msgspec

from skdeploy.config import WebSettings
from skdeploy.web.context import RequestContext

_log = logging.getLogger(__name__)

# Characters. A control character takes six bytes: path and agent together stay below 4096 bytes.
_PATH, _AGENT, _ADDRESS = 256, 256, 64


class Line(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What a line has, in this order; what is not known is left out.

    ms, parse_ms, predict_ms, encode_ms   milliseconds
    bytes_in, bytes_out                   of the bodies
    key                                   the API key's name
    """

    time: str
    level: str
    request_id: str
    trace_id: str | None = None
    span_id: str | None = None
    method: str
    route: str
    path: str
    status: int
    ms: float
    parse_ms: float | None = None
    predict_ms: float | None = None
    encode_ms: float | None = None
    records: int | None = None
    rejected: int | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None
    model: str | None = None
    key: str | None = None
    remote: str | None = None
    agent: str | None = None


class RequestLog:
    """Writes lines to a file descriptor."""

    def __init__(self, *, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._encode = msgspec.json.Encoder().encode
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLOUT)
        # poll() raises if two threads call it.
        self._lock = threading.Lock()
        self._cut = b""
        self._clock = (-1, "")
        self._failing = False

    @classmethod
    def from_settings(cls, settings: WebSettings) -> RequestLog | None:
        """None without SKDEPLOY_ACCESS_LOG."""
        return cls() if settings.access_log else None

    def write(self, context: RequestContext) -> None:
        """Write the line of a request that has been answered; never raises for what it cannot write."""
        identity = context.identity
        line = Line(
            time=self._now(),
            level="error" if context.status >= 500 else "info",
            request_id=identity.request_id,
            trace_id=identity.trace_id,
            span_id=identity.span_id,
            method=context.method[:16],
            route=context.route.path,
            path=utf8(context.path)[:_PATH],
            status=context.status,
            ms=round(context.seconds * 1000, 3),
            parse_ms=_ms(context.parse),
            predict_ms=_ms(context.predict),
            encode_ms=_ms(context.encode),
            records=context.records,
            rejected=context.refused,
            bytes_in=context.body_size or None,
            bytes_out=len(context.answer),
            model=context.model,
            key=context.key,
            remote=context.remote[:_ADDRESS] or None,
            agent=utf8(context.header(b"user-agent") or "")[:_AGENT] or None,
        )
        self._put(self._encode(line) + b"\n")

    def _put(self, line: bytes) -> None:
        """One write; a pipe whose reader is behind is not waited for."""
        with self._lock:
            try:
                if not self._poll.poll(0):
                    raise BlockingIOError(errno.EAGAIN, "its reader is behind")
                whole = self._cut + line
                written = os.write(self._descriptor, whole)
            except OSError as error:
                if not self._failing:
                    _log.warning("Lines of the request log are lost: %s", error.strerror)
                self._failing = True
                return
            # What was cut off ends before the next line, not in it.
            self._cut = b"" if written == len(whole) else b"\n"
            self._failing = False

    def _now(self) -> str:
        """RFC 3339 in UTC, with milliseconds; the date is made once a second."""
        now = time.time()
        second, stamp = self._clock
        if second != int(now):
            second = int(now)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._clock = second, stamp
        return f"{stamp}.{int((now - second) * 1000):03d}Z"


def _ms(seconds: float | None) -> float | None:
    """Milliseconds, to the microsecond."""
    return None if seconds is None else round(seconds * 1000, 3)


def utf8(text: str) -> str:
    """What a WSGI string, which holds a byte per character, says."""
    return text if text.isascii() else text.encode("latin-1", "replace").decode("utf-8", "replace")
