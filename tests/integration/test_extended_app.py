"""A Flask application that its owner has extended, under the shipped worker: no guard is passed by."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live import ROOT, served
from tests.wire import GOOD

HOOK = """
from flask import request
from skdeploy.web.wsgi import app

@app.before_request
def guard():
    if request.path == "/predict" and request.headers.get("X-Team") != "ours":
        return "who are you?", 401
"""
WSGI_APP = """
from skdeploy.web.wsgi import app

inner = app.wsgi_app

def guard(environ, start_response):
    if environ["PATH_INFO"] == "/predict" and environ.get("HTTP_X_TEAM") != "ours":
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [b"who are you?"]
    return inner(environ, start_response)

app.wsgi_app = guard
"""
WRAPPER = """
from skdeploy.web.wsgi import app as inner

def app(environ, start_response):
    if environ["PATH_INFO"] == "/predict" and environ.get("HTTP_X_TEAM") != "ours":
        start_response("401 Unauthorized", [("Content-Type", "text/plain")])
        return [b"who are you?"]
    return inner(environ, start_response)
"""
ROUTE = """
from flask import request
from skdeploy.web.wsgi import app

@app.post("/double")
def double():
    return {"double": 2 * request.get_json()["number"]}
"""
COMMAND = ("-m", "gunicorn", "-c", "python:skdeploy.gunicorn_conf", "extended:app")


def extended(folder: Path, code: str, **settings: str) -> dict[str, str]:
    """The settings of a service whose application is this module."""
    (folder / "extended.py").write_text(code)
    return {"PYTHONPATH": f"{folder}:{ROOT}", "WEB_CONCURRENCY": "1", **settings}


@pytest.mark.parametrize("code", [HOOK, WSGI_APP, WRAPPER], ids=["before_request", "wsgi_app", "wrapper"])
def test_a_guard_of_the_users_own_guards_predictions(tmp_path: Path, expected: bytes, code: str) -> None:
    """A hook or a wrapper that answers 401 is asked before /predict, and the log says what that costs."""
    with served(tmp_path, COMMAND, **extended(tmp_path, code)) as service:
        assert service.post(GOOD) == (401, b"who are you?")
        connection = service.connection()
        connection.request("POST", "/predict", GOOD, {"X-Team": "ours"})
        assert connection.getresponse().read() == expected
        connection.close()
        assert "Every request goes through the application" in service.log()
        assert service.stop() == 0


def test_hooks_can_be_passed_by_if_that_is_asked_for(tmp_path: Path, expected: bytes) -> None:
    """SKDEPLOY_BYPASS_HOOKS=1 answers predictions in the loop all the same; the rest passes the hooks."""
    settings = extended(tmp_path, HOOK, SKDEPLOY_BYPASS_HOOKS="1")
    with served(tmp_path, COMMAND, **settings) as service:
        assert service.post(GOOD) == (200, expected)
        assert service.get("/predict")[0] == 401
        assert "SKDEPLOY_BYPASS_HOOKS=1" in service.log()


def test_further_routes_cost_predictions_nothing(tmp_path: Path, expected: bytes) -> None:
    """A route of the user's own is answered by Flask, and predictions stay in the loop."""
    with served(tmp_path, COMMAND, **extended(tmp_path, ROUTE)) as service:
        assert service.post(GOOD) == (200, expected)
        connection = service.connection()
        connection.request("POST", "/double", b'{"number": 4}', {"Content-Type": "application/json"})
        assert connection.getresponse().read() == b'{"double":8}\n'
        connection.close()
        assert "Every request goes through" not in service.log()
