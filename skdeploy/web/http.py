"""HTTP/1.1 on one connection of the event loop: httptools parses, this class bounds, orders and writes.

Requests that come pipelined are answered at the same time, and their answers leave in the order of the
requests. A message that httptools or a limit refuses is answered after those before it, and ends the
connection: where it ends cannot be known, and what follows it must not be taken for a request.
HTTP/2, h2c and WebSocket are not offered: an Upgrade header is ignored, as RFC 9110 allows.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httptools

from skdeploy.web.context import DRAIN_BYTES, DRAIN_SECONDS, RequestContext, decode_path
from skdeploy.web.problems import HttpProblem

if TYPE_CHECKING:
    from skdeploy.web.bodies import BodyMemory

# Of a request's head: fields, bytes of one field, bytes of all of it.
MAX_FIELDS = 100
MAX_FIELD = 8 * 1024
MAX_HEAD = 64 * 1024
# Bytes of chunk sizes, extensions and trailers beside each byte of a chunked body.
_CHUNK_OVERHEAD = 16
# Bytes per second that a body has to come with, and an answer has to be taken with, beyond CLIENT_TIMEOUT.
MIN_RATE = 10 * 1024
# Pipelined requests that are answered at the same time.
_MAX_PIPELINED = 32
# Seconds for which a client is still read after an answer that ends its connection: TCP drops the answer if
# bytes are unread when the socket is closed.
_LINGER = 2.0

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("latin-1") for status in HTTPStatus
}
_OURS = frozenset({"content-length", "date", "connection", "transfer-encoding"})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# RFC 9110, section 5.6.2: a host is no list.
_SINGLE = frozenset({b"host", b"content-length", b"content-type", b"authorization", b"x-api-key"})


class Refused(Exception):
    """A message that cannot be taken for a request; the problem says why."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = HttpProblem(status, slug, HTTPStatus(status).phrase, detail)


def malformed(detail: str) -> Refused:
    """400: the message is not written as HTTP demands."""
    return Refused(400, "malformed-request", detail)


class LoopRequest(RequestContext):
    """A request that the event loop reads.

    protocol    the connection that it came by
    version     "1.0" or "1.1"
    port        the server's
    keep_alive  whether the client wants to use the connection again
    problem     why it is refused, whatever it asks for
    oversized   its body is larger than MAX_BODY: it is read, and dropped
    drained     bytes of an oversized body that were dropped
    chunks      what has come of its body
    held        bytes of it that the worker's BodyMemory counts
    output      the answer's bytes, once there are some
    gone        the client has left
    """

    __slots__ = (
        "chunks", "drained", "gone", "held", "keep_alive", "output", "oversized", "port",
        "problem", "protocol", "version",
    )  # fmt: skip

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__()
        self.protocol = protocol
        self.version = "1.1"
        self.port = 0
        self.keep_alive = True
        self.problem: HttpProblem | None = None
        self.oversized = False
        self.chunks: list[bytes] = []
        self.held = self.drained = 0
        self.output: bytes | None = None
        self.gone = False

    def read(self, limit: int) -> bytes:
        """The request's body. Raises HttpProblem."""
        if self.problem is not None:
            raise self.problem
        return super().read(limit)


class Limits:
    """What a worker grants its clients.

    client_timeout   seconds for a head, without a byte of a body, and without taking an answer
    keepalive        seconds that an idle connection is kept
    max_body         bytes
    is_trusted       whether a peer's address is a proxy whose X-Forwarded-Proto is believed
    """

    def __init__(
        self, client_timeout: float, keepalive: float, max_body: int, is_trusted: Callable[[str], bool]
    ) -> None:
        self.client_timeout, self.keepalive, self.max_body = client_timeout, keepalive, max_body
        self.is_trusted = is_trusted


class Tails:
    """The last lines of every head: the date, and whether the connection stays open; made once a second."""

    def __init__(self) -> None:
        self.keep = self.close = b""

    def renew(self) -> None:
        """Called once a second."""
        date = time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT\r\n", time.gmtime()).encode()
        self.keep = date + b"Connection: keep-alive\r\n\r\n"
        self.close = date + b"Connection: close\r\n\r\n"


