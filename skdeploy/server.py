"""gunicorn as `skdeploy serve` runs it: our configuration, and sockets bound before the model is loaded."""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Any, NoReturn

from gunicorn import systemd
from gunicorn.app.base import Application

from skdeploy import gunicorn_conf


class Server(Application):  # type: ignore[misc]  # gunicorn has no types
    """The service as one process that never returns from `run`.

    A port that is taken is told before the model is loaded. GUNICORN_CMD_ARGS may set anything of gunicorn's
    but the application.
    """

    def __init__(self) -> None:
        # On SIGUSR2 a new process, and from systemd any, has its sockets from its parent.
        self._inherits = "GUNICORN_FD" in os.environ or systemd.listen_fds(unset_environment=False) > 0
        self._bound: dict[tuple[str, int], str] = {}
        super().__init__()

    def load_config(self) -> None:
        """At the start, and on SIGHUP, which must find the same addresses."""
        for name, value in vars(gunicorn_conf).items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)
        given = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        for name, value in vars(given).items():
            if value is not None and name != "args":
                self.cfg.set(name, value)
        addresses = self.cfg.address
        if not (self._inherits or self.cfg.reuse_port) and all(isinstance(one, tuple) for one in addresses):
            self.cfg.set("bind", [self._bound.get(one) or self._bind(one) for one in addresses])

    def load(self) -> Any:
        """The application, its model loaded and proved."""
        from skdeploy.web.wsgi import app

        return app

    def run(self) -> NoReturn:
        """Serve until told to end."""
        # Here, so that its exit code is not taken for gunicorn's.
        self.wsgi()
        try:
            super().run()
        except SystemExit as ended:
            # gunicorn has codes of its own for workers that do not start.
            raise SystemExit(1 if ended.code else 0) from None
        except OSError as error:  # two services that started at once both had the port
            if error.errno != errno.EADDRINUSE:
                raise
            _refuse(error, "The port")
        raise SystemExit(0)

    def _bind(self, address: tuple[str, int]) -> str:
        """Reserve an address; connections are refused until gunicorn listens, after the proof."""
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
            _refuse(error, f"Port {port} of {host}")
        self._bound[address] = bound = f"fd://{listener.detach()}"
        return bound


def _refuse(error: OSError, place: str) -> NoReturn:
    why = {
        errno.EADDRINUSE: "is taken by another process: stop it, or choose another port, such as --port 9797",
        errno.EADDRNOTAVAIL: "cannot be used: this machine does not have that address (--bind-address)",
        errno.EACCES: "cannot be used: ports below 1024 need privileges (--port 9696)",
    }.get(error.errno or 0, f"cannot be used: {error.strerror or error}")
    print(f"The service does not start: {place} {why}.", file=sys.stderr)
    raise SystemExit(1)
