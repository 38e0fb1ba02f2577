"""The floor: a WSGI application that reads the body and answers a constant, as long as a prediction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_ANSWER = b'{"prediction":120.31465426961078,"model":{"name":"flight-air-time","version":"e64b23e37332"}}'

_StartResponse = Callable[[str, list[tuple[str, str]]], object]


def app(environ: dict[str, Any], start_response: _StartResponse) -> list[bytes]:
    """Answer every request alike."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(_ANSWER)))]
    start_response("200 OK", headers)
    return [_ANSWER]