class HttpProtocol(asyncio.Protocol):
    """One connection.

    handle       is given each request when it is complete; `respond` takes its answer
    connections  of this worker; this one is in it while it is open
    memory       counts the bodies that this worker holds
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        tails: Tails,
        memory: BodyMemory,
        connections: set[HttpProtocol],
        handle: Callable[[LoopRequest], None],
    ) -> None:
        self._loop, self._limits, self._tails, self._memory = loop, limits, tails, memory
        self._connections, self._handle = connections, handle
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        # Requests in their order, from the end of their head until their answer is written; and those of them
        # that are complete and wait for their turn.
        self._open: deque[LoopRequest] = deque()
        self._ready: deque[LoopRequest] = deque()
        self._starting = False
        self._request: LoopRequest | None = None
        self._url = b""
        self._in_head = False
        self._head_size = self._message_size = self._fields = 0
        self._fresh = True
        self._ended = False  # no further request is read
        self._discards = False  # the client may still be sending what is not read
        self._closing_at = 0.0  # when a connection that was answered for the last time is closed
        self._last = False  # the next answer is the last one
        self._write_paused_at = 0.0
        self._read_paused_by: set[str] = set()
        self._since = self._received_at = loop.time()
        self._scheme, self._remote, self._trusted = "http", "", False
        self._host, self._port = "", 0

    # asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._remote = peer[0] if isinstance(peer, tuple) else ""
        self._host, self._port = here[:2] if isinstance(here, tuple) else ("", 0)
        self._scheme = "https" if transport.get_extra_info("ssl_object") else "http"
        self._trusted = self._limits.is_trusted(self._remote)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """The connection is gone; what it asked for is dropped before it is scored."""
        self._connections.discard(self)
        self._ended = True
        for request in (*self._open, *([self._request] if self._request else [])):
            request.gone = True
            self._memory.release(request)
        self._open.clear()
        self._ready.clear()
        self._request = None

    def data_received(self, data: bytes) -> None:
        """Bytes of one or several requests."""
        self._received_at = self._loop.time()
        if self._ended:
            return
        self._fresh = True
        while data:
            data = self._feed(data)

    def _feed(self, data: bytes) -> bytes:
        """Parse; what is left to parse anew behind a request that asked for another protocol."""
        try:
            self._parser.feed_data(data)
            if self._request is not None:
                self._bound(len(data))
        except httptools.HttpParserUpgrade as upgrade:
            # The request has been handled; what follows it is HTTP/1.1 all the same.
            self._parser = httptools.HttpRequestParser(self)
            return data[upgrade.args[0] :]
        except Refused as refused:
            self._refuse(refused)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refused):
                raise
            self._refuse(error.__context__)
        except httptools.HttpParserError as error:
            self._refuse(malformed(_sentence(self._request, error)))
        return b""

    def _bound(self, size: int) -> None:
        """Refuse a head without an end, and chunks that are nearly all overhead."""
        request = self._request
        if request is None:
            return
        if self._in_head:
            # A head that begins behind other requests in one read is counted from the next read on.
            self._head_size += size if self._fresh else 0
            if self._head_size > MAX_HEAD:
                raise Refused(431, "head-too-large", f"The head is larger than {MAX_HEAD} bytes.")
        elif b"transfer-encoding" in request.headers:
            self._message_size += size
            if self._message_size > MAX_HEAD + _CHUNK_OVERHEAD * request.body_size:
                raise malformed("The chunks are nearly all overhead.")

    def eof_received(self) -> bool:
        """The client sends no more; it may still wait for answers."""
        request = self._request
        if request is not None and not self._in_head:
            self._refuse(malformed(f"The body ended after {request.body_size} bytes."))
        self._ended = True
        self._request = None
        # TLS has no half-closed connections.
        return bool(self._open) and self._scheme == "http"

    def pause_writing(self) -> None:
        """The client does not take its answers: no further request is looked at until it does."""
        self._write_paused_at = self._loop.time()
        self._pause("answers")

    def resume_writing(self) -> None:
        """It has taken them."""
        self._write_paused_at = 0.0
        self._resume("answers")
        self._start()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._request = LoopRequest(self)
        self._url = b""
        self._in_head = True
        self._head_size = self._message_size = self._fields = 0
        self._since = self._loop.time()

    def on_url(self, url: bytes) -> None:
        """A piece of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field; or a trailer, which is dropped."""
        request = self._request
        if request is None or not self._in_head:
            return
        self._fields += 1
        name = name.lower()
        headers = request.headers
        if name not in headers:
            headers[name] = value
        elif name in _SINGLE:
            raise malformed(f"The header {name.decode('latin-1')} came twice.")
        else:
            headers[name] += (b"; " if name == b"cookie" else b", ") + value

    def on_headers_complete(self) -> None:
        """The head has come; the request takes its place among the answers."""
        request = self._request
        if request is None:
            return
        self._in_head = False
        parser, headers = self._parser, request.headers
        request.version = parser.get_http_version()
        request.method = parser.get_method().decode("latin-1")
        request.keep_alive = parser.should_keep_alive()
        request.scheme, request.remote = self._scheme, self._remote
        request.host, request.port = self._host, self._port
        if self._trusted and headers.get(b"x-forwarded-proto", b"").strip().lower() == b"https":
            request.scheme = "https"
        if self._url == b"/predict":
            request.path = "/predict"
        else:
            self._set_target(request)
        if request.version != "1.1" or b"host" not in headers:
            _check_version(request)
        if self._fields > MAX_FIELDS:
            raise Refused(431, "too-many-fields", f"The head has more than {MAX_FIELDS} fields.")
        if sum(map(len, headers.values())) + len(self._url) > MAX_FIELD:
            _check_sizes(request, self._url)
        self._open.append(request)
        length = headers.get(b"content-length")
        if length is not None and int(length) > self._limits.max_body:
            request.oversized = True
            request.body_size = int(length)
        if b"expect" in headers:
            self._expect(request)
        self._since = self._loop.time()

    def _set_target(self, request: LoopRequest) -> None:
        if self._url == b"*":
            request.path = "*"
            return
        try:
            url = httptools.parse_url(self._url)
        except httptools.HttpParserInvalidURLError:
            if request.method != "CONNECT":
                raise malformed("The request's target is no URL.") from None
            request.keep_alive = False
            return
        request.path = decode_path(url.path or b"/")
        request.query = (url.query or b"").decode("latin-1")

    def _expect(self, request: LoopRequest) -> None:
        if request.headers[b"expect"].lower() != b"100-continue":
            raise Refused(417, "expectation-failed", "Of Expect, only 100-continue is understood.")
        if request.oversized:
            # The client waits to be told, and has not sent it: it need not.
            self._ended = self._discards = True
            self._request = None
            self._complete(request)
        elif len(self._open) == 1 and request.version == "1.1":
            self._transport.write(_CONTINUE)

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body; what is too large is read and dropped, so that the client sees its answer."""
        request = self._request
        if request is None or self._ended:
            return
        if request.oversized:
            request.drained += len(chunk)
            if request.drained > DRAIN_BYTES or self._loop.time() > self._since + DRAIN_SECONDS:
                self._ended = self._discards = True
                self._request = None
                self._complete(request)
            return
        request.body_size += len(chunk)
        request.chunks.append(chunk)
        if request.body_size > self._limits.max_body:
            self._memory.release(request)
            request.oversized = True
            request.chunks.clear()
        else:
            self._memory.add(request, len(chunk))

    def on_message_complete(self) -> None:
        """The request has come to its end."""
        request, self._request = self._request, None
        self._fresh = False
        if request is None or self._ended:
            return
        if not request.oversized:
            chunks = request.chunks
            request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            request.chunks = []
        self._complete(request)

    # Requests and their answers

    def _complete(self, request: LoopRequest) -> None:
        request.began = time.monotonic()
        if not request.keep_alive:
            self._ended = True
        self._ready.append(request)
        if len(self._open) > _MAX_PIPELINED:
            self._pause("pipelined")
        self._start()

    def _start(self) -> None:
        """Give complete requests to `handle`, as many as may be answered at the same time."""
        if self._starting:  # `handle` has answered at once: the loop below goes on
            return
        self._starting = True
        while self._ready and not self._write_paused_at:
            if len(self._open) - len(self._ready) >= _MAX_PIPELINED:
                break
            self._handle(self._ready.popleft())
        self._starting = False

    def respond(self, request: LoopRequest, head: bytes, body: bytes) -> None:
        """Answer a request of this connection.

        head   the status line and all headers but Content-Length, Date and Connection
        """
        self._memory.release(request)
        if request.gone:
            return
        if self._last or (self._ended and request is self._open[-1] and self._request is None):
            request.keep_alive = False
        tail = self._tails.keep if request.keep_alive else self._tails.close
        if request.method == "HEAD":
            request.output = b"%bContent-Length: %d\r\n%b" % (head, len(body), tail)
        elif head.startswith(b"HTTP/1.1 204"):
            request.output = head + tail
        else:
            request.output = b"%bContent-Length: %d\r\n%b%b" % (head, len(body), tail, body)
        self._flush()

    def _flush(self) -> None:
        """Write the answers whose turn it is."""
        queue = self._open
        while queue and (output := queue[0].output) is not None:
            request = queue.popleft()
            self._transport.write(output)
            if not request.keep_alive:
                for later in queue:
                    later.gone = True
                    self._memory.release(later)
                queue.clear()
                self._ready.clear()
                self._finish()
                return
        if not queue:
            self._since = self._loop.time()
            if self._ended:
                self._finish()
        if "pipelined" in self._read_paused_by and len(queue) <= _MAX_PIPELINED // 2:
            self._resume("pipelined")
        if self._ready:
            self._start()

    def _finish(self) -> None:
        """After the last answer: let the client read it before the connection is closed."""
        self._ended = True
        if not self._discards or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._closing_at:
            self._closing_at = self._loop.time() + _LINGER
            if self._read_paused_by:
                self._read_paused_by.clear()
                self._transport.resume_reading()
            self._transport.write_eof()

    def _refuse(self, refused: Refused) -> None:
        """Answer a message that is no request, after those before it, and read no further."""
        request = self._request or LoopRequest(self)
        if not self._open or self._open[-1] is not request:
            self._open.append(request)
        self._memory.release(request)
        request.chunks.clear()
        request.problem = refused.problem
        request.keep_alive = False
        self._request = None
        self._discards = True
        self._complete(request)

    def _pause(self, reason: str) -> None:
        if not self._read_paused_by and not self._transport.is_closing():
            self._transport.pause_reading()
        self._read_paused_by.add(reason)

    def _resume(self, reason: str) -> None:
        if reason in self._read_paused_by:
            self._read_paused_by.discard(reason)
            self._received_at = self._loop.time()
            if not self._read_paused_by and not self._transport.is_closing():
                self._transport.resume_reading()

    # What the worker asks of a connection

    def hold_body(self) -> None:
        """Read no further, because the worker holds too many bodies."""
        self._pause("memory")
        self._since = self._loop.time()

    def go_on(self) -> None:
        """Read on."""
        self._resume("memory")

    def rest(self, seconds: float) -> None:
        """Read no further request for a while."""
        if not self._transport.is_closing():
            self._pause("rest")
            self._loop.call_later(seconds, self._resume, "rest")

    def drain(self) -> None:
        """The worker is about to end: the next answer is the last one."""
        self._last = True

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come that is not answered."""
        return not self._open and self._request is None

    @property
    def idle_since(self) -> float:
        """The loop's time from which on it is idle."""
        return self._since

    def close(self) -> None:
        """End an idle connection."""
        self._transport.close()

    def expire(self, now: float) -> None:
        """End what has lasted too long; called a few times a second, `now` is the loop's time."""
        limits = self._limits
        if self._closing_at:
            if now > self._closing_at:
                self._transport.abort()
            return
        if self._write_paused_at:
            allowed = limits.client_timeout + self._transport.get_write_buffer_size() / MIN_RATE
            if now > self._write_paused_at + allowed:
                self._transport.abort()
            return
        request = self._request
        if request is not None:
            self._expire_request(request, now)
        elif not self._open and now > self._since + (
            limits.keepalive if self._fields else limits.client_timeout
        ):
            self._transport.close()

    def _expire_request(self, request: LoopRequest, now: float) -> None:
        timeout = self._limits.client_timeout
        if "memory" in self._read_paused_by:
            if now > self._since + timeout:
                detail = "The service holds as many unfinished bodies as it may. Come back later."
                self._refuse(Refused(503, "overloaded", detail))
        elif self._in_head:
            if now > self._since + timeout:
                self._refuse(Refused(408, "request-timeout", "The head did not arrive in time."))
        elif self._read_paused_by:
            return
        elif now > self._since + timeout + request.body_size / MIN_RATE or now > self._received_at + timeout:
            self._refuse(Refused(408, "request-timeout", "The body did not arrive in time."))


