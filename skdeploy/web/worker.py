"""gunicorn's worker: an event loop that accepts, serves, and ends without losing a request.

It is gunicorn's base worker around uvloop: signals, heartbeat, accepting and the end are here, a
connection is `skdeploy.web.http`, and answers come from `skdeploy.web.front`.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import mmap
import os
import signal
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvloop
from gunicorn.sock import ssl_context
from gunicorn.workers.base import Worker

from skdeploy.config import WebSettings
from skdeploy.reload import ModelSwap
from skdeploy.web.app import EXTENSION, Service, foreign_hooks
from skdeploy.web.arrival import BusyTime, Reads, stamp
from skdeploy.web.bodies import BodyMemory
from skdeploy.web.front import Front
from skdeploy.web.http import LINGER, HttpProtocol, Limits, Tails
from skdeploy.web.listening import allow_handshakes, is_open_in, stop_handshakes
from skdeploy.web.pages import draining
from skdeploy.web.serving import ONLY, Slot

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
# Seconds after which a thread that computes lets the loop run: uvloop takes the lock anew for each callback.
_SWITCH = 0.0005
# Seconds between looks at connections whose time is over.
_SWEEP = 0.25
# Seconds after SIGTERM in which an idle connection may bring one more request.
_IDLE_AT_END = 1.0
# Seconds after which a worker that says nothing is not reckoned with; it says something at each sweep.
_SILENT = 0.6
# Seconds that a worker with more than its share of the connections leaves new ones to the others.
_STEP_BACK = 0.01
# Seconds that a handshake under way is waited for before the listening socket is closed.
_HANDSHAKE = 0.05
# Seconds for which a connection is not called idle.
_NEW = 0.1
# Seconds that a piece of the bookkeeping takes, about, and that requests have until the next one.
_PIECE, _BETWEEN_PIECES = 0.0003, 0.005
# Seconds without accepting after the process ran out of file descriptors and had none to give back.
_EXHAUSTED = 0.1


class Shares:
    """How many connections each worker holds: two numbers per worker in memory that all of them share.

    A worker that starts, is stopped or is lost in a long call says nothing for a while: connections are not
    left to it.
    """

    _SLOTS = 64
    # Connections, and when the worker said so.
    _SHARE = struct.Struct("qd")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self._SLOTS * self._SHARE.size)

    def put(self, age: int, held: int) -> None:
        """The worker of this age holds so many, and accepts more."""
        self._SHARE.pack_into(self._memory, age % self._SLOTS * self._SHARE.size, held, time.monotonic())

    def leave(self, age: int) -> None:
        """The worker of this age accepts no more."""
        self._SHARE.pack_into(self._memory, age % self._SLOTS * self._SHARE.size, 0, 0.0)

    def are_exceeded_by(self, held: int) -> bool:
        """Whether a worker that holds so many has more than an even share and one."""
        recent = time.monotonic() - _SILENT
        workers = total = 0
        for others, when in self._SHARE.iter_unpack(self._memory):
            if when > recent:
                workers += 1
                total += others
        return held > 1 and held * workers > total + workers


def hold_signals() -> None:
    """Let signals to end wait until a worker's loop hears them; called before the fork.

    Until a forked worker has handlers of its own, it has those of gunicorn's main process: they put
    the signal into a queue that the worker never reads, and it would be killed after
    SKDEPLOY_GRACEFUL_TIMEOUT.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def _release_signals() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


os.register_at_fork(after_in_parent=_release_signals)


