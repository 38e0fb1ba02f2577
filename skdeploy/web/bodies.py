"""How many bytes of unfinished and queued bodies a worker holds, and who has to wait for room."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skdeploy.web.http import HttpProtocol, LoopRequest

# Bytes of all bodies of a worker; a body below the second number never waits.
MOST_HELD = 64 * 1024 * 1024
_SMALL = 64 * 1024


class BodyMemory:
    """Beyond `most` bytes, connections with larger bodies are read one at a time, the oldest first.

    One of them is always read, so that it can come to its end and make room.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self._most = most
        self._held = 0
        self._leader: HttpProtocol | None = None
        self._waiting: deque[HttpProtocol] = deque()

    def add(self, request: LoopRequest, size: int) -> None:
        """So many bytes of the request's body have come."""
        request.held += size
        self._held += size
        protocol = request.protocol
        if self._held <= self._most or request.held <= _SMALL or self._leader is protocol:
            return
        if self._leader is None:
            self._leader = protocol
        elif protocol not in self._waiting:
            self._waiting.append(protocol)
            protocol.hold_body()

    def release(self, request: LoopRequest) -> None:
        """The request's body is not held any longer."""
        self._held -= request.held
        request.held = 0
        request.body = None
        protocol = request.protocol
        if protocol in self._waiting:
            self._waiting.remove(protocol)
            protocol.go_on()
        if self._leader is protocol:
            self._leader = None
        while self._waiting and (self._held < self._most or self._leader is None):
            following = self._waiting.popleft()
            if self._held >= self._most:
                self._leader = following
            following.go_on()
