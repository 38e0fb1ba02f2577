"""gunicorn's threaded worker, made to survive slow clients and to end without losing a request.

What is added to `gthread`: a connection takes a thread only once it has sent something; a client
has a deadline for its whole request, so that a trickle of bytes does not hold a thread for ever;
waiting for a client to close is the thread's affair, not the accept loop's; pipelined requests are
answered; a body that nobody wanted is read before its connection is used again or closed; and on
SIGTERM the connections that the kernel has accepted already are still served, while idle ones do
not keep the process.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from skdeploy.web.body import DRAIN_BYTES, DRAIN_SECONDS
from skdeploy.web.drain import draining


class DeadlineSocket(socket.socket):
    """A socket that bounds the time in which a request must arrive and an answer be taken.

    gunicorn calls `setblocking(True)` at the start of each request: there the clock starts.
    """

    limit: float
    # Whether closing at once could cost the client its answer: TCP drops it if bytes are unread.
    linger = False
    _deadline: float = 0.0

    @classmethod
    def adopt(cls, plain: socket.socket, limit: float) -> DeadlineSocket:
        """Take over the connection of `plain`, which is no longer usable."""
        family, kind, proto = plain.family, plain.type, plain.proto
        adopted = cls(family, kind, proto, fileno=plain.detach())
        adopted.limit = limit
        return adopted

    def setblocking(self, flag: bool, /) -> None:
        """Blocking means: for at most `limit` seconds from now. On a closed socket, nothing."""
        if self.fileno() < 0:
            return
        self._deadline = time.monotonic() + self.limit
        self.settimeout(self.limit if flag else 0.0)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Raises ConnectionResetError once the request's time is over."""
        if timeout := self.gettimeout():
            self.settimeout(min(timeout, max(self._deadline - time.monotonic(), 0.001)))
        try:
            return super().recv(bufsize, flags)
        except TimeoutError:
            # gunicorn takes a reset for what it is: a client that went away, no error of ours.
            raise ConnectionResetError(errno.ECONNRESET, "the client was too slow") from None

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """The answer has a time of its own, however long the request took."""
        self.linger = True
        self.settimeout(self.limit)
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client was too slow") from None


class BodyReader:
    """gunicorn's reader of one body, which ends the connection with an error in it.

    Where a broken body ends cannot be known: what follows it must not be taken for a request.
    """

    def __init__(self, request: Any) -> None:
        self._request, self._reader = request, request.body.reader

    def read(self, size: int) -> bytes:
        """Raises what the reader raises; the answer then says `Connection: close`."""
        try:
            content: bytes = self._reader.read(size)
        except OSError:
            self._request.must_close = True
            raise
        return content


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """The worker that web-service/gunicorn.conf.py uses; both values are seconds."""

    client_timeout = 10.0
    drain_delay = 0.0
    _stop_at: float | None = None

    def handle_exit(self, sig: int, frame: Any) -> None:
        """SIGTERM: say so on /ready, and stop accepting after DRAIN_DELAY."""
        draining.set()
        if self.drain_delay and self._stop_at is None:
            self._stop_at = time.monotonic() + self.drain_delay
            return
        super().handle_exit(sig, frame)

    def run(self) -> None:
        """Serve until told to end; what is still open when the patience ends is cut off, and said so."""
        super().run()
        if self.nr_conns:
            self.log.warning(
                "%d connections were open after the %d seconds of GRACEFUL_TIMEOUT and are cut off",
                self.nr_conns,
                self.cfg.graceful_timeout,
            )

    def notify(self) -> None:
        """Called in every turn of the loop, at least once a second."""
        super().notify()
        if self._stop_at is not None and time.monotonic() >= self._stop_at:
            self.alive = False

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread if it has sent something, else wait without one."""
        if not isinstance(conn.sock, DeadlineSocket):
            conn.sock = DeadlineSocket.adopt(conn.sock, self.client_timeout)
        if conn.initialized or conn.wait_for_data(0):
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + self._patience()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _patience(self) -> float:
        """Seconds that a connection which has sent nothing yet is kept."""
        return self.client_timeout if self.alive else min(self.client_timeout, self.cfg.keepalive)

    def handle(self, conn: TConn) -> Any:
        """A request, in a thread; what is not kept alive is closed here."""
        result = super().handle(conn)
        # A pipelined request has left the socket already: the poller would wait for it in vain.
        while result is True and conn.parser.unreader.buf.getbuffer().nbytes:
            result = super().handle(conn)
        if not result:
            # gunicorn's main loop does the same a moment later, and finds it closed: waiting for
            # the client there would keep every other client waiting.
            conn.close(graceful=conn.sock.linger)
        return result

    def handle_request(self, req: Any, conn: TConn) -> Any:
        """Whether the connection may be kept alive; `req` is gunicorn's request."""
        req.body.reader = BodyReader(req)
        return super().handle_request(req, conn)

    def _keepalive_after(self, conn: TConn, keepalive: bool) -> bool:
        """Read what the client still sends: else it sees a broken pipe in place of the answer."""
        deadline = time.monotonic() + DRAIN_SECONDS
        drained = bool(conn.parser.finish_body(deadline=deadline, max_bytes=DRAIN_BYTES))
        conn.sock.linger = not drained
        return keepalive and drained

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """After SIGTERM too, who was promised a connection that stays open can use it once more."""
        if self.alive or fs.cancelled() or fs.exception() is not None or fs.result() is not True:
            super().finish_request(conn, fs)
            return
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """At most a second at a time: idle connections are closed, and the heart beats, in between.

        When the worker ends, gunicorn would wait here for as long as an idle client likes.
        """
        super().wait_for_and_dispatch_events(min(timeout, 1.0))
        self.notify()

    def set_accept_enabled(self, enabled: bool) -> None:
        """When the worker ends, first accept what clients have connected to already."""
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + self._patience())
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