class EventLoopWorker(Worker):  # type: ignore[misc]  # gunicorn has no types
    """The worker that skdeploy/gunicorn_conf.py uses.

    settings   the service's
    shares     what all workers know of each other's connections
    """

    settings: WebSettings
    shares = Shares()
    model_swap: ModelSwap | None = None
    service: Service | None = None

    def make_swap(self, _slot: Slot, /) -> ModelSwap | None:
        """What brings other models into the slot; nothing unless a service says so."""
        return None

    def load_wsgi(self) -> None:
        """Before the first request, serve what was published since the main process loaded its model."""
        super().load_wsgi()
        extensions = getattr(self.wsgi, "extensions", {})
        self.service = extensions.get(EXTENSION)
        if self.service is None:
            return
        self.model_swap = self.make_swap(self.service.models[ONLY])
        if self.model_swap is not None:
            self.model_swap.catch_up()
        # The first prediction of a process prepares what the others use: 100 ms with scikit-learn.
        self.service.ready()

    def run(self) -> None:
        """Serve until told to end."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        sys.setswitchinterval(_SWITCH)
        self._loop = loop = asyncio.get_running_loop()
        self._done = asyncio.Event()
        self._stop_at: float | None = None
        self._ends_at = 0.0
        self._connections: set[HttpProtocol] = set()
        # Listening sockets whose last handshakes are waited for.
        self._closing: list[Any] = []
        # What has been accepted and is being set up: over TLS, until the handshake is done.
        self._connecting: dict[HttpProtocol, asyncio.Task[None]] = {}
        self._ssl: ssl.SSLContext | None = ssl_context(self.cfg) if self.cfg.is_ssl else None
        # Seconds for a handshake, and for a client to say that it has heard the end.
        patience = {
            "ssl_handshake_timeout": float(self.settings.client_timeout),
            "ssl_shutdown_timeout": LINGER,
        }
        self._patience = patience if self._ssl is not None else {}
        self._front = Front(loop, self.wsgi, self._answering_service(), self.settings)
        self._tails = Tails()
        self._tails.renew()
        self._busy = BusyTime()
        self._is_telling = False  # metrics, in pieces that a busy loop may not come to within a second
        self._make_protocol = self._protocol_factory()
        for sig in _ENDING:
            loop.add_signal_handler(sig, self._told_to_end, sig)
        loop.add_signal_handler(signal.SIGUSR1, self.log.reopen_files)
        _release_signals()
        for listener in self.sockets:
            listener.setblocking(False)
            stamp(listener)
            loop.add_reader(listener.fileno(), self._accept, listener)
        self._sweep()
        self._beat()
        await self._done.wait()
        self._front.end()

    def _answering_service(self) -> Service | None:
        """Ours, unless somebody else has a word in each request: then all of them are the application's."""
        reason = foreign_hooks(self.wsgi)
        if reason is None:
            return self.service
        if self.settings.bypass_hooks and self.service is not None:
            self.log.warning(
                "SKDEPLOY_BYPASS_HOOKS=1: predictions go past the application, although %s", reason
            )
            return self.service
        self.log.warning(
            "Every request goes through the application, and each is scored alone, because %s. "
            "SKDEPLOY_BYPASS_HOOKS=1 lets predictions go past it.",
            reason,
        )
        return None

    def _protocol_factory(self) -> Callable[[socket.socket], HttpProtocol]:
        settings = self.settings
        limits = Limits(
            settings.client_timeout,
            settings.keepalive,
            settings.max_body,
            _trust(self.cfg.forwarded_allow_ips),
        )
        memory = BodyMemory()
        metrics = self.service.metrics if self.service is not None else None
        reads = Reads(metrics.lag if metrics is not None else None)

        def make(connection: socket.socket) -> HttpProtocol:
            return HttpProtocol(
                self._loop,
                limits,
                self._tails,
                memory,
                self._connections,
                self._front.handle,
                reads,
                connection,
            )

        return make

    # Accepting

    def _accept(self, listener: Any) -> None:
        """Take one connection per pass of the loop, and none while this worker has more than its share."""
        held = self._held()
        self.shares.put(self.age, held)
        if self.shares.are_exceeded_by(held):
            self._pause_accepting(listener, _STEP_BACK)
        elif held >= self.cfg.worker_connections and not self._make_room():
            self._pause_accepting(listener, _EXHAUSTED)
        else:
            self._accept_one(listener)

    def _accept_one(self, listener: Any) -> bool:
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return False
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                raise
            if not self._make_room():
                self.log.warning("No connection can be accepted: %s", error.strerror)
                self._pause_accepting(listener, _EXHAUSTED)
            return False
        connection.setblocking(False)
        protocol = self._make_protocol(connection)
        self._connecting[protocol] = self._loop.create_task(self._connect(protocol, connection))
        return True

    async def _connect(self, protocol: HttpProtocol, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol, connection, ssl=self._ssl, **self._patience
            )
        except OSError:  # it left, or speaks no TLS
            connection.close()
        finally:
            del self._connecting[protocol]

    def _held(self) -> int:
        """Connections, set up or not."""
        return len(self._connections) + len(self._connecting.keys() - self._connections)

    def _pause_accepting(self, listener: Any, seconds: float) -> None:
        self._loop.remove_reader(listener.fileno())
        self._loop.call_later(seconds, self._resume_accepting, listener)

    def _resume_accepting(self, listener: Any) -> None:
        if self.alive:
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, if there is one."""
        idle = [connection for connection in self._connections if connection.is_idle]
        longest = min(idle, key=lambda connection: connection.idle_since, default=None)
        # What a new connection has sent may wait to be read.
        if longest is None or longest.idle_since > self._loop.time() - _NEW:
            return False
        longest.close()
        return True

    # Every now and then

    def _sweep(self) -> None:
        """End what has lasted too long."""
        now = self._loop.time()
        if self.alive:
            self.shares.put(self.age, self._held())
        for connection in [*self._connections]:
            connection.expire(now)
        if not self.alive:
            self._end_when_done(now)
        if self._stop_at is not None and self.alive and now >= self._stop_at:
            self._stop()
        self._loop.call_later(_SWEEP, self._sweep)

    def _beat(self) -> None:
        """Once a second: gunicorn's heartbeat, the date, metrics, another model."""
        self.notify()
        self._tails.renew()
        if self.model_swap is not None:
            self.model_swap.poll()
        if self.service is not None and self.service.metrics is not None and not self._is_telling:
            self._is_telling = True
            self._run_in_pieces(self.service.metrics.beat(self._busy.passed()))
        if self.ppid != os.getppid() and self.alive:
            self.log.info("The main process has gone: the worker ends")
            self._told_to_end(signal.SIGTERM)
        self._loop.call_later(1.0, self._beat)

    def _run_in_pieces(self, work: Iterator[None]) -> None:
        """Let requests pass between pieces of what has time."""
        deadline = time.monotonic() + _PIECE
        try:
            for _ in work:
                if time.monotonic() > deadline:
                    self._loop.call_later(_BETWEEN_PIECES, self._run_in_pieces, work)
                    return
        except Exception:  # requests are answered all the same
            self.log.exception("Metrics are not told")
        self._is_telling = False

    # The end

    def _told_to_end(self, sig: signal.Signals) -> None:
        """SIGTERM: /ready says so, accepting stops after SKDEPLOY_DRAIN_DELAY. SIGINT, SIGQUIT: at once."""
        draining.set()
        if sig != signal.SIGTERM:
            self.alive = False
            self._done.set()
        elif self._stop_at is None:
            self._stop_at = self._loop.time() + self.settings.drain_delay
            if not self.settings.drain_delay:
                self._stop()

    def _stop(self) -> None:
        """Serve what the kernel has accepted, and accept no more."""
        self.alive = False
        self.shares.leave(self.age)
        self._ends_at = self._loop.time() + self.settings.graceful_timeout
        for listener in self.sockets:
            self._loop.remove_reader(listener.fileno())
            # Where the main process goes on, as on SIGHUP, others accept what comes.
            if is_open_in(self.ppid, listener):
                self._close_listener(listener)
            else:
                stop_handshakes(listener)
                self._closing.append(listener)
                self._loop.call_later(_HANDSHAKE, self._close_listener, listener)
        self._end_when_done(self._loop.time())

    def _close_listener(self, listener: Any) -> None:
        """Accept what has come, and close the socket at once: nobody would answer what comes later."""
        if listener in self._closing:
            self._closing.remove(listener)
            stop_handshakes(listener)  # another worker may have been here
        while self._accept_one(listener):
            pass
        allow_handshakes(listener)
        listener.close()

    def _end_when_done(self, now: float) -> None:
        stopped = self._ends_at - self.settings.graceful_timeout
        for connection in [*self._connections]:
            connection.drain()
            if connection.is_idle and now > max(stopped, connection.idle_since) + _IDLE_AT_END:
                connection.close()
        if not self._connections and not self._connecting and not self._closing:
            self._done.set()
        elif now > self._ends_at:
            self.log.warning(
                "%d connections were open after the %d seconds of SKDEPLOY_GRACEFUL_TIMEOUT and are cut off",
                len(self._connections),
                self.settings.graceful_timeout,
            )
            self._done.set()


def _trust(allowed: list[str] | str) -> Callable[[str], bool]:
    """Whether an address is one of FORWARDED_ALLOW_IPS: addresses, networks, or `*`."""
    names = allowed.split(",") if isinstance(allowed, str) else allowed
    if "*" in names:
        return lambda _: True
    networks = [ipaddress.ip_network(name.strip(), strict=False) for name in names if name.strip()]

    def is_trusted(address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:  # a Unix socket has none
            return False
        return any(parsed in network for network in networks)

    return is_trusted
