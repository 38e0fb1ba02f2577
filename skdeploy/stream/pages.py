"""/metrics, /ready and /health, on a port of their own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from skdeploy.errors import SettingsError

_TEXT = "text/plain; charset=utf-8"


@contextlib.contextmanager
def pages(
    address: str, port: int, registry: CollectorRegistry, not_ready: Callable[[], str | None]
) -> Iterator[None]:
    """Serve them while the block runs; port 0 serves none.

    not_ready   why the consumer is not ready; None if it is

    Raises SettingsError if the port cannot be had.
    """
    if not port:
        yield
        return

    class Handler(_Handler):
        def answer(self, path: str) -> tuple[int, str, bytes]:
            if path == "/metrics":
                return 200, CONTENT_TYPE_LATEST, generate_latest(registry)
            if path == "/health":
                return 200, _TEXT, b"ok\n"
            if path == "/ready":
                reason = not_ready()
                return (200, _TEXT, b"ready\n") if reason is None else (503, _TEXT, f"{reason}\n".encode())
            return 404, _TEXT, b"/metrics, /ready and /health are here.\n"

    class Server(ThreadingHTTPServer):
        address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

    try:
        server = Server((address, port), Handler)
    except OSError as error:
        raise SettingsError(
            f"SKDEPLOY_METRICS_LISTEN={port} of {address} cannot be had: {error.strerror or error}. Choose "
            "another, "
            "or 0 for none."
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), name="pages", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 10

    def answer(self, path: str) -> tuple[int, str, bytes]:
        raise NotImplementedError

    def do_GET(self) -> None:
        """Answer."""
        status, kind, body = self.answer(self.path.partition("?")[0])
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Requests are not logged."""
