"""Headers that keep browsers out of trouble, and who of other origins may ask (CORS)."""

from __future__ import annotations

from collections.abc import Iterable

from skdeploy.config import WebSettings
from skdeploy.web.context import RequestContext

Headers = list[tuple[str, str]]

# A page has a policy of its own, in which frame-ancestors stands as well.
SECURE: Headers = [
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
]
# Of POST /predict: nobody keeps who asked what.
PREDICTION: Headers = [*SECURE, ("Cache-Control", "no-store")]
# Only where the request came by TLS; browsers ignore it elsewhere.
TLS: Headers = [("Strict-Transport-Security", "max-age=31536000")]

# Browsers show pages of other origins these of our headers, and let them send those.
_EXPOSED = "X-Request-ID, traceparent, Retry-After"
_SENDABLE = "Content-Type, X-API-Key, Authorization, X-Request-ID, traceparent, tracestate"
_METHODS = "GET, POST"
_PREFLIGHT_SECONDS = "600"


def missing(context: RequestContext, given: Iterable[tuple[str, str]], wanted: Headers) -> Headers:
    """The headers of `wanted`, and those of TLS, that an answer with the headers `given` lacks."""
    names = {name.lower() for name, _ in given}
    if context.scheme == "https":
        wanted = wanted + TLS
    return [header for header in wanted if header[0].lower() not in names]


class Cors:
    """Which pages of other origins may read answers: those of `origins`, or all with `*`.

    Nobody gets credentials: a page sends an API key itself, and none that the browser knows for ours.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origins)
        self._all = "*" in self._origins

    @classmethod
    def from_settings(cls, settings: WebSettings) -> Cors | None:
        """As SKDEPLOY_CORS_ORIGINS says; None if it is empty: then no answer has a header of CORS."""
        return cls(settings.cors_origins) if settings.cors_origins else None

    def headers(self, context: RequestContext) -> Headers:
        """What every answer needs in addition, refusals too; `Vary` even for requests without an origin."""
        return self._allowed(context, [("Access-Control-Expose-Headers", _EXPOSED)])

    def preflight(self, context: RequestContext) -> Headers | None:
        """The headers of a 204 if this is a browser's question before its request; else None.

        It comes without an API key. The browser reads a refusal from the lack of headers.
        """
        if context.method != "OPTIONS" or b"access-control-request-method" not in context.headers:
            return None
        if b"origin" not in context.headers:
            return None
        more = [
            ("Access-Control-Allow-Methods", _METHODS),
            ("Access-Control-Allow-Headers", _SENDABLE),
            ("Access-Control-Max-Age", _PREFLIGHT_SECONDS),
        ]
        return self._allowed(context, more)

    def _allowed(self, context: RequestContext, more: Headers) -> Headers:
        if self._all:
            return [("Access-Control-Allow-Origin", "*"), *more]
        origin = context.header(b"origin")
        if origin is None or origin not in self._origins:
            return [("Vary", "Origin")]
        return [("Vary", "Origin"), ("Access-Control-Allow-Origin", origin), *more]
