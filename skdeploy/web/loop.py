"""The accept loop of gunicorn's threaded worker, which answers small requests itself.

The loop gathers what clients send: who is slow to send a small request takes no thread. What has
arrived whole it answers itself, if the application says that it answers at once: handing a request
to a thread and back takes longer than such a prediction. Nothing in the loop waits for a client.
Threads are for what takes its time: larger bodies, chunks, TLS, clients that are slow to take their
answer or to leave, slow predictions.
"""

from __future__ import annotations

import selectors
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from skdeploy.web.body import DRAIN_BYTES, DRAIN_SECONDS
from skdeploy.web.connections import SMALL, BodyReader, DeadlineSocket, Outlook, outlook
from skdeploy.web.pool import Pool

# Whoever asks whether the process lives does not wait for those that are scored.
_QUICK = (b"GET /health ", b"GET /metrics ")
# Seconds in which the next request of a client is not looked at who was refused: one that asks again at once
# would have the loop refuse, and nothing else.
_REST = 0.25


class LoopWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Serves connections; `skdeploy.web.worker` starts and ends it.

    A connection that waits is in one list, in the order in which their times are over: in
    `pending_conns` before its first byte, in `arriving` while a request comes in, in
    `keepalived_conns` between requests, in `resting` for a while after a refusal.
    """

    client_timeout = 10.0
    # Requests that may wait for a thread; 0: any number.
    most_waiting = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.arriving: deque[TConn] = deque()
        self.resting: deque[TConn] = deque()

    def init_process(self) -> None:
        """In the worker's own process, before it serves."""
        _settle(self.cfg)
        super().init_process()

    def get_thread_pool(self) -> Pool:
        """THREADS threads."""
        return Pool(self.cfg.threads)

    def enqueue_req(self, conn: TConn) -> None:
        """Give a connection to a thread; a new one first waits, without a thread, for its first byte."""
        if isinstance(conn.sock, DeadlineSocket):
            super().enqueue_req(conn)
            return
        conn.sock = DeadlineSocket.adopt(conn.sock, self.client_timeout)
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + self.patience()
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def patience(self) -> float:
        """Seconds that a connection which has sent nothing yet is kept."""
        return self.client_timeout if self.alive else min(self.client_timeout, self.cfg.keepalive)

    def on_pending_socket_readable(self, conn: TConn, client: Any) -> None:
        """A new connection has sent something. TLS and HTTP/2 begin with a dialogue, in a thread."""
        if self.cfg.is_ssl or self.cfg.http2_cleartext != "off":
            super().on_pending_socket_readable(conn, client)
            return
        conn.init()
        conn.sock.setblocking(False)
        self._receive(conn, self.pending_conns)

    def on_client_socket_readable(self, conn: TConn, client: Any) -> None:
        """A connection that was kept has sent something."""
        if self.cfg.is_ssl:
            super().on_client_socket_readable(conn, client)
        else:
            self._receive(conn, self.keepalived_conns)

    def _on_more(self, conn: TConn, _client: Any) -> None:
        self._receive(conn, self.arriving)

    def _receive(self, conn: TConn, waiting: deque[TConn]) -> None:
        """Take what has come; `waiting` is the list in which `conn` is."""
        try:
            data = conn.sock.recv(SMALL)
        except OSError:
            data = b""
        data, known = conn.sock.arrived + data, len(conn.sock.arrived)
        if len(data) == known:
            self._drop(conn, waiting)
            return
        conn.sock.arrived = data
        expected = outlook(data)
        if expected is not Outlook.SHORT:
            self._hand_over(conn)
            whole = expected is Outlook.WHOLE
            quick = self.wsgi.extensions["skdeploy"].current.at_once or data.startswith(_QUICK)
            conn.sock.shed = not (whole and quick) and self._is_full()
            if whole and (quick or conn.sock.shed):
                self._answer(conn, waiting)
            else:
                self._forget(conn, waiting)
                conn.sock.queued = time.monotonic()
                super().enqueue_req(conn)
        elif not known:
            conn.timeout = time.monotonic() + self.client_timeout
            self._move(conn, waiting, self.arriving, self._on_more)

    def _is_full(self) -> bool:
        return bool(0 < self.most_waiting <= self.tpool.waiting)

    def _hand_over(self, conn: TConn) -> None:
        """Let gunicorn's parser see what the loop has read."""
        conn.parser.unreader.unread(conn.sock.arrived)
        conn.sock.arrived = b""

    def _answer(self, conn: TConn, waiting: deque[TConn]) -> None:
        """Answer the request that `conn` holds whole, without waiting for anything."""
        conn.sock.hold()
        kept = super().handle(conn) is True
        try:
            rest = conn.sock.send_held()
        except OSError:
            self._drop(conn, waiting)
            return
        if rest or (_holds_more(conn) if kept else conn.sock.linger):
            self._forget(conn, waiting)
            self._submit(conn, partial(self._finish, conn, rest, kept))
        elif kept and conn.sock.shed:
            self._forget(conn, waiting)
            conn.timeout = time.monotonic() + _REST
            self.resting.append(conn)
        elif kept:
            conn.set_timeout()
            self._move(conn, waiting, self.keepalived_conns, self.on_client_socket_readable)
        else:
            self._drop(conn, waiting)

    def _finish(self, conn: TConn, rest: bytes, kept: bool) -> Any:
        """In a thread, what the loop would have had to wait for: a client slow to take, or to leave."""
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

    def _move(
        self, conn: TConn, waiting: deque[TConn], to: deque[TConn], on_readable: Callable[[TConn, Any], None]
    ) -> None:
        """Wait as the last one in another list."""
        waiting.remove(conn)
        to.append(conn)
        if to is not waiting:
            self.poller.modify(conn.sock, selectors.EVENT_READ, partial(on_readable, conn))

    def _forget(self, conn: TConn, waiting: deque[TConn]) -> None:
        self.poller.unregister(conn.sock)
        waiting.remove(conn)

    def _drop(self, conn: TConn, waiting: deque[TConn]) -> None:
        self._forget(conn, waiting)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Also end the time of requests that are still coming: a thread tells their clients."""
        super().murder_pending()
        now = time.monotonic()
        while self.resting and (self.resting[0].timeout <= now or not self.alive):
            self.await_next(self.resting.popleft())
        while self.arriving and self.arriving[0].timeout <= now:
            conn = self.arriving[0]
            self._forget(conn, self.arriving)
            self._hand_over(conn)
            conn.sock.expired = True
            super().enqueue_req(conn)

    def await_next(self, conn: TConn) -> None:
        """Look at what a client sends next, on a connection that nothing watches at the moment."""
        conn.set_timeout()
        self.keepalived_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_client_socket_readable, conn))

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
        drained = conn.parser.mesg.body.reader.is_read
        if not drained:
            deadline = time.monotonic() + DRAIN_SECONDS
            drained = bool(conn.parser.finish_body(deadline=deadline, max_bytes=DRAIN_BYTES))
        conn.sock.linger = not drained
        if keepalive and drained:
            # Else gunicorn would look once more for what is left of it.
            conn.parser.mesg = None
        return keepalive and drained


def _settle(cfg: Any) -> None:
    """Settings as plain attributes: gunicorn finds each by two calls, and reads thirty of them a request."""
    for name, setting in cfg.settings.items():
        if not hasattr(type(cfg), name):
            object.__setattr__(cfg, name, setting.get())


def _holds_more(conn: TConn) -> bool:
    """Whether a pipelined request has been read with the one before it."""
    return bool(conn.parser.unreader.buf.getbuffer().nbytes)
