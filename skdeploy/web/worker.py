"""gunicorn's worker, made to end without losing a request.

On SIGTERM the connections that the kernel has accepted already are still served, while idle ones do
not keep the process. How connections are served stands in `skdeploy.web.loop`.
"""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any

from gunicorn.workers.gthread import TConn

from skdeploy.watch import Follower
from skdeploy.web.drain import draining
from skdeploy.web.forking import release_signals
from skdeploy.web.loop import LoopWorker
from skdeploy.web.metrics import Metrics
from skdeploy.web.serving import Slot


class Worker(LoopWorker):
    """The worker that web-service/gunicorn.conf.py uses; `drain_delay` in seconds."""

    drain_delay = 0.0
    follower: Follower | None = None
    metrics: Metrics | None = None
    _stop_at: float | None = None
    _next_beat = 0.0

    def load_wsgi(self) -> None:
        """Before the first request, serve what was published since the main process loaded its model."""
        super().load_wsgi()
        self.metrics = self.wsgi.extensions["skdeploy.metrics"]
        self.follower = self.follow(self.wsgi.extensions["skdeploy"])
        if self.follower is not None:
            self.follower.catch_up()

    def follow(self, _slot: Slot, /) -> Follower | None:
        """Who brings other models into the slot; nobody unless a service says so."""
        return None

    def init_signals(self) -> None:
        """From here on the worker can be told to end."""
        super().init_signals()
        release_signals()

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
        """Called in every turn of the loop; the heart beats once a second."""
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + 1.0
            super().notify()
            if self.follower is not None:
                self.follower.poll()
            if self.metrics is not None:
                self.metrics.beat()
        if self._stop_at is not None and now >= self._stop_at:
            self.alive = False

    def finish_request(self, conn: TConn, fs: Future[Any]) -> None:
        """After SIGTERM too, who was promised a connection that stays open can use it once more."""
        if self.alive or fs.cancelled() or fs.exception() is not None or fs.result() is not True:
            super().finish_request(conn, fs)
            return
        conn.sock.setblocking(False)
        self.await_next(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """At most a second at a time: idle connections are closed, and the heart beats, in between.

        When the worker ends, gunicorn would wait here for as long as an idle client likes.
        """
        super().wait_for_and_dispatch_events(min(timeout, 1.0))
        self.notify()

    def set_accept_enabled(self, enabled: bool) -> None:
        """When the worker ends, first accept what clients have connected to already."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, time.monotonic() + self.patience())
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()
