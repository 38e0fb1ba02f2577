"""The middleware: the order of its steps, who passes, and that a disabled step does nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdeploy import api_keys
from skdeploy.config import WebSettings
from skdeploy.errors import SettingsError
from skdeploy.web.middleware import Middleware
from skdeploy.web.request_log import RequestLog
from skdeploy.web.trace_context import parse_traceparent
from tests.web.contexts import asked

KEY = api_keys.new_key()
APP = "https://app.example"


def never(*_: Any) -> Any:
    raise AssertionError("the application is not asked here")


@pytest.fixture
def middleware(tmp_path: Path) -> Middleware:
    """It asks for a key, and knows one page of another origin."""
    path = tmp_path / "api-keys"
    path.write_text(api_keys.line_for("backend", KEY))
    path.chmod(0o640)
    return Middleware(
        never, WebSettings.from_env({"SKDEPLOY_API_KEYS_FILE": str(path), "SKDEPLOY_CORS_ORIGINS": APP})
    )


def environ(path: str, method: str = "GET", **more: str) -> dict[str, Any]:
    """A request's WSGI environment."""
    return {"PATH_INFO": path, "REQUEST_METHOD": method} | more


@pytest.mark.parametrize(
    "path",
    ["/", "/predict", "/metrics", "/docs", "/openapi.json", "/healthy", "/health/", "//health", "/none"],
)
def test_everything_needs_a_key(middleware: Middleware, path: str) -> None:
    """Also what does not exist, and what only looks like an open path."""
    without = asked(environ(path))
    answer = middleware.begin(without)
    assert answer is not None
    assert (answer[0], without.key) == (401, None)
    with_key = asked(environ(path, HTTP_X_API_KEY=KEY))
    assert middleware.begin(with_key) is None
    assert with_key.key == "backend"


@pytest.mark.parametrize("path", ["/health", "/ready", "/admin/reload"])
def test_probes_need_none(middleware: Middleware, path: str) -> None:
    """/health and /ready are open to all; /admin/reload has its own token."""
    context = asked(environ(path))
    assert middleware.begin(context) is None
    assert context.key is None


