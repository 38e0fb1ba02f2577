"""A client that asks by the short cut and by Flask's own way, and demands one answer."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

from flask.testing import FlaskClient

from skdeploy.model import Model
from skdeploy.settings import Settings
from skdeploy.web import create_app
from skdeploy.web.passing import Passing
from skdeploy.web.shortcut import ShortCut

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


def client_of(model: Model, **settings: str) -> FlaskClient:
    """A client of a service with `model`; AssertionError if the two ways differ in a byte."""
    app = create_app(model, Settings.from_env(settings))
    passing = app.wsgi_app
    assert isinstance(passing, Passing)
    assert isinstance(passing.app, ShortCut)
    passing.app = _both(passing.app, passing.app.app)
    return app.test_client()


def _both(one: Wsgi, other: Wsgi) -> Wsgi:
    def ask(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        status, headers, body = _answer(one, environ)
        assert _answer(other, environ) == (status, headers, body)
        start_response(status, headers)
        return [body]

    return ask


def _answer(app: Wsgi, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Status line, headers in order, and body; the request's body is left as it was."""
    given: list[Any] = []
    copied = dict(environ)
    if isinstance(environ["wsgi.input"], io.BytesIO):
        copied["wsgi.input"] = io.BytesIO(environ["wsgi.input"].getvalue())
    body = b"".join(app(copied, lambda *start: given.extend(start[:2])))
    status, headers = given
    return status, sorted(headers), body
