"""What a connection is made of, with bounds on a client's time and on what a loop waits for."""

from __future__ import annotations

import errno
import re
import socket
import time
from enum import Enum
from typing import Any

# The largest request, with its headers, that is gathered without a thread.
SMALL = 16 * 1024
_EXPECT = re.compile(rb"\r\nexpect:", re.IGNORECASE)
_UNKNOWN_LENGTH = re.compile(rb"\r\n(transfer-encoding|content-length):", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,7})[ \t]*\r\n", re.IGNORECASE)
_CHUNK = 64 * 1024


class DeadlineSocket(socket.socket):
    """A socket that bounds the time in which a request must arrive and an answer be taken.

    The clock starts with a request's first byte, or where gunicorn calls `setblocking(True)` for it.
    Who has waited for a thread all that time still has a tenth of the limit: enough to send what did
    not fit into the kernel's buffers, and too little for a crowd of half requests to hold the threads.
    Between `hold` and `send_held` nothing blocks, and answers are kept.

    arrived   what has been read of a request that is still coming
    expired   the time is over: the next read says so
    queued    time.monotonic() at which its request was given to the threads; 0: it was not
    shed      its request came when too many waited
    linger    closing at once could cost the client its answer: TCP drops it if bytes are unread
    """

    limit: float
    arrived = b""
    expired = False
    queued = 0.0
    shed = False
    linger = False
    _deadline: float = 0.0
    _first: float = 0.0
    _held: list[bytes] | None = None

    @classmethod
    def adopt(cls, plain: socket.socket, limit: float) -> DeadlineSocket:
        """Take over the connection of `plain`, which is no longer usable."""
        family, kind, proto = plain.family, plain.type, plain.proto
        adopted = cls(family, kind, proto, fileno=plain.detach())
        adopted.limit = limit
        return adopted

    def setblocking(self, flag: bool, /) -> None:
        """Blocking means: for at most `limit` seconds from now. On a closed socket, nothing."""
        if self._held is not None or self.fileno() < 0:
            return
        now = time.monotonic()
        first, self._first = self._first or now, 0.0
        self._deadline = now if self.expired else max(first + self.limit, now + self.limit / 10)
        self.settimeout(self.limit if flag else 0.0)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Raises ConnectionResetError once the request's time is over."""
        timeout = self.gettimeout()
        if not timeout:
            self._first = self._first or time.monotonic()
        else:
            self.settimeout(min(timeout, max(self._deadline - time.monotonic(), 0.001)))
        try:
            return super().recv(bufsize, flags)
        except TimeoutError:
            # gunicorn takes a reset for what it is: a client that went away, no error of ours.
            raise ConnectionResetError(errno.ECONNRESET, "the client was too slow") from None

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """The answer has a time of its own, however long the request took."""
        self.linger = True
        if self._held is not None:
            self._held.append(data)
            return
        self.settimeout(self.limit)
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise ConnectionResetError(errno.ECONNRESET, "the client was too slow") from None

    def hold(self) -> None:
        """Keep what is sent until `send_held`."""
        self._held = []

    def send_held(self) -> bytes:
        """Send what was kept, as far as the kernel takes it at once; the rest."""
        data, self._held, self._first = b"".join(self._held or ()), None, 0.0
        try:
            return data[self.send(data) :] if data else b""
        except BlockingIOError:
            return data


class BodyReader:
    """gunicorn's reader of one body, which ends the connection with an error in it.

    Where a broken body ends cannot be known: what follows it must not be taken for a request.
    """

    def __init__(self, request: Any) -> None:
        self._request, self._reader = request, request.body.reader

    @property
    def is_read(self) -> bool:
        """Whether its length was known, and all of it has been read."""
        return getattr(self._reader, "length", None) == 0

    def read(self, size: int) -> bytes:
        """At least `size` bytes if there are as many: gunicorn asks for a kilobyte at a time.

        Raises what the reader raises; the answer then says `Connection: close`.
        """
        try:
            content: bytes = self._reader.read(max(size, _CHUNK))
        except OSError:
            self._request.must_close = True
            raise
        return content


class Outlook(Enum):
    """What is to be expected of a request of which the first bytes have come."""

    WHOLE = "it has arrived"
    SHORT = "the rest will come soon, and is small"
    LONG = "it may be long in coming, or takes a dialogue"


def outlook(data: bytes) -> Outlook:
    """What a request will be whose first bytes are `data`.

    Only for choosing who reads it: gunicorn's parser decides what it is.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return Outlook.SHORT if len(data) < SMALL else Outlook.LONG
    length = _LENGTH.search(data, 0, end + 2)
    if length is None:
        return Outlook.LONG if _UNKNOWN_LENGTH.search(data, 0, end) else Outlook.WHOLE
    size = end + 4 + int(length[1])
    if size <= len(data):
        return Outlook.WHOLE
    return Outlook.LONG if size > SMALL or _EXPECT.search(data, 0, end) else Outlook.SHORT