def test_a_preflight_needs_none(middleware: Middleware) -> None:
    """A browser asks without a key, and gets the headers of CORS once."""
    context = asked(
        environ("/predict", "OPTIONS", HTTP_ORIGIN=APP, HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST")
    )
    answer = middleware.begin(context)
    assert answer is not None
    status, headers, body = answer
    assert (status, body) == (204, b"")
    assert ("Access-Control-Allow-Origin", APP) in headers
    assert [name for name, _ in middleware.headers(context)] == ["X-Request-ID"]


def test_an_options_of_no_browser_needs_a_key(middleware: Middleware) -> None:
    """A preflight has an origin and names a method; nothing less opens the door."""
    answer = middleware.begin(asked(environ("/predict", "OPTIONS", HTTP_ORIGIN=APP)))
    assert answer is not None
    assert answer[0] == 401


def test_a_refusal_can_be_read_by_the_page(middleware: Middleware) -> None:
    """The headers of CORS are those of every answer, with the request's id and those of security."""
    context = asked(environ("/predict", "POST", HTTP_ORIGIN=APP))
    refusal = middleware.begin(context)
    assert refusal is not None
    status, headers, _ = middleware.finish(context, refusal)
    assert status == 401
    given = dict(headers)
    assert given["Access-Control-Allow-Origin"] == APP
    assert given["X-Request-ID"] == context.identity.request_id
    assert given["Cache-Control"] == "no-store"


def test_disabled_steps_do_nothing() -> None:
    """By default everybody passes, nothing is written, and only the request's id is added."""
    middleware = Middleware(never, WebSettings.from_env({}))
    context = asked(environ("/predict", "POST"))
    assert middleware.begin(context) is None
    assert middleware.plain
    assert not middleware.observes
    assert middleware.headers(context) == [("X-Request-ID", context.identity.request_id)]
    middleware.record([context])
    middleware.end()


def test_the_line_has_the_keys_name(tmp_path: Path) -> None:
    """What the middleware knows of a request is in its line."""
    with (tmp_path / "log").open("wb") as file:
        middleware = Middleware(never, WebSettings.from_env({}), log=RequestLog(descriptor=file.fileno()))
        context = asked(environ("/predict", "POST"))
        middleware.open(context)
        context.key, context.predict = "backend", 0.1
        middleware.record([context])
    line = json.loads((tmp_path / "log").read_text())
    assert middleware.observes
    assert (line["key"], line["route"], line["predict_ms"]) == ("backend", "/predict", 100.0)


def test_a_file_that_is_missing_refuses_to_start() -> None:
    """SKDEPLOY_API_KEYS_FILE is read before the first request."""
    with pytest.raises(SettingsError, match="SKDEPLOY_API_KEYS_FILE"):
        Middleware(never, WebSettings.from_env({"SKDEPLOY_API_KEYS_FILE": os.devnull}))


# What a WSGI server hands over: a character per byte.
HEADER = st.text(st.characters(max_codepoint=0xFF), max_size=80)
NAMES = (
    "HTTP_X_API_KEY",
    "HTTP_AUTHORIZATION",
    "HTTP_X_REQUEST_ID",
    "HTTP_TRACEPARENT",
    "HTTP_ORIGIN",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    "HTTP_USER_AGENT",
    "QUERY_STRING",
)
SCHEMES = st.sampled_from(["", "Basic ", "Bearer ", "basic\t", "Digest "])


@pytest.fixture(scope="module")
def descriptors() -> tuple[int, int]:
    """Both ends of a pipe."""
    return os.pipe()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, descriptors: tuple[int, int]) -> Middleware:
    """With every step enabled."""
    path: Path = tmp_path_factory.mktemp("keys") / "api-keys"
    api_keys.append(path, api_keys.line_for("backend", api_keys.new_key()))
    settings = WebSettings.from_env({"SKDEPLOY_API_KEYS_FILE": str(path), "SKDEPLOY_CORS_ORIGINS": APP})
    return Middleware(never, settings, log=RequestLog(descriptor=descriptors[1]))


@given(
    headers=st.dictionaries(st.sampled_from(NAMES), HEADER),
    scheme=SCHEMES,
    path=HEADER.map(lambda text: "/predict" + text),
    method=st.sampled_from(["GET", "POST", "OPTIONS", "BREW"]),
)
def test_any_header_gets_an_answer(
    full: Middleware,
    descriptors: tuple[int, int],
    headers: dict[str, str],
    scheme: str,
    path: str,
    method: str,
) -> None:
    """Nobody without a key passes; what is said back is fit for a header; the line is one line of JSON."""
    if "HTTP_AUTHORIZATION" in headers:
        headers["HTTP_AUTHORIZATION"] = scheme + headers["HTTP_AUTHORIZATION"]
    context = asked(environ(path, method) | headers)
    answer = full.begin(context)
    assert context.key is None
    assert answer is not None
    assert answer[0] in (204, 401)
    _, given_headers, _ = full.finish(context, answer)
    full.record([context])
    for _, value in given_headers:
        assert value.isprintable()
        assert value.isascii()
    content = os.read(descriptors[0], 1 << 16)
    assert content.index(b"\n") == len(content) - 1
    assert json.loads(content)["request_id"] == context.identity.request_id


@given(st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
def test_a_traceparent_that_is_accepted_is_one(value: str) -> None:
    """What looks like one is read as the standard has it: no zeros, no version ff, no more parts in 00."""
    version, trace_id, parent_id = value[:2], value[3:35], value[36:52]
    refused = not int(trace_id, 16) or not int(parent_id, 16) or version == "ff"
    refused |= version == "00" and len(value) > 55
    assert (parse_traceparent(value) is None) == refused
