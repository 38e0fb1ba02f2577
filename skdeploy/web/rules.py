"""What is taken for a request: RFC 9112 and 9110 where httptools is lenient, and limits."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from skdeploy.web.problems import HttpProblem

if TYPE_CHECKING:
    from skdeploy.web.http import LoopRequest

# Of a request's head: fields, bytes of one field, bytes of all of it.
MAX_FIELDS = 100
MAX_FIELD = 8 * 1024
MAX_HEAD = 64 * 1024
# None of these is a list (RFC 9110, section 5.3).
SINGLE = frozenset({b"host", b"content-length", b"content-type", b"authorization", b"x-api-key"})
# What a trailer must not be about: framing, routing, authentication, the content's format (RFC 9110, 6.5.1).
NO_TRAILER = SINGLE | {
    b"cache-control", b"connection", b"content-encoding", b"cookie", b"expect", b"proxy-connection", b"te",
    b"trailer", b"transfer-encoding", b"upgrade", b"x-forwarded-for", b"x-forwarded-proto",
}  # fmt: skip
# RFC 3986, section 3.2.2: an IP literal in brackets, or a registered name; and a port.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?", re.ASCII)


class Refused(Exception):
    """A message that cannot be taken for a request; the problem says why."""

    def __init__(self, status: int, slug: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = HttpProblem(status, slug, HTTPStatus(status).phrase, detail)


def malformed(detail: str) -> Refused:
    """400: the message is not written as HTTP demands."""
    return Refused(400, "malformed-request", detail)


def refusal_of(request: LoopRequest | None, in_head: bool, error: Exception) -> Refused:
    """What the parser's error is for the client."""
    said = str(error)
    if request is not None and not in_head and b"transfer-encoding" in request.headers:
        return malformed("The body's chunks are not written as HTTP demands.")
    if "HTTP version" in said or "PRI" in said or "HTTP/2" in said:
        return wrong_version()
    return malformed(f"The request is not written as HTTP demands: {said}.")


def wrong_version() -> Refused:
    """505: another version of HTTP."""
    return Refused(505, "version-not-supported", "HTTP/1.1 is spoken here.")


def head_too_large() -> Refused:
    """431: all of the head."""
    return Refused(431, "head-too-large", f"The head is larger than {MAX_HEAD} bytes.")


def too_many_fields() -> Refused:
    """431: its fields."""
    return Refused(431, "too-many-fields", f"The head has more than {MAX_FIELDS} fields.")


def check_version(request: LoopRequest) -> None:
    """HTTP/1.1, or 1.0 without what it has not."""
    headers = request.headers
    if request.version not in ("1.0", "1.1"):
        raise wrong_version()
    if request.version == "1.1":
        return
    if b"transfer-encoding" in headers:
        raise malformed("HTTP/1.0 has no Transfer-Encoding.")
    if b"close" in [option.strip() for option in headers.get(b"connection", b"").lower().split(b",")]:
        request.keep_alive = False  # for httptools, keep-alive is stronger there


def check_host(request: LoopRequest, host: bytes | None) -> None:
    """A host, written as one; HTTP/1.0 may do without (RFC 9112, section 3.2)."""
    if host is None:
        if request.version == "1.1":
            raise malformed("HTTP/1.1 demands one Host header.")
    elif not _HOST.fullmatch(host):
        raise malformed("The host is not written as one.")


def check_coding(coding: bytes) -> None:
    """Transfer-Encoding is chunked, and nothing else (RFC 9112, section 6.1)."""
    *others, last = [name.strip(b" \t") for name in coding.lower().split(b",")]
    if last != b"chunked":
        raise malformed("The end of a body that is not sent in chunks cannot be known.")
    if others:
        raise Refused(501, "transfer-coding", "Of transfer codings, only chunked is understood.")


def check_sizes(request: LoopRequest, url: bytes) -> None:
    """Target, fields and head are not too large."""
    if len(url) > MAX_FIELD:
        raise Refused(414, "target-too-long", f"The target is longer than {MAX_FIELD} bytes.")
    sizes = [len(name) + len(value) for name, value in request.headers.items()]
    if max(sizes, default=0) > MAX_FIELD:
        raise Refused(431, "field-too-large", f"A header field is larger than {MAX_FIELD} bytes.")
    if len(url) + sum(sizes) > MAX_HEAD:
        raise head_too_large()
