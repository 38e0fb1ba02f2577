"""What a service says of itself: /, /health and /ready."""

from __future__ import annotations

import logging
import shlex
import threading
from typing import Any

import msgspec

from skdeploy import __version__
from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.schema import json_schema
from skdeploy.web.headers import Headers

_log = logging.getLogger(__name__)

# Set when this process has been told to end.
draining = threading.Event()

# Characters of an example: a terminal takes no line longer than 4,096 bytes.
_LONGEST_RECORD = 3500

JSON: Headers = [("Content-Type", "application/json")]
LINKS = {
    "predict": "/predict",
    "health": "/health",
    "ready": "/ready",
    "openapi": "/openapi.json",
    "docs": "/docs",
    "metrics": "/metrics",
}


def about(model: Model, settings: WebSettings, id_field: str | None) -> dict[str, Any]:
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
            "file_sha256": model.file_digest,
            "data": passport.data,
            "metrics": passport.metrics,
            "libraries": passport.libraries,
            "golden_records": len(passport.golden.predictions),
            "notes": model.notes,
        },
        "source": model.origin,
        "engine": model.engine.name,
        "engine_fallback": model.fallback,
        "engine_compared": model.compared,
        "schema": schema,
        "id_field": id_field,
        "output": passport.output,
        "links": LINKS,
    }


def first_steps(about: dict[str, Any], socket_name: Any, *, tls: bool, keys: bool) -> tuple[str, str, str]:
    """What a service says when it has started: its address, a request that it answers, its documentation.

    about         what `GET /` says
    socket_name   of the listening socket, as `getsockname` gives it
    tls, keys     whether it speaks TLS, and whether it asks for API keys
    """
    model, command = about["model"], ["curl"]
    if isinstance(socket_name, str):
        listens, url = f"unix:{socket_name}", "http://localhost"
        command += ["--unix-socket", shlex.quote(socket_name)]
    else:
        host, port = socket_name[:2]
        scheme = "https" if tls else "http"
        listens, url = (
            f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}"
            for name in (host, {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host))  # noqa: S104
        )
    data = _example_record(about["schema"]["properties"]).decode()
    command += [f"{url}/predict", "-H 'Content-Type: application/json'"]
    if keys:
        command.append('-H "X-API-Key: $API_KEY"')
    command += ["-d", shlex.quote(data) if 0 < len(data) <= _LONGEST_RECORD else "@record.json"]
    return (
        f"Serving {model['name']} {model['version']} on {listens}",
        f"Try it: {' '.join(command)}",
        f"API reference: {url}/docs",
    )


def _example_record(columns: dict[str, Any]) -> bytes:
    """A record of values seen in training, as JSON; nothing if the columns' JSON Schemas do not show such."""
    record = {}
    for name, column in columns.items():
        if column.get("examples"):
            record[name] = column["examples"][0]
        elif "null" in column["type"]:
            record[name] = None
        else:
            return b""
    return msgspec.json.encode(record)


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
