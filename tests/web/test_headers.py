"""Headers of security and of CORS, as functions; the service's own answers are asked elsewhere."""

from __future__ import annotations

import pytest

from skdeploy.config import WebSettings
from skdeploy.web.context import RequestContext
from skdeploy.web.headers import PREDICTION, SECURE, TLS, Cors, missing
from tests.web.contexts import asked as context_of

APP = "https://app.example"


def cors(origins: str) -> Cors:
    """CORS as the setting says."""
    found = Cors.from_settings(WebSettings.from_env({"SKDEPLOY_CORS_ORIGINS": origins}))
    assert found is not None
    return found


def asked(origin: str | None, method: str = "POST", wish: str | None = None) -> RequestContext:
    """A browser's request, or its preflight."""
    environ = {"REQUEST_METHOD": method}
    if origin is not None:
        environ["HTTP_ORIGIN"] = origin
    if wish is not None:
        environ["HTTP_ACCESS_CONTROL_REQUEST_METHOD"] = wish
    return context_of(environ)


def test_by_default_there_is_no_cors() -> None:
    """Without SKDEPLOY_CORS_ORIGINS no answer speaks of origins."""
    assert Cors.from_settings(WebSettings.from_env({})) is None


def test_a_listed_origin_may_read() -> None:
    """It is named, never a wildcard; caches are told that the answer depends on it."""
    headers = dict(cors(f"{APP}, https://b.example:8443").headers(asked(APP)))
    assert headers["Access-Control-Allow-Origin"] == APP
    assert headers["Vary"] == "Origin"
    assert "X-Request-ID" in headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize(
    "origin", [None, "null", "https://app.example.evil", "http://app.example", APP + "/"]
)
def test_others_get_no_permission(origin: str | None) -> None:
    """Nothing but `Vary`: an origin is the listed one exactly, or none of ours."""
    assert cors(APP).headers(asked(origin)) == [("Vary", "Origin")]
    assert cors(APP).preflight(asked(origin, "OPTIONS", "POST")) in (None, [("Vary", "Origin")])


def test_all_may_read_with_a_star() -> None:
    """The answer is the same for all, so that nothing varies."""
    headers = dict(cors("*").headers(asked("https://any.example")))
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Vary" not in headers


@pytest.mark.parametrize("origins", [APP, "*"])
def test_a_preflight_is_answered_without_credentials(origins: str) -> None:
    """Methods and headers that a page may use, an API key's among them; never the browser's credentials."""
    headers = dict(cors(origins).preflight(asked(APP, "OPTIONS", "POST")) or [])
    assert "POST" in headers["Access-Control-Allow-Methods"]
    assert "X-API-Key" in headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize("context", [asked(APP), asked(APP, "OPTIONS"), asked(None, "OPTIONS", "POST")])
def test_other_questions_are_no_preflight(context: RequestContext) -> None:
    """A plain OPTIONS goes on to the application."""
    assert cors(APP).preflight(context) is None


def test_a_pages_own_policy_stays() -> None:
    """What an answer has already is not said twice."""
    given = [("content-security-policy", "default-src 'self'")]
    assert [name for name, _ in missing(context_of({}), given, SECURE)] == [
        "X-Content-Type-Options",
        "Referrer-Policy",
    ]
    assert missing(context_of({"wsgi.url_scheme": "http"}), [], PREDICTION) == PREDICTION


def test_https_is_demanded_only_over_https() -> None:
    """Strict-Transport-Security comes with TLS."""
    assert missing(context_of({"wsgi.url_scheme": "https"}), [], SECURE) == SECURE + TLS
