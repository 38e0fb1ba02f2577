"""HTTP/1.1 on one connection of the event loop: httptools parses, this class bounds, orders and writes.

Requests that come pipelined are answered at the same time, and their answers leave in the order of the
requests. A message that httptools or a limit refuses is answered after those before it, and ends the
connection: where it ends cannot be known, and what follows it must not be taken for a request.
HTTP/2, h2c and WebSocket are not offered: an Upgrade header is ignored, as RFC 9110 allows.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import struct
import termios
import time
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

import httptools

from skdeploy.web.context import DRAIN_BYTES, DRAIN_SECONDS, RequestContext, decode_path
from skdeploy.web.problems import HttpProblem
from skdeploy.web.routes import BY_TARGET, route_of
from skdeploy.web.rules import (
    MAX_FIELD,
    MAX_FIELDS,
    MAX_HEAD,
    NO_TRAILER,
    SINGLE,
    Refused,
    check_coding,
    check_host,
    check_sizes,
    check_version,
    head_too_large,
    malformed,
    refusal_of,
    too_many_fields,
)

if TYPE_CHECKING:
    import socket

    from skdeploy.web.arrival import Reads
    from skdeploy.web.bodies import BodyMemory

# Bytes that are parsed in one go: what is pipelined behind them may have to wait unparsed.
_SLICE = 16 * 1024
# Bytes of chunk sizes, extensions and trailers beside each byte of a chunked body.
_CHUNK_OVERHEAD = 16
# Bytes below which a piece of a body joins the one before it: objects of a few bytes each would take many
# times the memory of their content.
_SCRAP = 1024
# Bytes per second that a body has to come with, and an answer has to be taken with, beyond
# SKDEPLOY_CLIENT_TIMEOUT.
MIN_RATE = 10 * 1024
# Pipelined requests that are answered at the same time.
_MAX_PIPELINED = 32
# Seconds for which a client is still read after an answer that ends its connection: TCP drops the answer if
# bytes are unread when the socket is closed.
LINGER = 2.0

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode("latin-1") for status in HTTPStatus
}
_INT = struct.Struct("i")
_OURS = frozenset({"content-length", "date", "connection", "transfer-encoding"})
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# RFC 9110, section 8.6: 204 has no Content-Length, and that of 304 would be another answer's.
_WITHOUT_BODY = (b"HTTP/1.1 204", b"HTTP/1.1 304")


class LoopRequest(RequestContext):
    """A request that the event loop reads.

    protocol    the connection that it came by
    version     "1.0" or "1.1"
    port        the server's
    keep_alive  whether the client wants to use the connection again
    problem     why it is refused, whatever it asks for
    oversized   its body is larger than SKDEPLOY_MAX_BODY: it is read, and dropped
    drained     bytes of an oversized body that were dropped
    chunks      what has come of its body
    held        bytes of it that the worker's BodyMemory counts
    awaits      the client waits to be told to send the body
    length      of a HEAD's answer, if there were a body
    output      head and body of an answer that waits for those before it
    gone        the client has left
    """

    __slots__ = (
        "awaits", "chunks", "drained", "gone", "held", "keep_alive", "length", "output", "oversized", "port",
        "problem", "protocol", "version",
    )  # fmt: skip

    def __init__(self, protocol: HttpProtocol) -> None:
        super().__init__()
        self.method = self.path = ""
        self.protocol = protocol
        self.began = protocol.came
        self.version = "1.1"
        self.port = 0
        self.keep_alive = True
        self.problem: HttpProblem | None = None
        self.oversized = False
        self.chunks: list[bytes | bytearray] = []
        self.held = self.drained = 0
        self.awaits = False
        self.length: int | None = None
        self.output: tuple[bytes, bytes] | None = None
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


class HttpProtocol(asyncio.BufferedProtocol):
    """One connection.

    handle       is given each request when it is complete; `respond` takes its answer
    connections  of this worker; this one is in it while it is open
    memory       counts the bodies that this worker holds
    reads        what the worker's connections are read into, and how late
    connection   its socket, which is asked when bytes came; None: they come when they are read
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        tails: Tails,
        memory: BodyMemory,
        connections: set[HttpProtocol],
        handle: Callable[[LoopRequest], None],
        reads: Reads,
        connection: socket.socket | None = None,
    ) -> None:
        self._loop, self._limits, self._tails, self._memory = loop, limits, tails, memory
        self._connections, self._handle = connections, handle
        self._reads, self._socket = reads, connection
        # time.monotonic() when the bytes that were read last had come.
        self.came = 0.0
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # until connection_made
        # Requests in their order, from the end of their head until their answer is written; and those of them
        # that are complete and wait for their turn.
        self._open: deque[LoopRequest] = deque()
        self._ready: deque[LoopRequest] = deque()
        self._starting = False
        self._request: LoopRequest | None = None
        self._url = b""
        self._host_seen = b""  # of the request before, which was found right
        self._in_head = False
        self._upgrading = False  # httptools takes the body that comes for another protocol's
        self._piece = self._head_size = self._message_size = self._fields = 0
        # What has come and is not parsed; it waits while reading is paused.
        self._unparsed: bytes | memoryview = b""
        self._parsing = False
        self._ended = False  # no further request is read
        self._discards = False  # the client may still be sending what is not read
        self._half_closed = False  # the client sends no more
        self._closing_at = 0.0  # when a connection that was answered for the last time is closed
        self._last = False  # the connection ends with the answers to what has come
        # Bytes given to the transport; since when it has not been rid of them, and how many were taken then.
        self._written = 0
        self._stalled: tuple[float, int] | None = None
        self._write_paused = False
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
        self._unparsed = b""
        for request in self._open:
            request.gone = True
        # What is being answered keeps its body until then.
        for request in (*self._ready, *([self._request] if self._request else [])):
            request.gone = True
            self._memory.release(request)
        self._open.clear()
        self._ready.clear()
        self._request = None

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Bytes are about to be read: see since when they have been there."""
        self.came = max(self.came, self._reads.came(self._socket, self._scheme))
        return self._reads.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes of one or several requests."""
        data = bytes(self._reads.buffer[:nbytes])
        self._received_at = self._loop.time()
        if self._unparsed:  # TLS delivers what it has, paused or not
            data = bytes(self._unparsed) + data
        self._unparsed = data
        self._parse()

    def _parse(self) -> None:
        """Parse what has come, unless reading is paused or what came before is being parsed."""
        if self._parsing:
            return
        self._parsing = True
        while (data := self._unparsed) and not self._read_paused_by and not self._ended:
            if len(data) <= _SLICE:
                self._unparsed = b""
            else:
                view = memoryview(data)
                data, self._unparsed = view[:_SLICE], view[_SLICE:]
            while data:
                data = self._feed(data)
        self._parsing = False
        if self._ended and self._unparsed:
            self._unparsed = b""
            self._discards = True

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse; what is left to parse anew behind a head that asked for another protocol."""
        self._piece = len(data)
        try:
            self._parser.feed_data(data)
            if self._request is not None:
                self._bound(len(data))
        except httptools.HttpParserUpgrade as upgrade:
            self._stay_with_http()
            return data[upgrade.args[0] :]
        except Refused as refused:
            self._refuse(refused)
        except httptools.HttpParserCallbackError as error:
            if not isinstance(error.__context__, Refused):
                raise
            self._refuse(error.__context__)
        except httptools.HttpParserError as error:
            if self._ended:  # what a client sends behind its last request is not looked at
                self._discards = True
            else:
                self._refuse(refusal_of(self._request, self._in_head, error))
        return b""

    def _stay_with_http(self) -> None:
        """What follows the head is HTTP/1.1, and first the request's body, whatever Upgrade says."""
        self._parser = httptools.HttpRequestParser(self)
        request = self._request
        if request is None or not self._upgrading:
            return
        self._upgrading = False
        # A new parser learns from a head of our making, which nobody hears, how long the body is.
        length = request.headers.get(b"content-length")
        framing = b"Content-Length: " + length if length is not None else b"Transfer-Encoding: chunked"
        self._request, self._ended = None, True
        self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
        self._request, self._ended = request, False

    def _bound(self, size: int) -> None:
        """Refuse a head without an end, and chunks that are nearly all overhead."""
        request = self._request
        if request is None:
            return
        if self._in_head:
            # The first piece may hold other requests in front of this head: a slice more is granted, and a
            # head that ends is measured exactly.
            self._head_size += size
            if self._head_size > MAX_HEAD + _SLICE:
                raise head_too_large()
        elif b"transfer-encoding" in request.headers:
            self._message_size += size
            if self._message_size > MAX_HEAD + _CHUNK_OVERHEAD * request.body_size:
                raise malformed("The chunks are nearly all overhead.")

    def eof_received(self) -> bool:
        """The client sends no more; it may still wait for answers."""
        request = self._request
        self._half_closed = True
        if request is not None and not self._in_head:
            self._refuse(malformed(f"The body ended after {request.drained or request.body_size} bytes."))
        self._ended = True
        self._request = None
        self._unparsed = b""
        # TLS has no half-closed connections.
        return bool(self._open) and self._scheme == "http"

    def pause_writing(self) -> None:
        """The client does not take its answers: no further request is looked at until it does."""
        self._write_paused = True
        self._pause("answers")

    def resume_writing(self) -> None:
        """It has taken them."""
        self._write_paused = False
        self._resume("answers")
        self._start()

    # httptools' callbacks

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._ended:
            return
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
        if request is None:
            return
        name = name.lower()
        if not self._in_head:
            if name in NO_TRAILER:
                raise malformed(f"The header {name.decode('latin-1')} came behind the body.")
            return
        self._fields += 1
        headers = request.headers
        if name not in headers:
            headers[name] = value
        elif name in SINGLE:
            raise malformed(f"The header {name.decode('latin-1')} came twice.")
        elif self._fields > MAX_FIELDS:
            raise too_many_fields()
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
        self._check(request)
        route = BY_TARGET.get(self._url)
        if route is not None:
            request.route, request.path = route, route.path
        else:
            self._set_target(request)
            request.route = route_of(request.path)
        self._open.append(request)
        length = int(headers.get(b"content-length", 0))
        if length > self._limits.max_body:
            request.oversized = True
            request.body_size = length
        if b"upgrade" in headers and parser.should_upgrade():
            self._upgrading = length > 0 or b"transfer-encoding" in headers
        if b"expect" in headers:
            self._expect(request)
        self._since = self._loop.time()

    def _check(self, request: LoopRequest) -> None:
        """Raises Refused: what httptools has let through, and this service does not."""
        headers = request.headers
        if self._fields > MAX_FIELDS:
            raise too_many_fields()
        if self._head_size + self._piece > MAX_FIELD:
            check_sizes(request, self._url)
        host = headers.get(b"host")
        if request.version != "1.1" or host is None or host != self._host_seen:
            check_version(request)
            check_host(request, host)
            self._host_seen = host or b""
        if request.method == "CONNECT":
            raise Refused(501, "not-a-proxy", "This is no proxy: CONNECT is not offered.")
        coding = headers.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            check_coding(coding)

    def _set_target(self, request: LoopRequest) -> None:
        """Path and query of a target that is not simply the path of a route."""
        target = self._url
        if target == b"*" and request.method == "OPTIONS":
            request.path = "/"  # what is asked of the server is asked of its root
            return
        if b"#" in target:
            raise malformed("The request's target has a fragment.")
        try:
            url = httptools.parse_url(target)
        except httptools.HttpParserInvalidURLError:
            raise malformed("The request's target is no URL.") from None
        if target[:1] != b"/":
            # RFC 9112, section 3.2.2: the target's host is in force, and Host is not looked at.
            if url.schema is None or url.schema.lower() not in (b"http", b"https"):
                raise malformed("The request's target is neither a path nor an http URL.")
            host = re.split(rb"[/?]", target[len(url.schema) + 3 :], maxsplit=1)[0]
            check_host(request, host)
            request.headers[b"host"] = host
        request.path = decode_path(url.path or b"/")
        request.query = (url.query or b"").decode("latin-1")

    def _expect(self, request: LoopRequest) -> None:
        if request.headers[b"expect"].lower() != b"100-continue":
            raise Refused(417, "expectation-failed", "Of Expect, only 100-continue is understood.")
        if request.oversized:
            # The client waits to be told, and has not sent it: it need not.
            self._stop_reading(request)
        elif request.version == "1.1":
            request.awaits = True
            self._go_on_sending()

    def _go_on_sending(self) -> None:
        """Ask for the body of a request once its turn has come."""
        request = self._open[0]
        if request.awaits:
            request.awaits = False
            if not request.body_size and request is self._request:
                self._written += len(_CONTINUE)
                self._transport.write(_CONTINUE)

    def _stop_reading(self, request: LoopRequest) -> None:
        """Answer a request whose body is not read to its end."""
        self._ended = self._discards = True
        self._request = None
        request.keep_alive = False
        self._complete(request)

    def on_body(self, chunk: bytes) -> None:
        """A piece of the body; what is too large is read and dropped, so that the client sees its answer."""
        request = self._request
        if request is None or self._ended:
            return
        if request.oversized:
            request.drained += len(chunk)
            if request.drained > DRAIN_BYTES or self._loop.time() > self._since + DRAIN_SECONDS:
                self._stop_reading(request)
            return
        request.body_size += len(chunk)
        chunks = request.chunks
        if len(chunk) > _SCRAP or not chunks:
            chunks.append(chunk)
        elif isinstance(last := chunks[-1], bytearray):
            last += chunk
        else:
            chunks.append(bytearray(chunk))
        if request.body_size > self._limits.max_body:
            self._memory.release(request)
            request.oversized = True
            request.chunks.clear()
        else:
            self._memory.add(request, len(chunk))

    def on_message_complete(self) -> None:
        """The request has come to its end."""
        request = self._request
        # httptools says so also of a head that asks for another protocol, although a body follows.
        if request is None or self._upgrading:
            return
        self._request = None
        if not request.oversized:
            chunks = request.chunks
            request.body = b"".join(chunks)  # a single one is not copied
            request.chunks = []
        self._complete(request)

    # Requests and their answers

    def _complete(self, request: LoopRequest) -> None:
        request.arrived = time.monotonic()
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
        while self._ready and not self._write_paused:
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
        if request is not self._open[0]:
            request.output = head, body
            return
        self._write(self._open.popleft(), head, body)
        self._flush()

    def _flush(self) -> None:
        """Write the answers whose turn has come."""
        queue = self._open
        while queue and (output := queue[0].output) is not None:
            self._write(queue.popleft(), *output)
        if queue:
            self._go_on_sending()
        elif self._ended:
            self._finish()
            return
        else:
            self._since = self._loop.time()
        if "pipelined" in self._read_paused_by and len(queue) <= _MAX_PIPELINED // 2:
            self._resume("pipelined")
        if self._ready:
            self._start()

    def _write(self, request: LoopRequest, head: bytes, body: bytes) -> None:
        """Write an answer; none follows the one that says so."""
        if (
            (self._ended or self._last) and not self._open and self._request is None and not self._unparsed
        ) or not request.keep_alive:
            self._ended = True
            tail = self._tails.close
        else:
            tail = self._tails.keep
        if request.method == "HEAD":
            length = len(body) if request.length is None else request.length
            output = b"%bContent-Length: %d\r\n%b" % (head, length, tail)
        elif head.startswith(_WITHOUT_BODY):
            output = head + tail
        else:
            output = b"%bContent-Length: %d\r\n%b%b" % (head, len(body), tail, body)
        self._written += len(output)
        self._transport.write(output)

    def _finish(self) -> None:
        """After the last answer: let the client read it before the connection is closed."""
        self._ended = True
        # A client that the end of the service surprises may have sent another request.
        lingers = (self._discards or self._last) and not self._half_closed
        if not lingers or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._closing_at:
            self._closing_at = self._loop.time() + LINGER
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
        self._ended = self._discards = True
        self._complete(request)

    def _pause(self, reason: str) -> None:
        if not self._read_paused_by and not self._transport.is_closing():
            self._transport.pause_reading()
        self._read_paused_by.add(reason)

    def _resume(self, reason: str) -> None:
        if reason in self._read_paused_by:
            self._read_paused_by.discard(reason)
            self._received_at = self._loop.time()
            if self._unparsed:
                self._parse()
            if not self._read_paused_by and not self._transport.is_closing():
                self._transport.resume_reading()

    # What the worker asks of a connection

    def hold_body(self) -> None:
        """Read no further, because the worker holds too many bodies."""
        self._pause("memory")
        self._since = self._loop.time()

    def go_on(self) -> None:
        """Read on, soon: parsing what has come may make room for another one, and so on."""
        self._loop.call_soon(self._resume, "memory")

    def rest(self, seconds: float) -> None:
        """Read no further request for a while."""
        if not self._transport.is_closing():
            self._pause("rest")
            self._loop.call_later(seconds, self._resume, "rest")

    def drain(self) -> None:
        """The worker is about to end: the answer to the last request that has come is the last one."""
        self._last = True

    @property
    def is_idle(self) -> bool:
        """Whether nothing has come that is not answered."""
        return not self._open and self._request is None and not self._unparsed

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
        if self._is_stalled(now):
            self._transport.abort()
        elif self._closing_at:
            if self._stalled is not None:
                self._closing_at = now + LINGER
            elif now > self._closing_at:
                self._transport.abort()
        elif self._write_paused:
            return
        elif self._request is not None:
            self._expire_request(self._request, now)
        elif self.is_idle and now > self._since + (
            limits.keepalive if self._fields else limits.client_timeout
        ):
            self._transport.close()

    def _is_stalled(self, now: float) -> bool:
        """Whether the client has taken its answers more slowly than it may."""
        waiting = self._transport.get_write_buffer_size()
        if not waiting:
            self._stalled = None
            return False
        # Megabytes may wait in the kernel, which takes more only when a good part of them has gone.
        taken = self._written - waiting - _in_kernel(self._transport)
        if self._stalled is None:
            self._stalled = now, taken
        since, taken_then = self._stalled
        return now > since + self._limits.client_timeout + (taken - taken_then) / MIN_RATE

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


def _in_kernel(transport: asyncio.Transport) -> int:
    """Bytes that the kernel has of what was written, and the client has not acknowledged."""
    try:
        queue = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(_INT.size))
    except OSError:  # not every kernel says so, and none of a closed socket
        return 0
    return int(_INT.unpack(queue)[0])
