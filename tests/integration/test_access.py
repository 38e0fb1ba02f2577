"""Keys, other origins, logs and traces of the service as it runs."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import sync_playwright

from skdeploy import api_keys
from tests.collector import Collector, collecting
from tests.live import Service, served, wait_until
from tests.wire import GOOD

KEY, TOKEN, APP = api_keys.new_key(), "the-admins-token", "https://app.example"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@dataclass
class Guarded:
    """A service that asks for keys, and logs and traces what it does."""

    service: Service
    keys: Path
    collector: Collector

    def ask(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, Message, bytes]:
        """Status, headers and body; `_` in headers' names stands for `-`."""
        with contextlib.closing(self.service.connection()) as connection:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def predict(self, **headers: str) -> tuple[int, Message, bytes]:
        """POST /predict, with the key."""
        json_type = {"Content_Type": "application/json"}
        return self.ask("/predict", "POST", GOOD, **(json_type | {"X_API_Key": KEY} | headers))

    def lines(self, request_id: str) -> list[dict[str, Any]]:
        """The request log's lines of a request."""
        found = (json.loads(line) for line in self.service.log().splitlines() if request_id in line)
        return [line for line in found if line.get("request_id") == request_id]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Two workers, one key."""
    folder = tmp_path_factory.mktemp("guarded")
    keys = folder / "api-keys"
    api_keys.append(keys, api_keys.line_for("backend", KEY))
    settings = {
        "SKDEPLOY_API_KEYS_FILE": str(keys),
        "SKDEPLOY_CORS_ORIGINS": APP,
        "SKDEPLOY_ADMIN_TOKEN": TOKEN,
        "SKDEPLOY_ACCESS_LOG": "1",
        "SKDEPLOY_LOG_FORMAT": "json",
        "WEB_CONCURRENCY": "2",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    with collecting() as collector:
        settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.url
        with served(folder, **settings) as service:
            yield Guarded(service, keys, collector)


@pytest.mark.parametrize("scheme", ["X-API-Key", "Bearer", "Basic"])
def test_a_key_opens(guarded: Guarded, scheme: str) -> None:
    """By the short way and by Flask's, in each of the three ways of sending it."""
    value = base64.b64encode(f"me:{KEY}".encode()).decode() if scheme == "Basic" else KEY
    header = {"X_API_Key": KEY} if scheme == "X-API-Key" else {"Authorization": f"{scheme} {value}"}
    assert guarded.ask("/", "GET", None, **header)[0] == 200
    assert guarded.ask("/predict", "POST", GOOD, Content_Type="application/json", **header)[0] == 200


@pytest.mark.parametrize("path", ["/", "/predict", "/no-such-page"])
@pytest.mark.parametrize("key", [None, "skd_wrong"], ids=["none", "wrong"])
def test_without_a_key_nothing_opens(guarded: Guarded, path: str, key: str | None) -> None:
    """401 with a challenge of each scheme; what does not exist cannot be told from what does."""
    header = {} if key is None else {"X_API_Key": key}
    method = "POST" if path == "/predict" else "GET"
    status, headers, body = guarded.ask(path, method, GOOD if method == "POST" else None, **header)
    assert status == 401
    assert headers["Content-Type"] == "application/problem+json"
    assert [value.split()[0] for value in headers.get_all("WWW-Authenticate", [])] == ["Basic", "Bearer"]
    assert json.loads(body)["type"] == "urn:skdeploy:problem:unauthorized"


def test_probes_and_the_admin_need_no_key(guarded: Guarded) -> None:
    """The admin has a token, which opens nothing else; and a key is no token."""
    assert [guarded.ask(path)[0] for path in ("/health", "/ready")] == [200, 200]
    reload = ("/admin/reload", "POST")
    assert guarded.ask(*reload, Authorization=f"Bearer {KEY}")[0] == 401
    assert guarded.ask(*reload, Authorization=f"Bearer {TOKEN}", X_API_Key="wrong")[0] == 202
    assert guarded.ask("/", Authorization=f"Bearer {TOKEN}")[0] == 401


def test_keys_are_rotated_without_a_restart(guarded: Guarded) -> None:
    """Every worker knows a new key within two seconds, and forgets it as soon."""
    new = api_keys.new_key()
    before = guarded.keys.read_text()
    api_keys.append(guarded.keys, api_keys.line_for("phone", new))
    time.sleep(1.2)
    assert {guarded.ask("/", X_API_Key=new)[0] for _ in range(20)} == {200}
    guarded.keys.write_text("")
    time.sleep(1.2)
    assert {guarded.ask("/", X_API_Key=new)[0] for _ in range(20)} == {200}
    guarded.keys.write_text(before)
    time.sleep(1.2)
    assert {guarded.ask("/", X_API_Key=new)[0] for _ in range(20)} == {401}
    assert guarded.predict()[0] == 200
    assert "holds no key" in guarded.service.log()
    assert new not in guarded.service.log()


