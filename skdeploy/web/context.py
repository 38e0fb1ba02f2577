"""The request context: what came and what became of it, for routes, metrics, log and spans."""

from __future__ import annotations

import io
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from skdeploy.errors import MalformedBody, Rejection
from skdeploy.web.problems import HttpProblem
from skdeploy.web.routes import OTHER, route_of
from skdeploy.web.trace_context import Identity

if TYPE_CHECKING:
    from skdeploy.web.middleware import Middleware

# Where a request's context stands in its WSGI environment.
CONTEXT = "skdeploy.context"


class RequestContext:
    """One request, filled in as it is answered.

    method, path, query    of the request line; the path is decoded, a character per byte, as WSGI has it
    route      that the path leads to
    headers    lower-case names and values as bytes; fields that came several times are joined by commas
    scheme     "http" or "https"
    host       the server's address
    remote     the client's address
    body       the whole body; None while it has not been read, or where it is larger than SKDEPLOY_MAX_BODY
    body_size  bytes that came, or that Content-Length announces
    began      time.monotonic() when its first byte was there, read or not
    arrived    the same when it had been read to its end
    waited     seconds from then until it was taken up
    shed       it came when as many requests waited as may
    middleware that it has passed; None if none did, since an application around ours has answered
    options    what the query of a prediction asks for

    What became of it:

    identity   its id and its place in a trace
    span       of OpenTelemetry; None where there are no spans
    key        the name of its API key
    model      the version of the model that answers
    parse, predict, encode   seconds; None where it did not come to that
    records    of the body; None where there were none to count
    predicted, rejected, unscorable   what became of the records
    bad        the bad cells
    status     of the answer
    seconds    from its first byte to its answer
    answer     the answer's body
    """

    __slots__ = (
        "answer", "arrived", "bad", "began", "body", "body_size", "encode", "headers", "host", "identity",
        "key", "method", "middleware", "model", "options", "parse", "path", "predict", "predicted", "query",
        "records", "rejected", "remote", "route", "scheme", "seconds", "shed", "span", "status", "unscorable",
        "waited",
    )  # fmt: skip

    identity: Identity

    def __init__(self) -> None:
        self.method = "GET"
        self.path = "/"
        self.query = ""
        self.route = OTHER
        self.headers: dict[bytes, bytes] = {}
        self.scheme = "http"
        self.host: str | None = None
        self.remote = ""
        self.body: bytes | None = None
        self.body_size = 0
        self.began = self.arrived = 0.0
        self.waited = 0.0
        self.shed = False
        self.middleware: Middleware | None = None
        self.options: Any = None
        self.span: Any = None
        self.key: str | None = None
        self.model: str | None = None
        self.parse: float | None = None
        self.predict: float | None = None
        self.encode: float | None = None
        self.records: int | None = None
        self.predicted = self.rejected = self.unscorable = 0
        self.bad: Iterable[Rejection] = ()
        self.status = 0
        self.seconds = 0.0
        self.answer = b""

    def header(self, name: bytes) -> str | None:
        """The value of a header, a character per byte; None if it did not come."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    def read(self, limit: int) -> bytes:
        """The request's body. Raises HttpProblem (413) if it is larger than `limit` bytes."""
        if self.body is None or len(self.body) > limit:
            raise too_large(limit)
        return self.body

    @property
    def refused(self) -> int | None:
        """How many records were rejected; None where there were none to reject."""
        return None if self.records is None else self.rejected


class WsgiContext(RequestContext):
    """The context of a request whose head a WSGI server has read; its body is read when it is needed."""

    __slots__ = ("environ",)

    def __init__(self, environ: dict[str, Any]) -> None:
        super().__init__()
        self.environ = environ
        self.began = self.arrived = time.monotonic()
        self.method = environ["REQUEST_METHOD"]
        self.path = environ.get("PATH_INFO", "")
        self.query = environ.get("QUERY_STRING", "")
        self.route = route_of(self.path)
        self.scheme = environ.get("wsgi.url_scheme", "http")
        self.host = environ.get("SERVER_NAME")
        self.remote = environ.get("REMOTE_ADDR", "")
        self.headers = {
            name[5:].replace("_", "-").lower().encode("latin-1"): value.encode("latin-1", "replace")
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        if environ.get("CONTENT_TYPE"):
            self.headers[b"content-type"] = environ["CONTENT_TYPE"].encode("latin-1", "replace")
        length = environ.get("CONTENT_LENGTH", "")
        self.body_size = int(length) if length.isascii() and length.isdigit() else 0
        environ[CONTEXT] = self

    def read(self, limit: int) -> bytes:
        """The request's body. Raises HttpProblem (408, 413) or MalformedBody."""
        if self.body is None:
            self.body = self._read(limit)
        return self.body

    def _read(self, limit: int) -> bytes:
        stream = self.environ["wsgi.input"]
        length = self.body_size if self.environ.get("CONTENT_LENGTH") else None
        if length is None and not self.environ.get("wsgi.input_terminated"):
            return b""
        if length is not None and length > limit:
            _drain(stream)
            raise too_large(limit)
        try:
            body: bytes = stream.read(limit + 1 if length is None else length)
        except (ConnectionError, TimeoutError):
            detail = "The body did not arrive in time."
            raise HttpProblem(408, "request-timeout", "Request timeout", detail) from None
        except OSError:  # what gunicorn raises on a chunk that is none
            raise MalformedBody("The body's chunks are not written as HTTP demands.") from None
        except MemoryError:
            # The buffer that could not grow is closed; the rest is read for the client to see its answer.
            if hasattr(stream, "buf"):
                stream.buf = io.BytesIO()
            raise
        if len(body) > limit:
            _drain(stream)
            raise too_large(limit)
        if length is not None and len(body) < length:
            raise MalformedBody(f"The body ended after {len(body)} of {length} bytes.")
        return body


def decode_path(raw: bytes) -> str:
    """A path of a request line as WSGI has it: percent-decoded, a character per byte."""
    return (unquote_to_bytes(raw) if b"%" in raw else raw).decode("latin-1")


def too_large(limit: int) -> HttpProblem:
    """The refusal of a body that is larger than `limit` bytes."""
    detail = f"The body is larger than {limit} bytes (SKDEPLOY_MAX_BODY). Send fewer records per request."
    return HttpProblem(413, "too-large", "Body too large", detail)


# A client that is still sending sees a broken pipe in place of the answer, unless what it sends
# is read. This much of it is, for this long (bytes, seconds).
DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0


def _drain(stream: Any) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    left = DRAIN_BYTES
    try:
        while left > 0 and time.monotonic() < deadline:
            chunk = stream.read(min(64 * 1024, left))
            if not chunk:
                return
            left -= len(chunk)
    except OSError:
        return  # it went away: there is nobody left to answer
