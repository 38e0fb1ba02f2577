"""Requests as OpenTelemetry's spans; imports the SDK, see `skdeploy.web.tracing`."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from skdeploy import __version__
from skdeploy.web.context import RequestContext
from skdeploy.web.request_log import utf8
from skdeploy.web.routes import OTHER
from skdeploy.web.trace_context import SAMPLED, Identity, identify, new_span_id

_log = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_SCOPE = InstrumentationScope("skdeploy", __version__)
_UNSET, _ERROR = Status(StatusCode.UNSET), Status(StatusCode.ERROR)


class Spans:
    """Makes the spans of requests, and hands them to an exporter's thread.

    That thread starts with the first span of a process, since none survives a fork. Spans are made
    when a request is over, from what was measured: the SDK's tracer, which opens and closes each of
    them, would take three times as long.
    """

    def __init__(self, exporter: str) -> None:
        """`exporter` is "otlp" or "console". Raises ModuleNotFoundError if its package is missing."""
        self._make_exporter = _otlp() if exporter == "otlp" else _console
        self._resource = _resource()
        # Read from OTEL_TRACES_SAMPLER; by default what the parent says, and everything without one.
        self._sampler = TracerProvider(resource=self._resource, shutdown_on_exit=False).sampler
        self._lock = threading.Lock()
        self._started: tuple[int, BatchSpanProcessor] | None = None

    def identify(self, request: RequestContext) -> Identity:
        """As `trace_context.identify`, but always in a trace, with the sampler's word in the flags."""
        if not request.route.traced:
            return identify(request)
        identity = identify(request, begin=True)
        parent = _parent(identity)
        result = self._sampler.should_sample(
            None if parent is None else set_span_in_context(NonRecordingSpan(parent)),
            int(identity.trace_id or "0", 16),
            request.method,
            SpanKind.SERVER,
        )
        sampled = result.decision is Decision.RECORD_AND_SAMPLE
        return identity._replace(flags=identity.flags & ~SAMPLED | (SAMPLED if sampled else 0))

    def record(self, request: RequestContext) -> None:
        """The span of a request that is over now, and one for each part of it that was measured.

        Nothing is done for one that is not sampled.
        """
        identity, route = request.identity, request.route
        if not identity.flags & SAMPLED or identity.trace_id is None or not route.traced:
            return
        processor = self._processor()
        end = time.time_ns()
        context = _context(identity.trace_id, identity.span_id, identity.flags)
        parts = (("encode", request.encode), ("predict", request.predict), ("parse", request.parse))
        self._record_parts(processor, identity, context, end, parts)
        method = request.method
        shown = method if method in _METHODS else "HTTP"
        processor.on_end(
            self._span(
                shown if route is OTHER else f"{shown} {route.path}",
                context,
                _parent(identity),
                end - int(request.seconds * 1e9),
                end,
                kind=SpanKind.SERVER,
                attributes=_attributes(request),
                status=_ERROR if request.status >= 500 else _UNSET,
            )
        )

    def _record_parts(
        self,
        processor: BatchSpanProcessor,
        identity: Identity,
        parent: SpanContext,
        end: int,
        parts: Iterable[tuple[str, float | None]],
    ) -> None:
        """Spans one before the other, from the last one on, which ends at `end`."""
        for name, took in parts:
            if took is not None and identity.trace_id is not None:
                begin = end - int(took * 1e9)
                context = _context(identity.trace_id, new_span_id(), identity.flags)
                processor.on_end(self._span(name, context, parent, begin, end))
                end = begin

    def end(self, seconds: float = 2.0) -> None:
        """Send what is left, for at most so long: a collector that is down holds up no worker's end."""
        if self._started is None or self._started[0] != os.getpid():
            return
        last = threading.Thread(target=self._started[1].shutdown, daemon=True)
        last.start()
        last.join(seconds)
        if last.is_alive():
            _log.warning("The last spans were not taken within %s seconds and are lost", seconds)

    def _processor(self) -> BatchSpanProcessor:
        """The one of this process."""
        started = self._started
        if started is not None and started[0] == os.getpid():
            return started[1]
        with self._lock:
            if self._started is None or self._started[0] != os.getpid():
                self._started = os.getpid(), BatchSpanProcessor(self._make_exporter())
            return self._started[1]

    def _span(
        self, name: str, context: SpanContext, parent: SpanContext | None, begin: int, end: int, **more: Any
    ) -> ReadableSpan:
        return ReadableSpan(
            name,
            context,
            parent,
            self._resource,
            start_time=begin,
            end_time=end,
            instrumentation_scope=_SCOPE,
            **more,
        )


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


def _context(trace_id: str, span_id: str | None, flags: int, *, remote: bool = False) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id or "0", 16), remote, TraceFlags(flags))


def _parent(identity: Identity) -> SpanContext | None:
    if identity.trace_id is None or identity.parent_id is None:
        return None
    return _context(identity.trace_id, identity.parent_id, identity.flags, remote=True)


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
