"""The WSGI application for one model."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from flask import Flask, Response, request

from skdeploy.errors import SettingsError
from skdeploy.model import Model, batched
from skdeploy.schema import RecordReader
from skdeploy.settings import Settings
from skdeploy.web import problems
from skdeploy.web.body import read_json_body
from skdeploy.web.pages import about, readiness
from skdeploy.web.predicting import Predictor
from skdeploy.web.shortcut import ShortCut
from skdeploy.web.threads import on_one_thread

_log = logging.getLogger(__name__)

_JSON = [("Content-Type", "application/json")]
_DEFAULT_ID_FIELD = "id"
# What an answer says of its own; a key of that name would overwrite it.
_ANSWER_FIELDS = frozenset({"index", "prediction", "predictions", "probabilities", "error", "model"})


def create_app(model: Model, settings: Settings) -> Flask:
    """A Flask application that answers with `model`, as `settings` say.

    Raises SettingsError if ID_FIELD is a column of the model or a part of the answer.
    """
    id_field = _id_field(model, settings.id_field)
    reader = RecordReader(
        model.schema,
        id_field=id_field,
        ignore_unknown=settings.unknown_columns == "ignore",
        strict=settings.strict_categories,
        reveal=settings.expose_schema == "full",
        max_records=settings.max_records,
    )
    model = on_one_thread(model)
    model = batched(model, most=settings.batch_records, wait=settings.batch_wait_ms / 1000)
    app = Flask(__name__, static_folder=None)
    # For the worker: whether an answer takes less time than finding a thread for it.
    app.config["ANSWERS_AT_ONCE"] = model.engine.name == "onnx"
    problems.install(app)
    _add_predict(app, Predictor(model, reader, id_field), settings.max_body)
    _add_pages(app, model, msgspec.json.encode(about(model, settings, id_field)))
    return app


def _add_predict(app: Flask, predictor: Predictor, max_body: int) -> None:
    def respond(environ: dict[str, Any]) -> tuple[int, list[tuple[str, str]], bytes]:
        try:
            options = predictor.parse_query(environ.get("QUERY_STRING", ""))
            status, answer = predictor.answer(read_json_body(environ, max_body), options)
        except Exception as error:  # each has its document
            return problems.respond(error)
        return status, _JSON if status == 200 else problems.HEADERS, answer

    @app.post("/predict")
    def predict() -> Response:
        status, headers, answer = respond(request.environ)
        return Response(answer, status, headers)

    app.wsgi_app = ShortCut(app.wsgi_app, respond)  # type: ignore[method-assign]


def _add_pages(app: Flask, model: Model, index_page: bytes) -> None:
    @app.get("/")
    def index() -> Response:
        return Response(index_page, content_type="application/json")

    @app.get("/health")
    def health() -> Response:
        return Response(b'{"status":"ok"}', content_type="application/json")

    @app.get("/ready")
    def ready() -> Response:
        reason = readiness(model)
        if reason is not None:
            raise problems.HttpProblem(503, "not-ready", "Not ready", reason)
        return Response(b'{"status":"ready"}', content_type="application/json")


def _id_field(model: Model, name: str) -> str | None:
    """The pass-through key; None if the model has a column of the default name."""
    if name in _ANSWER_FIELDS:
        raise SettingsError(f"ID_FIELD={name!r} is a part of every answer: choose another name.")
    if name not in model.schema.names:
        return name
    if name != _DEFAULT_ID_FIELD:
        raise SettingsError(f"ID_FIELD={name!r} is a column of the model: choose another name.")
    _log.info("The model has a column %r: no key is passed through. ID_FIELD names one.", name)
    return None
