"""The Flask application: routes onto what is served, behind the middleware."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flask
import msgspec
from flask import Flask, Response, request

from skdeploy.config import WebSettings
from skdeploy.errors import SourceError
from skdeploy.model import Model
from skdeploy.reload import Control
from skdeploy.web import browsing, pages, problems
from skdeploy.web.context import CONTEXT
from skdeploy.web.metrics import Metrics
from skdeploy.web.middleware import Middleware
from skdeploy.web.predict import Answer
from skdeploy.web.routes import HEALTH, INDEX, METRICS, PREDICT, READY, RELOAD, ROUTES, add
from skdeploy.web.serving import ONLY, Slot

if TYPE_CHECKING:
    from skdeploy.web.spans import Spans

EXTENSION = "skdeploy"


@dataclass(frozen=True, slots=True)
class Service:
    """What stands behind the routes; the application has it as its extension "skdeploy".

    models      what is served, by name
    middleware  what every request passes; it is also the application's `wsgi_app`
    metrics     None if nothing is counted
    hooks       what the application had of Flask's hooks when it was made, for `foreign_hooks`
    """

    models: Mapping[str, Slot]
    middleware: Middleware
    metrics: Metrics | None
    hooks: list[Any]

    def ready(self) -> Answer:
        """The answer of GET /ready: the model predicts, and the process is not about to end."""
        serving = self.models[ONLY].current
        serving.one_thread.enter()
        reason = pages.readiness(serving.model)
        if reason is not None:
            return problems.respond(problems.HttpProblem(503, "not-ready", "Not ready", reason))
        return 200, pages.JSON, b'{"status":"ready"}'

    def predict(self, context: Any) -> Answer:
        """The answer of POST /predict."""
        return self.models[ONLY].current.predictor.respond(context)


def create_app(
    model: Model,
    settings: WebSettings,
    control: Control | None = None,
    spans: Spans | None = None,
    shared: Path | None = None,
) -> Flask:
    """A Flask application that answers with `model`, as `settings` say.

    control   of the source poller, if there is one: `GET /` shows it, `POST /admin/reload` asks it
    spans     what makes spans of requests, if anything does
    shared    PROMETHEUS_MULTIPROC_DIR, the folder of all workers' metrics; None: there is but this process

    Its extension "skdeploy" is the `Service`. Raises SettingsError if SKDEPLOY_ID_FIELD is a column of the
    model or a part of the answer, or if SKDEPLOY_API_KEYS_FILE cannot be used.
    """
    slot = Slot(model, settings)
    app = Flask(__name__, static_folder=None)
    metrics = Metrics(slot, shared, control) if settings.metrics else None
    problems.install(app)
    _add_pages(app, slot, control)
    if control is not None and settings.admin_token:
        _add_admin(app, control, settings.admin_token)
    if metrics is not None:
        _add_metrics(app, metrics)
    middleware = Middleware(app.wsgi_app, settings, metrics=metrics, spans=spans)
    service = Service({ONLY: slot}, middleware, metrics, [])
    _add_routes(app, service)
    browsing.install(app, slot, settings)
    app.wsgi_app = middleware  # type: ignore[method-assign]
    app.extensions[EXTENSION] = service
    service.hooks.extend(_hooks(app))
    return app


def foreign_hooks(app: Any) -> str | None:
    """Why the event loop must not answer in place of `app`: somebody else has a word in its requests.

    None if the application is ours as `create_app` made it, but for further routes.
    """
    if not isinstance(app, Flask) or EXTENSION not in app.extensions:
        return f"the application is not the Flask application of skdeploy but {type(app).__name__}"
    service: Service = app.extensions[EXTENSION]
    if type(app) is not Flask:
        return f"the application is a {type(app).__name__}, a subclass of Flask"
    if app.wsgi_app is not service.middleware:
        return "app.wsgi_app is wrapped"
    if _hooks(app) != service.hooks:
        return (
            "the application has hooks (before_request, after_request, teardown, error handlers or signals)"
        )
    return None


def _hooks(app: Flask) -> list[Any]:
    """Everything of Flask's that is called for every request, or in place of one of our routes."""
    registered = (
        app.before_request_funcs,
        app.after_request_funcs,
        app.teardown_request_funcs,
        app.url_value_preprocessors,
    )
    signals = (
        flask.request_started,
        flask.request_finished,
        flask.request_tearing_down,
        flask.got_request_exception,
        flask.appcontext_pushed,
        flask.appcontext_popped,
        flask.appcontext_tearing_down,
    )
    ours = {route.path for route in ROUTES if route.loop}
    return [
        *([*funcs.get(None, [])] for funcs in registered),
        [*app.teardown_appcontext_funcs],
        {code: [*handlers] for code, handlers in app.error_handler_spec.get(None, {}).items()},
        [sorted(signal.receivers) for signal in signals],
        [
            (rule.rule, app.view_functions[rule.endpoint])
            for rule in app.url_map.iter_rules()
            if rule.rule in ours
        ],
    ]


def _add_routes(app: Flask, service: Service) -> None:
    def response(answer: Answer) -> Response:
        status, headers, body = answer
        return Response(body, status, headers)

    @add(app, PREDICT)
    def predict() -> Response:
        return response(service.predict(request.environ[CONTEXT]))

    @add(app, HEALTH)
    def health() -> Response:
        return response(pages.health())

    @add(app, READY)
    def ready() -> Response:
        return response(service.ready())


def _add_pages(app: Flask, slot: Slot, control: Control | None) -> None:
    @add(app, INDEX)
    def index() -> Response:
        about = slot.current.about | (control.status() if control else {})
        return browsing.index(about)


def _add_metrics(app: Flask, metrics: Metrics) -> None:
    @add(app, METRICS)
    def exposition() -> Response:
        content, content_type = metrics.render(request.headers.get("Accept", ""))
        return Response(content, content_type=content_type)


def _add_admin(app: Flask, control: Control, token: str) -> None:
    @add(app, RELOAD)
    def reload() -> Response:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise problems.HttpProblem(
                401,
                "unauthorized",
                "Unauthorized",
                "Send the header Authorization: Bearer SKDEPLOY_ADMIN_TOKEN.",
            )
        try:
            target = control.reload()
        except SourceError as error:
            raise problems.HttpProblem(
                502, "source-unavailable", "The source has no model", str(error)
            ) from error
        return Response(msgspec.json.encode({"target": target}), 202, content_type="application/json")
