"""What people and tools read: the page at /, /docs, /openapi.json, and the files these need."""

from __future__ import annotations

from importlib import resources
from typing import Any

import msgspec
from flask import Flask, Response, request

from skdeploy.config import WebSettings
from skdeploy.web.openapi import Surface, openapi
from skdeploy.web.problems import HttpProblem
from skdeploy.web.routes import DOCS, DOCUMENT, METRICS, RELOAD, STATIC, add
from skdeploy.web.serving import Serving, Slot

_FILES = {
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "docs.js": "text/javascript; charset=utf-8",
    "common.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def wants_page() -> bool:
    """Whether the request under way is a browser's: it names text/html, and likes it no less than JSON."""
    accept = request.accept_mimetypes
    named = any(kind == "text/html" for kind, _ in accept)
    return named and accept["text/html"] >= accept["application/json"]


def index(about: dict[str, Any]) -> Response:
    """The answer of `GET /`: the page, or `about` as JSON."""
    if wants_page():
        answer = _page("index.html")
    else:
        answer = Response(msgspec.json.encode(about), content_type="application/json")
    answer.headers["Vary"] = "Accept"
    return answer


def install(app: Flask, slot: Slot, settings: WebSettings) -> None:
    """Add the routes to `app`, once it has its others: the document names those that are there."""
    documents = _Documents(app, settings)

    @add(app, DOCUMENT)
    def document() -> Response:
        return Response(documents.of(slot.current), content_type="application/json")

    @add(app, DOCS)
    def docs() -> Response:
        return _page("docs.html")

    @add(app, STATIC)
    def static_file(name: str) -> Response:
        if name not in _FILES:
            raise HttpProblem(404, "not-found", "Not Found", "There is no such file.")
        return Response(_read(name), content_type=_FILES[name], headers=_PAGE | {"Cache-Control": "no-cache"})


class _Documents:
    """The document of what is served, made anew for another model."""

    def __init__(self, app: Flask, settings: WebSettings) -> None:
        self._app, self._settings = app, settings
        self._made: tuple[Serving, bytes] | None = None

    def of(self, serving: Serving) -> bytes:
        made = self._made
        if made is None or made[0] is not serving:
            document = openapi(serving.about, self._surface())
            self._made = made = (serving, msgspec.json.encode(document))
        return made[1]

    def _surface(self) -> Surface:
        there = {rule.rule for rule in self._app.url_map.iter_rules()}
        return Surface(
            max_records=self._settings.max_records,
            ignore_unknown=self._settings.unknown_columns == "ignore",
            secured=bool(self._settings.api_keys_file),
            metrics=METRICS.path in there,
            admin=RELOAD.path in there,
        )


def _page(name: str) -> Response:
    return Response(_read(name), content_type="text/html; charset=utf-8", headers=_PAGE)


def _read(name: str) -> bytes:
    return resources.files("skdeploy.web").joinpath("static", name).read_bytes()
