"""The WSGI application: routes onto what is served."""

from __future__ import annotations

import hmac
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Flask, Response, request

from skdeploy.engines.batching import DEADLINE
from skdeploy.errors import SourceError, TooLate
from skdeploy.model import Model
from skdeploy.settings import Settings
from skdeploy.watch import Control
from skdeploy.web import browsing, problems
from skdeploy.web.body import read_json_body
from skdeploy.web.exchange import EXCHANGE, Exchange
from skdeploy.web.gate import Gate
from skdeploy.web.limits import too_late
from skdeploy.web.metrics import Metrics
from skdeploy.web.pages import readiness
from skdeploy.web.passing import Passing
from skdeploy.web.serving import Slot
from skdeploy.web.shortcut import ShortCut

if TYPE_CHECKING:
    from skdeploy.web.spans import Spans

_JSON = [("Content-Type", "application/json")]


def create_app(
    model: Model,
    settings: Settings,
    control: Control | None = None,
    spans: Spans | None = None,
    shared: Path | None = None,
) -> Flask:
    """A Flask application that answers with `model`, as `settings` say.

    control   of the watcher, if there is one: `GET /` shows it, `POST /admin/reload` asks it
    spans     what makes spans of requests, if anything does
    shared    PROMETHEUS_MULTIPROC_DIR, the folder of all workers' metrics; None: there is but this process

    Its extension "skdeploy" is the `Slot` that the model is in, "skdeploy.gate" the `Gate` that requests
    pass, "skdeploy.metrics" the `Metrics`, or None. Raises SettingsError if ID_FIELD is a column of the
    model or a part of the answer, or if API_KEYS_FILE cannot be used.
    """
    slot = Slot(model, settings)
    app = Flask(__name__, static_folder=None)
    app.extensions["skdeploy"] = slot
    problems.install(app)
    _add_predict(app, slot, settings.max_body, settings.request_timeout)
    _add_pages(app, slot, control)
    if control is not None and settings.admin_token:
        _add_admin(app, control, settings.admin_token)
    app.extensions["skdeploy.metrics"] = metrics = (
        Metrics(slot, shared, control) if settings.metrics else None
    )
    if metrics is not None:
        _add_metrics(app, metrics)
    browsing.install(app, slot, settings)
    app.extensions["skdeploy.gate"] = gate = Gate.from_settings(settings, spans)
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    patience = settings.request_timeout
    app.wsgi_app = Passing(app.wsgi_app, gate, routes, metrics, patience)  # type: ignore[method-assign]
    return app


def _add_predict(app: Flask, slot: Slot, max_body: int, patience: float) -> None:
    def respond(environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        predictor = slot.current.predictor
        exchange: Exchange = environ[EXCHANGE]
        exchange.model = predictor.version
        try:
            options = predictor.parse_query(environ.get("QUERY_STRING", ""))
            exchange.body = body = read_json_body(environ, max_body)
            deadline = exchange.began + patience
            if time.monotonic() > deadline:
                return problems.respond(too_late())
            before = DEADLINE.set(deadline)
            try:
                status, answer = predictor.answer(body, options, exchange)
            finally:
                DEADLINE.reset(before)
        except TooLate:
            return problems.respond(too_late())
        except Exception as error:  # each has its document
            return problems.respond(error)
        return status, _JSON if status == 200 else problems.HEADERS, answer

    @app.post("/predict")
    def predict() -> Response:
        status, headers, answer = respond(request.environ)
        return Response(answer, status, headers)

    app.wsgi_app = ShortCut(app.wsgi_app, respond)  # type: ignore[method-assign]


def _add_pages(app: Flask, slot: Slot, control: Control | None) -> None:
    @app.get("/")
    def index() -> Response:
        about = slot.current.about | (control.status() if control else {})
        return browsing.index(about)

    @app.get("/health")
    def health() -> Response:
        return Response(b'{"status":"ok"}', content_type="application/json")

    @app.get("/ready")
    def ready() -> Response:
        reason = readiness(slot.current.model)
        if reason is not None:
            raise problems.HttpProblem(503, "not-ready", "Not ready", reason)
        return Response(b'{"status":"ready"}', content_type="application/json")


def _add_metrics(app: Flask, metrics: Metrics) -> None:
    @app.get("/metrics")
    def exposition() -> Response:
        content, content_type = metrics.render(request.headers.get("Accept", ""))
        return Response(content, content_type=content_type)


def _add_admin(app: Flask, control: Control, token: str) -> None:
    @app.post("/admin/reload")
    def reload() -> Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise problems.HttpProblem(
                401, "unauthorized", "Unauthorized", "Send the header Authorization: Bearer ADMIN_TOKEN."
            )
        try:
            target = control.reload()
        except SourceError as error:
            raise problems.HttpProblem(
                502, "source-unavailable", "The source has no model", str(error)
            ) from error
        return Response(msgspec.json.encode({"target": target}), 202, content_type="application/json")
