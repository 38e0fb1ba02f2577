"""gunicorn's threaded worker, made to survive slow clients and to end without losing a request.

What is added to `gthread`: a request that has arrived whole is answered by the accept loop itself,
if the application says that it does so at once: handing it to a thread and back takes longer than
the answer; a connection takes a thread only once it has sent something; a client
has a deadline for its whole request, so that a trickle of bytes does not hold a thread for ever;
waiting for a client to close is the thread's affair, not the accept loop's; pipelined requests are
answered; a body that nobody wanted is read before its connection is used again or closed; and on
SIGTERM the connections that the kernel has accepted already are still served, while idle ones do
not keep the process.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from skdeploy.web.body import DRAIN_BYTES, DRAIN_SECONDS
from skdeploy.web.connections import BodyReader, DeadlineSocket, is_whole_request
from skdeploy.web.drain import draining

# The largest request, with its headers, that the loop answers itself; a thread reads the larger ones.
_SMALL = 16 * 1024


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

    def on_client_socket_readable(self, conn: TConn, client: Any) -> None:
        """A kept connection: answer here what has arrived whole, and leave the rest to a thread."""
        if not self.wsgi.config["ANSWERS_AT_ONCE"]:
            super().on_client_socket_readable(conn, client)
            return
        try:
            data = conn.sock.recv(_SMALL)
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
            return
        conn.parser.unreader.unread(data)
        if is_whole_request(data):
            self._answer(conn)
        else:
            super().on_client_socket_readable(conn, client)

    def _answer(self, conn: TConn) -> None:
        """Answer the request that `conn` holds whole, without waiting for anything."""
        conn.sock.hold()
        kept = super().handle(conn) is True
        try:
            rest = conn.sock.send_held()
        except OSError:
            self._drop(conn)
            return
        if rest or (_holds_more(conn) if kept else conn.sock.linger):
            self._forget(conn)
            self._submit(conn, partial(self._finish, conn, rest, kept))
        elif kept:
            conn.set_timeout()
            # They are kept in the order in which their time is over.
            self.keepalived_conns.remove(conn)
            self.keepalived_conns.append(conn)
        else:
            self._drop(conn)

    def _finish(self, conn: TConn, rest: bytes, kept: bool) -> Any:
        """What the loop would have had to wait for: a client that is slow to take, or to leave."""
        linger = conn.sock.linger
        try:
            conn.sock.setblocking(True)
            if rest:
                conn.sock.sendall(rest)
        except OSError:
            kept = linger = False
        if kept and _holds_more(conn):
            return self.handle(conn)
        if not kept:
            conn.close(graceful=linger)
        return kept

    def _submit(self, conn: TConn, job: Callable[[], Any]) -> None:
        done = self.tpool.submit(job)
        done.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def _forget(self, conn: TConn) -> None:
        self.poller.unregister(conn.sock)
        self.keepalived_conns.remove(conn)

    def _drop(self, conn: TConn) -> None:
        self._forget(conn)
        self.nr_conns -= 1
        conn.close()

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
        while result is True and _holds_more(conn):
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
        if conn.parser.mesg.body.reader.is_read:
            drained = True
        else:
            deadline = time.monotonic() + DRAIN_SECONDS
            drained = bool(conn.parser.finish_body(deadline=deadline, max_bytes=DRAIN_BYTES))
        conn.sock.linger = not drained
        if keepalive and drained:
            # Else gunicorn would look once more for what is left of it.
            conn.parser.mesg = None
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


def _holds_more(conn: TConn) -> bool:
    """Whether a pipelined request has been read with the one before it."""
    return bool(conn.parser.unreader.buf.getbuffer().nbytes)