def test_a_page_of_another_origin_asks_first(guarded: Guarded) -> None:
    """A listed origin's preflight is permitted without a key, and its answers can be read."""
    status, headers, _ = guarded.ask(
        "/predict",
        "OPTIONS",
        Origin=APP,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Headers="content-type,x-api-key",
    )
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, APP)
    assert headers["Vary"] == "Origin"
    assert guarded.predict(Origin=APP)[1]["Access-Control-Allow-Origin"] == APP
    assert guarded.predict(Origin="https://evil.example")[1]["Access-Control-Allow-Origin"] is None
    assert guarded.ask("/", Origin=APP)[1]["Access-Control-Allow-Origin"] == APP


@pytest.mark.parametrize("path", ["/predict", "/", "/health", "/none"])
def test_every_answer_is_safe_for_browsers(guarded: Guarded, path: str) -> None:
    """Both ways, refusals too; each header once; predictions are not kept."""
    _, headers, _ = guarded.predict() if path == "/predict" else guarded.ask(path)
    assert headers.get_all("X-Content-Type-Options") == ["nosniff"]
    assert headers.get_all("Referrer-Policy") == ["no-referrer"]
    (policy,) = headers.get_all("Content-Security-Policy") or [""]
    assert "frame-ancestors 'none'" in policy
    assert (headers["Cache-Control"] == "no-store") == (path == "/predict")
    assert headers["Strict-Transport-Security"] is None


def test_a_request_is_logged_with_its_id(guarded: Guarded) -> None:
    """One line, whoever sends what: times, model and key, and nothing of the record."""
    _, headers, _ = guarded.predict(X_Request_ID="order-7", User_Agent='a"}\\n{')
    assert headers["X-Request-ID"] == "order-7"
    wait_until(lambda: bool(guarded.lines("order-7")), "the line is written", 5)
    (line,) = guarded.lines("order-7")
    assert (line["method"], line["route"], line["status"]) == ("POST", "/predict", 200)
    assert (line["key"], line["agent"]) == ("backend", 'a"}\\n{')
    assert (line["ms"] > 0, line["bytes_in"]) == (True, len(GOOD))
    assert line["model"]
    assert "LAX" not in guarded.service.log()
    assert KEY not in guarded.service.log()


def test_every_line_of_the_log_is_json(guarded: Guarded) -> None:
    """Ours, gunicorn's, the source poller's and the requests'; a path cannot forge one."""
    forged = '{"status":200,"request_id":"forged"}'
    guarded.ask(f"/%0A{quote(forged)}%0D%0A", X_Request_ID="forger")
    wait_until(lambda: bool(guarded.lines("forger")), "the line is written", 5)
    lines = [json.loads(line) for line in guarded.service.log().splitlines()]
    assert {line["level"] for line in lines} <= {"info", "warning", "error"}
    assert any(line.get("logger") == "gunicorn.error" for line in lines)
    assert any(line.get("message", "").startswith("Serving ") for line in lines)
    assert not guarded.lines("forged")


def test_a_trace_is_continued(guarded: Guarded) -> None:
    """The collector gets our span as the caller's child; the answer names it."""
    _, headers, _ = guarded.predict(traceparent=f"00-{TRACE}-{PARENT}-01")
    assert headers["X-Request-ID"] == TRACE
    match = re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", headers["traceparent"])
    assert match
    ours = match[1]
    spans = guarded.collector.spans
    # It is the last one: those of its parts end before it.
    wait_until(lambda: any(span.span_id == ours for span in spans), "the span has come", 10)
    tree = {span.name: span for span in spans if span.trace_id == TRACE}
    assert tree["POST /predict"].span_id == ours
    assert tree["POST /predict"].parent_id == PARENT
    assert tree["POST /predict"].attributes["http.response.status_code"] == 200
    assert not [span for span in spans if "LAX" in repr(span)]


@pytest.mark.heavy
def test_a_service_that_ends_sends_its_last_spans(tmp_path: Path) -> None:
    """SIGTERM right after a request: its span comes. A collector that hangs delays the end by two seconds."""
    with collecting() as collector:
        settings = {"WEB_CONCURRENCY": "1", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        settings["OTEL_BSP_SCHEDULE_DELAY"] = "60000"
        with served(tmp_path, **settings) as service:
            assert service.get("/")[0] == 200
            assert not collector.spans
            assert service.stop() == 0
        assert len(collector.named("GET /")) == 1
        collector.status = 503
        with served(tmp_path, **settings) as service:
            assert service.get("/")[0] == 200
            begin = time.monotonic()
            assert service.stop() == 0
            assert time.monotonic() - begin < 6


@pytest.mark.heavy
def test_a_browser_asks_for_the_key(guarded: Guarded) -> None:
    """Chromium sends name and password after the challenge, and with what the page fetches."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for password, expected in ((KEY, 200), ("wrong", 401)):
            context = browser.new_context(http_credentials={"username": "me", "password": password})
            page = context.new_page()
            response = page.goto(guarded.service.url + "/")
            assert response is not None
            assert response.status == expected
        page = browser.new_context(http_credentials={"username": "me", "password": KEY}).new_page()
        seen: list[int] = []
        page.on("response", lambda response: seen.append(response.status))
        page.goto(guarded.service.url + "/")
        page.goto(guarded.service.url + "/no-such-page")
        assert seen[-1] == 404
        browser.close()
