"""A request of the event loop, answered by a WSGI application (PEP 3333)."""

from __future__ import annotations

import io
import sys
from typing import Any

from werkzeug.exceptions import RequestEntityTooLarge

from skdeploy.web.context import CONTEXT
from skdeploy.web.http import LoopRequest


class _Oversized(io.RawIOBase):
    """A body larger than SKDEPLOY_MAX_BODY: reading it is refused, so that none takes it for an empty one."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: Any, /) -> int:
        raise RequestEntityTooLarge


def _input(request: LoopRequest) -> Any:
    return io.BufferedReader(_Oversized()) if request.oversized else io.BytesIO(request.body or b"")


def environ_of(request: LoopRequest, *, multiprocess: bool) -> dict[str, Any]:
    """The WSGI environment of a request."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path,
        "QUERY_STRING": request.query,
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "SERVER_NAME": request.host or "localhost",
        "SERVER_PORT": str(request.port),
        "REMOTE_ADDR": request.remote,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": _input(request),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": multiprocess,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
        CONTEXT: request,
    }
    for name, value in request.headers.items():
        # X_API_KEY and X-API-Key would be one variable: a proxy in front knows only one of them.
        if b"_" not in name:
            environ["HTTP_" + name.decode("latin-1").replace("-", "_").upper()] = value.decode("latin-1")
    for variable in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if "HTTP_" + variable in environ:
            environ[variable] = environ.pop("HTTP_" + variable)
    if "CONTENT_LENGTH" not in environ and request.body:
        environ["CONTENT_LENGTH"] = str(len(request.body))
    return environ


def call(app: Any, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers and body of the application's answer; raises what it raises."""
    given: list[Any] = []
    written: list[bytes] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        if exc_info is not None and given:
            given.clear()
        given.extend((status, headers))
        return written.append

    chunks = app(environ, start_response)
    try:
        written.extend(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    status, headers = given
    return status, headers, b"".join(written)
