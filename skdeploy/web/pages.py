"""What a service says of itself: /, /health and /ready."""

from __future__ import annotations

import logging
import threading
from typing import Any

from skdeploy import __version__
from skdeploy.model import Model
from skdeploy.schema import json_schema
from skdeploy.settings import Settings
from skdeploy.web.headers import Headers

_log = logging.getLogger(__name__)

# Set when this process has been told to end.
draining = threading.Event()

JSON: Headers = [("Content-Type", "application/json")]
LINKS = {
    "predict": "/predict",
    "health": "/health",
    "ready": "/ready",
    "openapi": "/openapi.json",
    "docs": "/docs",
    "metrics": "/metrics",
}


def about(model: Model, settings: Settings, id_field: str | None) -> dict[str, Any]:
    """What this is: model, schema, engine, links. Golden records are no part of it."""
    passport = model.passport
    schema = json_schema(
        model.schema,
        strict=settings.strict_categories,
        reveal=settings.expose_schema == "full",
    )
    return {
        "service": {"name": "skdeploy", "version": __version__},
        "model": {
            "name": passport.name,
            "version": passport.version,
            "created": passport.created,
            "sha256": model.digest,
            "data": passport.data,
            "metrics": passport.metrics,
            "libraries": passport.libraries,
            "golden_records": len(passport.golden.predictions),
            "notes": model.notes,
        },
        "source": model.origin,
        "engine": model.engine.name,
        "engine_fallback": model.fallback,
        "schema": schema,
        "id_field": id_field,
        "output": passport.output,
        "links": LINKS,
    }


def health() -> tuple[int, Headers, bytes]:
    """The answer of GET /health: the process lives."""
    return 200, JSON, b'{"status":"ok"}'


def readiness(model: Model) -> str | None:
    """Why this process should get no requests, or None if it is ready: it just predicted."""
    if draining.is_set():
        return "The process is about to end."
    try:
        model.engine.predict(model.probe)
    except Exception:  # the pipeline may raise anything
        _log.exception("The model no longer predicts")
        return "The model does not predict."
    return None
