"""The service's port: reserved while nothing is loaded, so that a taken one is told at once.

It imports nothing but the standard library.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Mapping
from typing import NoReturn

Address = tuple[str, int]


def are_inherited(environ: Mapping[str, str]) -> bool:
    """Whether this process has its sockets from its parent: gunicorn on SIGUSR2, or systemd."""
    return "GUNICORN_FD" in environ or environ.get("LISTEN_PID") == str(os.getpid())


def reserve(address: Address) -> str:
    """Bind an address, and give it as gunicorn takes it: fd://N.

    Connections are refused until gunicorn listens. An address that cannot be bound ends the process, with a
    remedy.
    """
    host, port = address
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        try:
            # Nobody else can bind it now, while SO_REUSEADDR lets two bind until one listens.
            listener.bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            # Connections of a service that ended just before do not stand in the way.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        listener.close()
        refuse(error, f"Port {port} of {host}")
    return f"fd://{listener.detach()}"


def refuse(error: OSError, place: str) -> NoReturn:
    """End the process with the reason why a place cannot be bound, and what to do."""
    why = {
        errno.EADDRINUSE: "is taken by another process: stop it, or choose another port, such as --port 9797",
        errno.EADDRNOTAVAIL: "cannot be used: this machine does not have that address (--bind-address)",
        errno.EACCES: "cannot be used: ports below 1024 need privileges (--port 9696)",
    }.get(error.errno or 0, f"cannot be used: {error.strerror or error}")
    print(f"The service does not start: {place} {why}.", file=sys.stderr)
    raise SystemExit(1)
