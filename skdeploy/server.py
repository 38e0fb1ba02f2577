"""gunicorn as `skdeploy serve` runs it: our configuration, and sockets bound before the model is loaded."""

from __future__ import annotations

import errno
import os
from typing import Any, NoReturn

from gunicorn.app.base import Application

from skdeploy import gunicorn_conf, ports


class Server(Application):  # type: ignore[misc]  # gunicorn has no types
    """The service as one process that never returns from `run`.

    reserved   addresses that are bound already, as gunicorn takes them

    GUNICORN_CMD_ARGS may set anything of gunicorn's but the application; addresses that it names are bound
    before the model is loaded as well.
    """

    def __init__(self, reserved: dict[ports.Address, str]) -> None:
        self._inherits = ports.are_inherited(os.environ)
        self._reserved = reserved
        super().__init__()

    def load_config(self) -> None:
        """At the start, and on SIGHUP, which must find the same addresses."""
        for name, value in vars(gunicorn_conf).items():
            if name in self.cfg.settings:
                self.cfg.set(name, value)
        given = self.cfg.parser().parse_args(self.cfg.get_cmd_args_from_env())
        if given.config:
            raise ValueError(
                f"GUNICORN_CMD_ARGS names the configuration {given.config}, and skdeploy serve has its own: "
                "run gunicorn skdeploy.web.wsgi:app with yours, which may import skdeploy.gunicorn_conf."
            )
        for name, value in vars(given).items():
            if value is not None and name != "args":
                self.cfg.set(name, value)
        addresses = self.cfg.address
        if not (self._inherits or self.cfg.reuse_port) and all(isinstance(one, tuple) for one in addresses):
            for address in addresses:
                if address not in self._reserved:
                    self._reserved[address] = ports.reserve(address)
            self.cfg.set("bind", [self._reserved[address] for address in addresses])

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
            ports.refuse(error, "The port")
        raise SystemExit(0)
