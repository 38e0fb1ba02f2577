"""How a listening socket is closed without resetting a connection that the kernel has completed.

Between the last accept and close, handshakes go on: the kernel resets those that it has completed then, and
clients take it for a request that was lost. A socket filter drops SYN packets meanwhile: handshakes under way
come to their end, no other begins, and a client that comes now is refused when it tries again.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from pathlib import Path

# Of <linux/filter.h> and <asm-generic/socket.h>; Python's socket module has no names for them.
_ATTACH_FILTER, _DETACH_FILTER = 26, 27
_LOAD_BYTE, _JUMP_IF_SET, _RETURN = 0x30, 0x45, 0x06
_FLAGS, _SYN, _ALL = 13, 0x02, 0xFFFFFFFF
_INSTRUCTION = struct.Struct("HBBI")
# A packet is a TCP header and what follows it.
_PROGRAM = (
    (_LOAD_BYTE, 0, 0, _FLAGS),
    (_JUMP_IF_SET, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _ALL),
)


def stop_handshakes(listener: socket.socket) -> None:
    """Let no further handshake begin, where the kernel can do so."""
    if listener.family not in (socket.AF_INET, socket.AF_INET6):
        return
    instructions = ctypes.create_string_buffer(b"".join(_INSTRUCTION.pack(*step) for step in _PROGRAM))
    program = struct.pack("HP", len(_PROGRAM), ctypes.addressof(instructions))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, program)


def allow_handshakes(listener: socket.socket) -> None:
    """As before: the socket may be another process's as well, systemd's for instance."""
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)


def is_open_in(pid: int, listener: socket.socket) -> bool:
    """Whether a process has this socket; True where it does not let itself be looked at."""
    ours = os.fstat(listener.fileno())
    try:
        return any(_is_same(entry, ours) for entry in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return True


def _is_same(entry: Path, ours: os.stat_result) -> bool:
    try:
        return os.path.samestat(entry.stat(), ours)
    except FileNotFoundError:  # closed meanwhile
        return False
