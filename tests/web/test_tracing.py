"""OpenTelemetry's spans: when there are any, what they say, and that they hold up nobody."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skdeploy.web.spans import Spans
from skdeploy.web.trace_context import Identity
from skdeploy.web.tracing import from_environ, wanted
from tests.collector import Collector, collecting
from tests.web.contexts import asked

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector, to which the SDK's variables point; no exporter's thread outlives it."""
    with collecting() as running:
        before = {*threading.enumerate()}
        monkeypatch.setenv(OTLP, running.url)
        yield running
        # Else a thread that was refused would try again during later tests, and ask the global `random` when.
        running.status = 200
        for thread in {*threading.enumerate()} - before:
            thread.join(10)
            assert not thread.is_alive(), thread


def environ(**more: str) -> dict[str, Any]:
    """A request's WSGI environment."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/predict",
        "QUERY_STRING": "proba=true",
        "REMOTE_ADDR": "127.0.0.1",
        "SERVER_NAME": "service",
        "wsgi.url_scheme": "http",
        "HTTP_USER_AGENT": "curl/8",
    } | more


def traced(spans: Spans, request: dict[str, Any], **known: Any) -> Identity:
    """What a request is called whose span begins and ends; `known` is what became of it."""
    context = asked(request)
    context.identity = spans.identify(context)
    for name, value in {"status": 200, "seconds": 0.001, **known}.items():
        setattr(context, name, value)
    spans.record(context)
    return context.identity


def traceparent(flags: str) -> str:
    return f"00-{TRACE}-{PARENT}-{flags}"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({OTLP: "http://collector:4318"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_TRACES_EXPORTER": "none", OTLP: "http://collector:4318"}, None),
        ({"OTEL_TRACES_EXPORTER": "", OTLP: ""}, None),
        ({"OTEL_SDK_DISABLED": "true", OTLP: "http://collector:4318"}, None),
        ({"OTEL_SDK_DISABLED": "false", "OTEL_TRACES_EXPORTER": "otlp"}, "otlp"),
    ],
    ids=range(9),
)
def test_the_variables_decide(variables: dict[str, str], expected: str | None) -> None:
    """An exporter or an endpoint asks for spans; OTEL_SDK_DISABLED and `none` forbid them."""
    assert wanted(variables) == expected


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "'zipkin' is not otlp, console or none"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "not by 'grpc'"),
    ],
    ids=["zipkin", "grpc"],
)
def test_what_is_not_there_is_said(
    variables: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Another exporter or protocol means no spans and a warning: the service starts."""
    assert from_environ(variables) is None
    assert said in caplog.text


@pytest.mark.parametrize("variables", [{}, {OTLP: "http://x"}], ids=["not asked", "not installed"])
def test_without_spans_the_sdk_is_not_imported(variables: dict[str, str]) -> None:
    """Not configured: no import. Configured and not installed: a warning that says what to install."""
    code = f"""
import sys, logging
missing = {bool(variables)}
if missing:
    sys.modules["opentelemetry"] = None
from skdeploy.web import tracing
assert tracing.from_environ({variables}) is None
assert missing or not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ("pip install 'skdeploy[tracing]'" in done.stderr) == bool(variables)


def test_a_propagator_that_is_not_there_is_said() -> None:
    """No spans and a warning: the service starts."""
    variables = {OTLP: "http://x", "OTEL_PROPAGATORS": "smoke-signals"}
    code = f"from skdeploy.web import tracing; assert tracing.from_environ({variables}) is None"
    root = Path(__file__).parent.parent.parent
    environment = {**os.environ, **variables}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, env=environment
    )
    assert "No spans: " in done.stderr


def test_a_request_becomes_a_span_with_its_parts(collector: Collector) -> None:
    """A server's span in the caller's trace, and parse, predict and encode within it, one after the other."""
    spans = Spans("otlp")
    parts: dict[str, Any] = {"parse": 0.001, "predict": 0.006, "encode": 0.002}
    request = environ(HTTP_TRACEPARENT=traceparent("01"))
    identity = traced(spans, request, seconds=0.010, records=3, **parts)
    spans.end()
    (server,) = collector.named("POST /predict")
    assert (server.trace_id, server.parent_id, server.span_id) == (TRACE, PARENT, identity.span_id)
    assert server.kind == 2
    assert server.end - server.begin == 10_000_000
    assert server.resource["service.name"] == "skdeploy"
    assert server.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "http.route": "/predict",
        "url.path": "/predict",
        "url.scheme": "http",
        "server.address": "service",
        "client.address": "127.0.0.1",
        "user_agent.original": "curl/8",
        "skdeploy.records": 3,
        "skdeploy.rejected": 0,
    }
    made = [collector.named(name)[0] for name in parts]
    assert [part.end - part.begin for part in made] == [1_000_000, 6_000_000, 2_000_000]
    assert made[0].end == made[1].begin
    assert made[1].end == made[2].begin
    assert {part.parent_id for part in made} == {server.span_id}
    assert server.begin <= made[0].begin


def test_a_server_error_is_one_of_the_span(collector: Collector) -> None:
    """From 500 on the status is an error; a refusal is the client's. An odd method is no name."""
    spans = Spans("otlp")
    for status, method in ((500, "POST"), (422, "POST"), (405, "BREW")):
        traced(spans, environ(REQUEST_METHOD=method), status=status)
    spans.end()
    error, refused, odd = sorted(collector.spans, key=lambda span: span.begin)
    assert (error.status, error.attributes["error.type"]) == (2, "500")
    assert (refused.status, "error.type" in refused.attributes) == (0, False)
    assert (odd.name, odd.attributes["http.request.method"]) == ("HTTP /predict", "_OTHER")


@pytest.mark.parametrize(
    ("sampler", "flags", "sampled"),
    [
        ("", "01", True),
        ("", "00", False),
        ("", None, True),
        ("parentbased_always_off", None, False),
        ("parentbased_always_off", "01", True),
        ("always_on", "00", True),
    ],
)
def test_the_sampler_is_the_parents_word(
    monkeypatch: pytest.MonkeyPatch, collector: Collector, sampler: str, flags: str | None, sampled: bool
) -> None:
    """By default; OTEL_TRACES_SAMPLER says otherwise. The answer's traceparent tells what was decided."""
    if sampler:
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    spans = Spans("otlp")
    request = environ() if flags is None else environ(HTTP_TRACEPARENT=traceparent(flags))
    identity = traced(spans, request)
    assert int(dict(identity.headers())["traceparent"][-2:], 16) & 1 == sampled
    spans.end()
    assert len(collector.spans) == sampled


@pytest.mark.parametrize("path", ["/health", "/ready", "/metrics"])
def test_probes_make_no_spans(collector: Collector, path: str) -> None:
    """What machines ask every few seconds would bury the rest."""
    spans = Spans("otlp")
    traced(spans, environ(PATH_INFO=path, HTTP_TRACEPARENT=traceparent("01")))
    spans.end()
    assert not collector.spans


def test_a_collector_that_is_down_holds_up_nobody(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests go on, and the end waits for as long as it is told to and no longer."""
    collector.status = 503
    spans = Spans("otlp")
    request = environ()
    begin = time.monotonic()
    for _ in range(2000):
        traced(spans, request)
    spans.end(0.2)
    assert time.monotonic() - begin < 20
    assert "are lost" in caplog.text


def test_the_service_can_be_named(monkeypatch: pytest.MonkeyPatch, collector: Collector) -> None:
    """OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are the SDK's affair, and count."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "flights")
    spans = Spans("otlp")
    traced(spans, environ())
    spans.end()
    assert collector.spans[0].resource["service.name"] == "flights"
