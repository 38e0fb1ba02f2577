"""`POST /predict` without Flask's machinery, which takes longer than the prediction.

Everything else goes on to the application; and the application answers `POST /predict` in the same
words if it is asked, because both call one function. One test suite runs over both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

# (environ) -> (status, headers, body)
Respond = Callable[[dict[str, Any]], tuple[int, list[tuple[str, str]], bytes]]
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

_STATUS_LINES = {status.value: f"{status.value} {status.phrase.upper()}" for status in HTTPStatus}


class ShortCut:
    """A WSGI application in front of another one."""

    def __init__(self, app: Wsgi, respond: Respond) -> None:
        self.app, self._respond = app, respond

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """WSGI, as PEP 3333 has it."""
        if environ["PATH_INFO"] != "/predict" or environ["REQUEST_METHOD"] != "POST":
            return self.app(environ, start_response)
        status, headers, body = self._respond(environ)
        start_response(_STATUS_LINES[status], [*headers, ("Content-Length", str(len(body)))])
        return [body]
