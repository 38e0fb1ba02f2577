"""What the event loop cannot see by itself: since when a request has been there, and how busy the loop is.

The loop knows of a request only when it reads it, and while it is busy it reads nothing. So the kernel is
asked: over plain TCP it stamps what it receives (SO_TIMESTAMPNS), and the stamp of the first unread byte is
seen without reading it. Over TLS the bytes have been decrypted by then, and the kernel says to a tick (1 to
10 ms) when the connection received something last. Nobody knows how long a request lay in the client's own
buffers, on the way, or in a handshake that the kernel had no room for.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skdeploy.web.metrics import Bins

# Of Linux, include/uapi/asm-generic/socket.h: Python does not name it.
_TIMESTAMPNS = 35
_STAMP = struct.Struct("qq")
_ROOM = socket.CMSG_SPACE(_STAMP.size)
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
# struct tcp_info: tcpi_last_data_recv, milliseconds, is the last of these bytes.
_INFO_SIZE = 56
_LAST = struct.Struct("52xI")
_BUFFER_SIZE = 256 * 1024


class Reads:
    """What the connections of a worker are read into, and how late.

    buffer   of all connections: what was read is copied before the next one is
    """

    def __init__(self, lag: Bins | None) -> None:
        """`lag` counts how long bytes waited; None: nobody wants to know, and the kernel is not asked."""
        self.buffer = memoryview(bytearray(_BUFFER_SIZE))
        self._lag = lag

    def came(self, connection: socket.socket | None, scheme: str) -> float:
        """time.monotonic() when the bytes came that are about to be read."""
        if self._lag is None or connection is None:
            return time.monotonic()
        waited = unread_for(connection) if scheme == "http" else received_for(connection)
        self._lag.add(waited)
        return time.monotonic() - waited


class BusyTime:
    """Seconds that the thread that makes it has computed, or would have if a CPU had been free.

    CPU time alone would call a loop idle that the kernel lets starve.
    """

    def __init__(self) -> None:
        try:
            # The kernel opens it for the calling thread, whichever thread reads it later.
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no Linux, or one without scheduler statistics
            self._file = -1
        self._until = self._now()

    def passed(self) -> float:
        """Since the last call; called by the same thread."""
        until, self._until = self._until, self._now()
        return self._until - until

    def _now(self) -> float:
        if self._file < 0:
            return time.thread_time()
        running, queued, _ = os.pread(self._file, 64, 0).split()
        return (int(running) + int(queued)) / 1e9


def stamp(connection: socket.socket) -> None:
    """Let the kernel stamp what a socket, or the connections of a listening one, receives from now on."""
    if sys.platform == "linux":
        connection.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)


def unread_for(connection: socket.socket) -> float:
    """Seconds since the first unread byte came; 0.0 where the kernel does not say so."""
    try:
        _, ancillary, _, _ = connection.recvmsg(1, _ROOM, _PEEK)
    except OSError:
        return 0.0
    if not ancillary:
        return 0.0
    seconds, nanoseconds = _STAMP.unpack(ancillary[0][2])
    waited: float = time.time() - seconds - nanoseconds * 1e-9
    return max(0.0, waited)


def received_for(connection: socket.socket) -> float:
    """Seconds since a connection received its last byte, to a tick; 0.0 where the kernel does not say so."""
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_SIZE)
        (milliseconds,) = _LAST.unpack(info)
    except (OSError, struct.error):
        return 0.0
    return float(milliseconds) / 1000
