"""The gate around the whole application: both ways of a request lie behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from skdeploy.web import problems
from skdeploy.web.exchange import Exchange
from skdeploy.web.gate import Answer, Gate
from skdeploy.web.headers import PREDICTION, SECURE, missing
from skdeploy.web.limits import PROBES, overloaded
from skdeploy.web.metrics import Metrics

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

# What a path or a method that there is not is counted as: callers' inventions would be series for ever.
OTHER = "(other)"
STATIC = "/static/<name>"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class Passing:
    """A WSGI application in front of another one.

    routes    the paths that there are
    metrics   counts what passes; None if nobody wants to know
    patience  seconds after its arrival in which a request must have been taken up
    """

    def __init__(
        self, app: Wsgi, gate: Gate, routes: Iterable[str], metrics: Metrics | None, patience: float
    ) -> None:
        self.app = app
        self._gate, self._routes, self._metrics = gate, frozenset(routes), metrics
        self._patience = patience

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """WSGI, as PEP 3333 has it."""
        gate, metrics = self._gate, self._metrics
        exchange = Exchange(environ)
        if metrics is not None:
            metrics.begin(exchange)
        exchange.identity = identity = gate.identify(environ)
        path = environ["PATH_INFO"]
        if (exchange.shed or exchange.waited > self._patience) and path not in PROBES:
            instead: Answer | None = problems.respond(overloaded(exchange))
        else:
            exchange.key, instead = gate.admit(environ)
        if instead is None:
            status, headers, body = self._ask(environ)
        else:
            code, headers, body = instead
            status = f"{code} {HTTPStatus(code).phrase.upper()}"
            if code != HTTPStatus.NO_CONTENT:
                headers = [*headers, ("Content-Length", str(len(body)))]
        headers = [*headers, *gate.headers(environ, identity)]
        if path == "/predict" and environ.get("wsgi.url_scheme") != "https":
            headers += PREDICTION  # it has none of them
        else:
            headers += missing(environ, headers, PREDICTION if path == "/predict" else SECURE)
        start_response(status, headers)
        exchange.status, exchange.answer = int(status[:3]), body
        self._record(environ, exchange)
        return [body]

    def _record(self, environ: dict[str, Any], exchange: Exchange) -> None:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        exchange.route = path if path in self._routes else STATIC if path.startswith("/static/") else None
        if self._metrics is not None:
            known = method if method in METHODS else OTHER
            self._metrics.end(exchange, exchange.route or OTHER, known, exchange.status)
        if self._gate.watching:
            exchange.seconds = time.monotonic() - exchange.began
            self._gate.record(environ, exchange)

    def _ask(self, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
        """Status line, headers and body of the application's answer."""
        given: list[Any] = []
        chunks = self.app(environ, lambda *start: given.extend(start[:2]))
        try:
            body = b"".join(chunks)
        finally:
            if hasattr(chunks, "close"):
                chunks.close()
        return given[0], given[1], body
