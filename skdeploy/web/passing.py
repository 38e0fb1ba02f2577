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
from skdeploy.web.trace_context import Identity

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
        identity = gate.identify(environ)
        path = environ["PATH_INFO"]
        if (exchange.shed or exchange.waited > self._patience) and path not in PROBES:
            key: str | None = None
            instead: Answer | None = problems.respond(overloaded(exchange))
        else:
            key, instead = gate.admit(environ)
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
        self._record(environ, exchange, identity, status=int(status[:3]), key=key, answer=body)
        return [body]

    def _record(
        self,
        environ: dict[str, Any],
        exchange: Exchange,
        identity: Identity,
        *,
        status: int,
        key: str | None,
        answer: bytes,
    ) -> None:
        gate, path = self._gate, environ["PATH_INFO"]
        route = path if path in self._routes else STATIC if path.startswith("/static/") else None
        if self._metrics is not None:
            method = environ["REQUEST_METHOD"]
            self._metrics.end(exchange, route or OTHER, method if method in METHODS else OTHER, status)
        if not gate.watching:
            return
        gate.record(
            environ,
            identity,
            status=status,
            seconds=time.monotonic() - exchange.began,
            key=key,
            route=route,
            parse=exchange.parse,
            predict=exchange.predict,
            encode=exchange.encode,
            records=exchange.records,
            rejected=exchange.rejected if exchange.records is not None else None,
            model=exchange.model,
            bytes_in=_length(environ),
            bytes_out=len(answer),
            body=exchange.body,
            answer=answer if gate.wants_both else None,
        )

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


def _length(environ: dict[str, Any]) -> int | None:
    length = environ.get("CONTENT_LENGTH", "")
    return int(length) if length.isdecimal() else None