def head_of(status: int, headers: list[tuple[str, str]]) -> bytes:
    """A status line and header lines, without those that `HttpProtocol.respond` adds."""
    lines = []
    for name, value in headers:
        if "\r" in value or "\n" in value:
            raise ValueError(f"The header {name} of the answer holds a line break.")
        if name.lower() not in _OURS:
            lines.append(f"{name}: {value}\r\n")
    return STATUS_LINES.get(status, b"HTTP/1.1 %d \r\n" % status) + "".join(lines).encode("latin-1")


def _sentence(request: LoopRequest | None, error: Exception) -> str:
    if request is not None and b"transfer-encoding" in request.headers:
        return "The body's chunks are not written as HTTP demands."
    return f"The request is not written as HTTP demands: {error}."


def _check_version(request: LoopRequest) -> None:
    if request.version not in ("1.0", "1.1"):
        raise Refused(505, "version-not-supported", "HTTP/1.1 is spoken here.")
    if request.version == "1.1":
        raise malformed("HTTP/1.1 demands one Host header.")
    if b"transfer-encoding" in request.headers:
        raise malformed("HTTP/1.0 has no Transfer-Encoding.")


def _check_sizes(request: LoopRequest, url: bytes) -> None:
    if len(url) > MAX_FIELD:
        raise Refused(414, "target-too-long", f"The target is longer than {MAX_FIELD} bytes.")
    for name, value in request.headers.items():
        if len(name) + len(value) > MAX_FIELD:
            raise Refused(431, "field-too-large", f"A header field is larger than {MAX_FIELD} bytes.")
