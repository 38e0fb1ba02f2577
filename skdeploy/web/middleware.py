"""What every request passes, whichever way it takes: one onion, in one order.

    metrics       the request is in flight
    request id    X-Request-ID and W3C Trace Context
    load shedding 503 where too many requests wait
    CORS          a browser's preflight is answered
    API keys      401 without one
        the route
    headers       request id, security, CORS
        the answer is sent
    metrics       counted
    log, spans    written

`begin` is the way in, `finish` the way out, and `record` what follows once the answer was sent. The event
loop calls them around its own routes (`skdeploy.web.front`); as a WSGI application the same object stands
around Flask. What a route is to these steps, `skdeploy.web.routes` says.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from skdeploy.config import WebSettings
from skdeploy.web import problems, wsgi_adapter
from skdeploy.web.access import KeyRing, refusal
from skdeploy.web.context import CONTEXT, RequestContext, WsgiContext
from skdeploy.web.headers import PREDICTION, SECURE, Cors, Headers, missing
from skdeploy.web.metrics import Metrics
from skdeploy.web.predict import Answer
from skdeploy.web.problems import HttpProblem
from skdeploy.web.request_log import RequestLog
from skdeploy.web.routes import PREDICT
from skdeploy.web.trace_context import identify

if TYPE_CHECKING:
    from skdeploy.web.spans import Spans

_log = logging.getLogger(__name__)

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]

RETRY_AFTER = [("Retry-After", "1")]
_STATUS_LINES = {status.value: f"{status.value} {status.phrase.upper()}" for status in HTTPStatus}


class Middleware:
    """A WSGI application around another one, and the same steps for the event loop.

    metrics   counts requests; None if nobody wants to know
    observes  whether a log or spans are written of each request
    plain     whether all predictions have the same headers but for their ids: there is no CORS
    """

    def __init__(
        self,
        app: Wsgi,
        settings: WebSettings,
        *,
        metrics: Metrics | None = None,
        spans: Spans | None = None,
        log: RequestLog | None = None,
    ) -> None:
        """Raises SettingsError if SKDEPLOY_API_KEYS_FILE cannot be used."""
        self.app = app
        self.metrics = metrics
        self._ring = KeyRing.from_settings(settings)
        self._cors = Cors.from_settings(settings)
        self._log = log or RequestLog.from_settings(settings)
        self._spans = spans
        self._patience = settings.request_timeout
        self._identify = identify if spans is None else spans.identify
        self.observes = self._log is not None or spans is not None
        self.plain = self._cors is None

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """WSGI, as PEP 3333 has it."""
        context: RequestContext = environ.get(CONTEXT) or WsgiContext(environ)
        answer = self.begin(context)
        if answer is None:
            status, headers, body = wsgi_adapter.call(self.app, environ)
            code = int(status[:3])
        else:
            code, headers, body = answer
            status = _STATUS_LINES[code]
            if code != HTTPStatus.NO_CONTENT:
                headers = [*headers, ("Content-Length", str(len(body)))]
        _, headers, _ = self.finish(context, (code, headers, body))
        start_response(status, headers)
        if isinstance(context, WsgiContext):  # else the event loop sends it
            self.record([context])
        return [body]

    def begin(self, context: RequestContext) -> Answer | None:
        """The way in: what to answer in place of the route, if anything."""
        self.open(context)
        if (context.shed or context.waited > self._patience) and not context.route.probe:
            return problems.respond(overloaded() if context.shed else too_late())
        if self._cors is not None and (permission := self._cors.preflight(context)) is not None:
            return HTTPStatus.NO_CONTENT, permission, b""
        if self._ring is None or context.route.open:
            return None
        context.key = self._ring.name_of(context)
        return refusal() if context.key is None else None

    def open(self, context: RequestContext) -> None:
        """The first steps, also of a request that goes no further: it is in flight and has an id."""
        context.middleware = self
        if self.metrics is not None:
            self.metrics.begin(context)
        context.identity = self._identify(context)

    def finish(self, context: RequestContext, answer: Answer) -> Answer:
        """The way out: the answer with all its headers."""
        status, headers, body = answer
        headers = [*headers, *self.headers(context)]
        headers += missing(context, headers, PREDICTION if context.route is PREDICT else SECURE)
        context.status, context.answer = int(status), body
        return status, headers, body

    def headers(self, context: RequestContext) -> Headers:
        """The headers of every answer beside its own: ids, and CORS, which a preflight has already."""
        given = context.identity.headers()
        if self._cors is not None and self._cors.preflight(context) is None:
            given += self._cors.headers(context)
        return given

    def record(self, contexts: Sequence[RequestContext]) -> None:
        """Count requests whose answers were sent, and write their lines and spans."""
        now = time.monotonic()
        for context in contexts:
            context.seconds = now - context.began
        try:
            if self.metrics is not None:
                self.metrics.end(contexts, now)
            if self.observes:
                for context in contexts:
                    if self._spans is not None:
                        self._spans.record(context)
                    if self._log is not None:
                        self._log.write(context)
        except Exception:  # a disk that is full, say: the answer does not depend on it
            _log.exception("Requests were not counted or not written down")

    def end(self) -> None:
        """Before the process ends: send the last spans, for two seconds at most."""
        if self._spans is not None:
            self._spans.end()


def overloaded() -> HttpProblem:
    """The answer to a request that is not taken up."""
    detail = "As many requests wait as may (SKDEPLOY_MAX_WAITING). Come back later, with fewer at a time."
    return HttpProblem(503, "overloaded", "Overloaded", detail, RETRY_AFTER)


def too_late() -> HttpProblem:
    """The answer to a request that waited too long."""
    detail = "The request waited longer than it may (SKDEPLOY_REQUEST_TIMEOUT). Come back later."
    return HttpProblem(503, "timed-out", "Timed out", detail, RETRY_AFTER)
