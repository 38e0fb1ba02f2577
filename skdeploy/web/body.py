"""Reading a request's body: the media type first, never more than the limit."""

from __future__ import annotations

import io
import time
from typing import Any

from werkzeug.http import parse_options_header

from skdeploy.errors import MalformedBody
from skdeploy.web.problems import HttpProblem

# A client that is still sending sees a broken pipe in place of the answer, unless what it sends
# is read. This much of it is, for this long (bytes, seconds).
DRAIN_BYTES = 64 * 1024 * 1024
DRAIN_SECONDS = 5.0
_CHUNK = 64 * 1024

_JSON_HINT = "Send the records as JSON: -H 'Content-Type: application/json'."


def read_json_body(environ: dict[str, Any], limit: int) -> bytes:
    """The request's body, once its headers say that it is JSON of at most `limit` bytes.

    environ   the WSGI environment

    Raises HttpProblem (408, 413, 415) or MalformedBody.
    """
    _require_json(environ)
    length = _content_length(environ)
    if length is None and not environ.get("wsgi.input_terminated"):
        return b""
    if length is not None and length > limit:
        _refuse_too_large(environ, limit)
    try:
        body: bytes = environ["wsgi.input"].read(limit + 1 if length is None else length)
    except (ConnectionError, TimeoutError):
        raise HttpProblem(
            408, "request-timeout", "Request timeout", "The body did not arrive in time."
        ) from None
    except OSError:  # what gunicorn raises on a chunk that is none
        raise MalformedBody("The body's chunks are not written as HTTP demands.") from None
    except MemoryError:
        # The buffer that could not grow is closed; the rest must be read for the client to see its answer.
        if hasattr(environ["wsgi.input"], "buf"):
            environ["wsgi.input"].buf = io.BytesIO()
        raise
    if len(body) > limit:
        _refuse_too_large(environ, limit)
    if length is not None and len(body) < length:
        raise MalformedBody(f"The body ended after {len(body)} of {length} bytes.")
    return body


def _require_json(environ: dict[str, Any]) -> None:
    """A missing Content-Type is taken for JSON; JSON itself has no encoding but UTF-8."""
    given = environ.get("CONTENT_TYPE", "")
    if given and given != "application/json":
        media_type, options = parse_options_header(given.lower())
        if media_type != "application/json" and not media_type.endswith("+json"):
            _unsupported(f"The content type is {media_type}. {_JSON_HINT}")
        charset = options.get("charset", "utf-8")
        if charset not in ("utf-8", "utf8"):
            _unsupported(f"The charset {charset} is not understood: JSON is UTF-8.")
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        _unsupported("A compressed body is not understood: send it without Content-Encoding.")


def _unsupported(detail: str) -> None:
    raise HttpProblem(415, "unsupported-media-type", "Unsupported media type", detail)


def _content_length(environ: dict[str, Any]) -> int | None:
    text = environ.get("CONTENT_LENGTH", "")
    return int(text) if text.isascii() and text.isdigit() else None


def _refuse_too_large(environ: dict[str, Any], limit: int) -> None:
    _drain(environ["wsgi.input"])
    raise HttpProblem(
        413,
        "too-large",
        "Body too large",
        f"The body is larger than {limit} bytes (MAX_BODY). Send fewer records per request.",
    )


def _drain(stream: Any) -> None:
    deadline = time.monotonic() + DRAIN_SECONDS
    left = DRAIN_BYTES
    try:
        while left > 0 and time.monotonic() < deadline:
            chunk = stream.read(min(_CHUNK, left))
            if not chunk:
                return
            left -= len(chunk)
    except OSError:
        return  # it went away: there is nobody left to answer
