"""Requests as spans of the OpenTelemetry SDK, which this module imports; see `skdeploy.web.tracing`."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.propagate import extract, get_global_textmap
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import Span, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from skdeploy import __version__
from skdeploy.web.context import RequestContext
from skdeploy.web.request_log import utf8
from skdeploy.web.routes import OTHER
from skdeploy.web.trace_context import Identity, given_id, identify

_log = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


class Spans:
    """A span per request, with one for each of its parts; the SDK samples them, and sends them from a thread.

    The provider is made with the first span of a process, since its thread does not survive a fork.
    """

    def __init__(self, exporter: str) -> None:
        """`exporter` is "otlp" or "console". Raises ModuleNotFoundError if its package is missing."""
        self._make_exporter = _otlp() if exporter == "otlp" else _console
        self._resource = _resource()
        self._lock = threading.Lock()
        self._started: tuple[int, TracerProvider] | None = None

    def identify(self, request: RequestContext) -> Identity:
        """Begin the span of a request, in the trace that it came in or in a new one."""
        if not request.route.traced:
            return identify(request)
        names = get_global_textmap().fields
        carrier = {name: value for name in names if (value := request.header(name.encode())) is not None}
        method, route = request.method if request.method in _METHODS else "HTTP", request.route
        request.span = self._tracer().start_span(
            method if route is OTHER else f"{method} {route.path}",
            extract(carrier),
            SpanKind.SERVER,
            start_time=time.time_ns() - int((time.monotonic() - request.began) * 1e9),
        )
        context = request.span.get_span_context()
        trace_id = f"{context.trace_id:032x}"
        flags = int(context.trace_flags)
        return Identity(given_id(request) or trace_id, trace_id, f"{context.span_id:016x}", flags)

    def record(self, request: RequestContext) -> None:
        """End the span of a request that is over, and make one for each part of it that was measured."""
        span = request.span
        if not isinstance(span, Span) or not span.is_recording():
            return
        end = done = (span.start_time or 0) + int(request.seconds * 1e9)
        inside, tracer = set_span_in_context(span), self._tracer()
        # One before the other, the last one up to the end.
        for name, took in (
            ("encode", request.encode),
            ("predict", request.predict),
            ("parse", request.parse),
        ):
            if took is not None:
                began = done - int(took * 1e9)
                tracer.start_span(name, inside, start_time=began).end(done)
                done = began
        span.set_attributes(_attributes(request))
        if request.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def end(self, seconds: float = 2.0) -> None:
        """Send what is left, for at most so long: a collector that is down holds up no worker's end."""
        if self._started is None or self._started[0] != os.getpid():
            return
        last = threading.Thread(target=self._started[1].shutdown, daemon=True)
        last.start()
        last.join(seconds)
        if last.is_alive():
            _log.warning("The last spans were not taken within %s seconds and are lost", seconds)

    def _tracer(self) -> Any:
        """That of this process."""
        started = self._started
        if started is None or started[0] != os.getpid():
            with self._lock:
                started = self._started
                if started is None or started[0] != os.getpid():
                    provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
                    provider.add_span_processor(BatchSpanProcessor(self._make_exporter()))
                    started = self._started = os.getpid(), provider
        return started[1].get_tracer("skdeploy", __version__)


def _otlp() -> Callable[[], SpanExporter]:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter


def _console() -> SpanExporter:
    return ConsoleSpanExporter(formatter=lambda span: span.to_json(indent=None) + "\n")


def _resource() -> Resource:
    """As OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say; else the service is `skdeploy`."""
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "skdeploy", "service.version": __version__}))
    return resource


def _attributes(request: RequestContext) -> dict[str, Any]:
    """By the semantic conventions for HTTP servers. The query is none of them: it may hold anything."""
    method, status = request.method, request.status
    attributes = {
        "http.request.method": method if method in _METHODS else "_OTHER",
        "http.response.status_code": status,
        "http.route": None if request.route is OTHER else request.route.path,
        "url.path": utf8(request.path),
        "url.scheme": request.scheme,
        "server.address": request.host,
        "client.address": request.remote or None,
        "user_agent.original": utf8(request.header(b"user-agent") or "") or None,
        "error.type": str(status) if status >= 500 else None,
        "skdeploy.records": request.records,
        "skdeploy.rejected": request.refused,
        "skdeploy.model": request.model,
    }
    return {name: value for name, value in attributes.items() if value is not None}
