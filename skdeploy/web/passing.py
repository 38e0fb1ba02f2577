"""The gate around the whole application: both ways of a request lie behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from skdeploy.web.gate import Gate
from skdeploy.web.headers import PREDICTION, SECURE, missing

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

# Where the application leaves a request's body for the log, if that wants it.
BODY = "skdeploy.body"


class Passing:
    """A WSGI application in front of another one.

    routes    the paths that there are
    version   of the model that answers now
    """

    def __init__(self, app: Wsgi, gate: Gate, routes: Iterable[str], version: Callable[[], str]) -> None:
        self.app = app
        self._gate, self._routes, self._version = gate, frozenset(routes), version

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """WSGI, as PEP 3333 has it."""
        began = time.perf_counter()
        gate = self._gate
        identity = gate.identify(environ)
        key, instead = gate.admit(environ)
        if instead is None:
            status, headers, body = self._ask(environ)
        else:
            code, headers, body = instead
            status = f"{code} {HTTPStatus(code).phrase.upper()}"
            if code != HTTPStatus.NO_CONTENT:
                headers = [*headers, ("Content-Length", str(len(body)))]
        headers = [*headers, *gate.headers(environ, identity)]
        path = environ["PATH_INFO"]
        if path == "/predict" and environ.get("wsgi.url_scheme") != "https":
            headers += PREDICTION  # it has none of them
        else:
            headers += missing(environ, headers, PREDICTION if path == "/predict" else SECURE)
        start_response(status, headers)
        if gate.watching:
            gate.record(
                environ,
                identity,
                status=int(status[:3]),
                seconds=time.perf_counter() - began,
                key=key,
                route=path if path in self._routes else None,
                model=self._version(),
                bytes_in=_length(environ),
                bytes_out=len(body),
                body=environ.get(BODY),
                answer=body if gate.wants_both else None,
            )
        return [body]

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
