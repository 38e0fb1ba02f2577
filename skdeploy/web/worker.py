"""gunicorn's threaded worker, made to survive slow clients and to end without losing a request.

What is added to `gthread`: a connection takes a thread only once it has sent something; a client
has a deadline for its whole request, so that a trickle of bytes does not hold a thread for ever;
waiting for a client to close is the thread's affair, not the accept loop's; and on SIGTERM the
connections that the kernel has accepted already are still served.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from skdeploy.web.drain import draining


class DeadlineSocket(socket.socket):
    """A socket that bounds the time in which a request must arrive and an answer be taken.

    gunicorn calls `setblocking(True)` at the start of each request: there the clock starts.
    """

    limit: float
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
        self.settimeout(self.limit)
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client was too slow") from None


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
        conn.timeout = time.monotonic() + self.client_timeout
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle(self, conn: TConn) -> Any:
        """A request, in a thread; what is not kept alive is closed here."""
        result = super().handle(conn)
        if not result:
            # gunicorn's main loop does the same a moment later, and finds it closed: waiting for
            # the client there would keep every other client waiting.
            conn.close(graceful=True)
        return result

    def set_accept_enabled(self, enabled: bool) -> None:
        """When the worker ends, first accept what clients have connected to already."""
        super().set_accept_enabled(enabled)
        if self.alive:
            return
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
