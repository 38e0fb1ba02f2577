"""The gate: who passes, what is said of it, and that what is off does nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from skdeploy import api_keys
from skdeploy.errors import SettingsError
from skdeploy.settings import Settings
from skdeploy.web.gate import Gate
from skdeploy.web.request_log import RequestLog
from tests.web.exchanges import answered

KEY = api_keys.new_key()
APP = "https://app.example"


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gate that asks for a key, and knows one page of another origin."""
    path = tmp_path / "api-keys"
    path.write_text(api_keys.line_for("backend", KEY))
    path.chmod(0o640)
    return Gate.from_settings(Settings.from_env({"API_KEYS_FILE": str(path), "CORS_ORIGINS": APP}))


def environ(path: str, method: str = "GET", **more: str) -> dict[str, Any]:
    """A request's WSGI environment."""
    return {"PATH_INFO": path, "REQUEST_METHOD": method} | more


@pytest.mark.parametrize(
    "path",
    ["/", "/predict", "/metrics", "/docs", "/openapi.json", "/healthy", "/health/", "//health", "/none"],
)
def test_everything_needs_a_key(gate: Gate, path: str) -> None:
    """Also what does not exist, and what only looks like an open path."""
    name, answer = gate.admit(environ(path))
    assert name is None
    assert answer is not None
    assert answer[0] == 401
    assert gate.admit(environ(path, HTTP_X_API_KEY=KEY)) == ("backend", None)


@pytest.mark.parametrize("path", ["/health", "/ready", "/admin/reload"])
def test_probes_need_none(gate: Gate, path: str) -> None:
    """/health and /ready are open to all; /admin/reload has its own token."""
    assert gate.admit(environ(path)) == (None, None)


def test_a_preflight_needs_none(gate: Gate) -> None:
    """A browser asks without a key, and gets the headers of CORS once."""
    asked = environ("/predict", "OPTIONS", HTTP_ORIGIN=APP, HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST")
    name, answer = gate.admit(asked)
    assert name is None
    assert answer is not None
    status, headers, body = answer
    assert (status, body) == (204, b"")
    assert ("Access-Control-Allow-Origin", APP) in headers
    assert [name for name, _ in gate.headers(asked, gate.identify(asked))] == ["X-Request-ID"]


def test_an_options_of_no_browser_needs_a_key(gate: Gate) -> None:
    """A preflight has an origin and names a method; nothing less opens the gate."""
    _, answer = gate.admit(environ("/predict", "OPTIONS", HTTP_ORIGIN=APP))
    assert answer is not None
    assert answer[0] == 401


def test_a_refusal_can_be_read_by_the_page(gate: Gate) -> None:
    """The headers of CORS are those of every answer, with the request's id."""
    asked = environ("/predict", "POST", HTTP_ORIGIN=APP)
    headers = dict(gate.headers(asked, gate.identify(asked)))
    assert headers["Access-Control-Allow-Origin"] == APP
    assert headers["X-Request-ID"]


def test_what_is_off_does_nothing() -> None:
    """By default everybody passes, nothing is written, and only the request's id is added."""
    gate = Gate.from_settings(Settings.from_env({}))
    asked = environ("/predict", "POST")
    assert gate.admit(asked) == (None, None)
    assert not gate.watching
    identity = gate.identify(asked)
    assert gate.headers(asked, identity) == [("X-Request-ID", identity.request_id)]
    gate.record(asked, answered(identity))
    gate.end()


def test_the_line_has_the_keys_name(tmp_path: Path) -> None:
    """What the front knows is in the line."""
    with (tmp_path / "log").open("wb") as file:
        gate = Gate(log=RequestLog(descriptor=file.fileno()))
        asked = environ("/predict", "POST")
        exchange = answered(gate.identify(asked), key="backend", route="/predict", predict=0.1)
        gate.record(asked, exchange)
    line = json.loads((tmp_path / "log").read_text())
    assert gate.watching
    assert (line["key"], line["route"], line["predict_ms"]) == ("backend", "/predict", 100.0)


def test_a_file_that_is_missing_refuses_to_start() -> None:
    """API_KEYS_FILE is read before the first request."""
    with pytest.raises(SettingsError, match="API_KEYS_FILE"):
        Gate.from_settings(Settings.from_env({"API_KEYS_FILE": os.devnull}))
