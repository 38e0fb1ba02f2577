"""Requests good and bad, byte by byte, with the answers that RFC 9112 and RFC 9110 want.

Where a server may choose, the row says what this one does: it is strict wherever two readers of the same
bytes could disagree on where a message ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Case(NamedTuple):
    """What a client sends.

    content   one request, or what is none
    statuses  of the answers to it
    closes    the connection ends with the last of them, and what follows on it is not read
    section   the place that says so
    """

    name: str
    content: bytes
    statuses: tuple[int, ...]
    closes: bool
    section: str


class Answer(NamedTuple):
    """A response; the names of `headers` are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def before(name: str = "before") -> bytes:
    """A good request whose answer carries its name."""
    return f"GET /health HTTP/1.1\r\nHost: test\r\nX-Request-ID: {name}\r\n\r\n".encode()


def behind() -> bytes:
    """A good request after which the connection ends."""
    return b"GET /health HTTP/1.1\r\nHost: test\r\nX-Request-ID: behind\r\nConnection: close\r\n\r\n"


def read_answers(content: bytes, case: Case) -> list[Answer]:
    """The answers to a good request, to a case, and to what follows; AssertionError if they are no HTTP."""
    answers: list[Answer] = []
    while content:
        head, end, content = content.partition(b"\r\n\r\n")
        assert end, head
        first, *lines = head.decode("latin-1").split("\r\n")
        assert first.startswith("HTTP/1.1 "), first
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        has_body = not (case.content.startswith(b"HEAD") and answers and len(answers) == 1)
        length = int(headers.get("content-length", 0)) if has_body else 0
        assert len(content) >= length, first
        answers.append(Answer(int(first.split()[1]), headers, content[:length]))
        content = content[length:]
    return answers


def check(case: Case, content: bytes) -> None:
    """The bytes answer `before()`, the case, and `behind()` unless the connection ends first, in this order.

    AssertionError   if an answer is missing, there twice, out of order or under another's name
    """
    answers = read_answers(content, case)
    expected = [200, *case.statuses] + ([] if case.closes else [200])
    assert [answer.status for answer in answers] == expected, case
    assert answers[0].headers["x-request-id"] == "before"
    *others, last = answers
    assert last.headers["connection"] == "close"
    assert all(answer.headers["connection"] == "keep-alive" for answer in others if answer.status != 100)
    if case.closes:
        assert "behind" not in last.headers.get("x-request-id", "")
    else:
        assert last.headers["x-request-id"] == "behind"
    for answer in answers:
        if answer.status >= 400:
            assert answer.headers["content-type"] == "application/problem+json", case
            assert b'"status":%d' % answer.status in answer.body, case


def positions(case: Case) -> Sequence[int]:
    """Where a case is cut in two: everywhere, and in a long one at some hundred places."""
    return range(1, len(case.content), max(1, len(case.content) // 300))


# Ways to write a request.


def _get(line: bytes, *fields: bytes) -> bytes:
    return b"\r\n".join([line, b"Host: test", *fields, b"", b""])


def _field(*fields: bytes) -> bytes:
    return _get(b"GET /health HTTP/1.1", *fields)


def _post(*fields: bytes, body: bytes = b"", line: bytes = b"POST /predict HTTP/1.1") -> bytes:
    return _get(line, *fields) + body


_BODY = b"2\r\n{}\r\n0\r\n\r\n"


def _coded(coding: bytes, body: bytes = _BODY) -> bytes:
    return _post(b"Transfer-Encoding: " + coding, body=body)


def _chunks(body: bytes) -> bytes:
    return _coded(b"chunked", body)


def _upgrade(protocol: bytes, *fields: bytes) -> tuple[bytes, ...]:
    return b"Connection: Upgrade", b"Upgrade: " + protocol, *fields


# What is good is answered, and the connection goes on.
_GOOD: list[tuple[str, str, bytes, tuple[int, ...]]] = [
    # Request lines
    ("GET", "9112 3", _get(b"GET /health HTTP/1.1"), (200,)),
    ("HEAD", "9110 9.3.2", _get(b"HEAD /health HTTP/1.1"), (200,)),
    ("HEAD of a page", "9110 9.3.2", _get(b"HEAD / HTTP/1.1"), (200,)),
    ("method that the path has not", "9110 15.5.6", _get(b"PROPFIND /health HTTP/1.1"), (405,)),
    ("TRACE", "9110 9.3.8", _get(b"TRACE /health HTTP/1.1"), (405,)),
    ("two spaces after the method", "9112 3: MAY", _get(b"GET  /health HTTP/1.1"), (200,)),
    ("two spaces after the target", "9112 3: MAY", _get(b"GET /health  HTTP/1.1"), (200,)),
    ("empty line in front", "9112 2.2", b"\r\n" + _get(b"GET /health HTTP/1.1"), (200,)),
    ("empty lines in front", "9112 2.2", b"\r\n\r\n\r\n" + _get(b"GET /health HTTP/1.1"), (200,)),
    ("absolute-form", "9112 3.2.2", _get(b"GET http://test/health?a=b HTTP/1.1"), (200,)),
    ("absolute-form, other host", "9112 3.2.2", _get(b"GET http://other:80/health HTTP/1.1"), (200,)),
    ("absolute-form, https", "9112 3.2.2", _get(b"GET https://test/health HTTP/1.1"), (200,)),
    ("absolute-form, upper case", "9110 4.2.3", _get(b"GET HTTP://TEST/health HTTP/1.1"), (200,)),
    ("absolute-form, IPv6", "9112 3.2.2", _get(b"GET http://[::1]:9696/health HTTP/1.1"), (200,)),
    ("absolute-form without a path", "9112 3.2.2", _get(b"GET http://test HTTP/1.1"), (200,)),
    ("absolute-form with a query only", "9112 3.2.2", _get(b"GET http://test?a=b HTTP/1.1"), (200,)),
    ("OPTIONS *", "9112 3.2.4", _get(b"OPTIONS * HTTP/1.1"), (200,)),
    ("OPTIONS of a path", "9110 9.3.7", _get(b"OPTIONS /predict HTTP/1.1"), (200,)),
    ("encoded letter", "9110 4.2.3", _get(b"GET /he%61lth HTTP/1.1"), (200,)),
    ("encoded slash, NUL and line break", "3986 2.1", _get(b"GET /%2F%00%0d%0a HTTP/1.1"), (404,)),
    ("encoded non-ASCII", "3986 2.1", _get(b"GET /%C3%A9%ff HTTP/1.1"), (404,)),
    ("percent sign that encodes nothing", "3986 2.1", _get(b"GET /%zz%2 HTTP/1.1"), (404,)),
    ("dots in the path", "3986 6.2.2.3", _get(b"GET /health/../health HTTP/1.1"), (404,)),
    ("question mark in the query", "3986 3.4", _get(b"GET /health?a?b=/c://d:e HTTP/1.1"), (200,)),
    ("characters that browsers send", "9112 3.2", _get(b'GET /health?a={|}^`"<> HTTP/1.1'), (200,)),
    # Fields
    ("no value", "9112 5", _field(b"X:"), (200,)),
    ("white space around a value", "9112 5.1", _field(b"X: \t y \t "), (200,)),
    ("tab in a value", "9110 5.5", _field(b"X: a\tb"), (200,)),
    ("non-ASCII in a value", "9110 5.5", _field("X: é".encode()), (200,)),
    ("underscore in a name", "9110 5.1", _field(b"X_Y: z"), (200,)),
    ("all characters of a token", "9110 5.6.2", _field(b"!#$%&'*+-.^_`|~0aZ: y"), (200,)),
    ("many fields of one name", "9110 5.3", _field(*[b"X: y"] * 50), (200,)),
    ("100 fields", "9112 2.3", _field(*[b"X%d: y" % i for i in range(98)]), (200,)),
    ("Host with a port", "9110 7.2", b"GET /health HTTP/1.1\r\nHost: test:9696\r\n\r\n", (200,)),
    ("Host that is IPv6", "9110 7.2", b"GET /health HTTP/1.1\r\nHost: [::1]:9696\r\n\r\n", (200,)),
    ("empty Host", "9112 3.2", b"GET /health HTTP/1.1\r\nHost:\r\n\r\n", (200,)),
    ("name in upper case", "9110 5.1", b"GET /health HTTP/1.1\r\nHOST: test\r\n\r\n", (200,)),
    # Bodies
    ("Content-Length", "9112 6.2", _post(b"Content-Length: 2", body=b"{}"), (422,)),
    ("Content-Length, zeros", "9110 8.6", _post(b"Content-Length: 002", body=b"{}"), (422,)),
    ("Content-Length, white space", "9112 5.1", _post(b"Content-Length: \t2 ", body=b"{}"), (422,)),
    ("no Content-Length is no body", "9112 6.3", _post(), (400,)),
    ("Content_Length is none", "9110 5.1", _post(b"Content_Length: 2"), (400,)),
    ("GET with a body", "9110 9.3.1", _field(b"Content-Length: 3") + b"abc", (200,)),
    ("GET with chunks", "9110 9.3.1", _field(b"Transfer-Encoding: chunked") + _BODY, (200,)),
    ("chunked", "9112 7.1", _chunks(_BODY), (422,)),
    ("chunked, upper case", "9112 7", _coded(b"CHUNKED"), (422,)),
    ("chunked, white space behind", "9112 5.1", _coded(b"chunked "), (422,)),
    ("Transfer_Encoding is none", "9110 5.1", _post(b"Transfer_Encoding: chunked"), (400,)),
    ("chunk size in upper case", "9112 7.1", _chunks(b"A\r\n{        }\r\n0\r\n\r\n"), (422,)),
    ("chunk size with zeros", "9112 7.1", _chunks(b"0" * 30 + b"2\r\n{}\r\n000\r\n\r\n"), (422,)),
    ("chunks of one byte", "9112 7.1", _chunks(b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), (422,)),
    ("chunk extensions", "9112 7.1.1", _chunks(b'2;a=b;c;d="e;f"\r\n{}\r\n0;g\r\n\r\n'), (422,)),
    ("trailers", "9112 7.1.2", _chunks(b"2\r\n{}\r\n0\r\nX: y\r\nZ:\r\n\r\n"), (422,)),
    # Connections
    ("keep-alive", "9112 9.3", _field(b"Connection: keep-alive"), (200,)),
    ("Connection: closely", "9110 7.6.1", _field(b"Connection: closely"), (200,)),
    (
        "HTTP/1.0, kept",
        "9112 9.3",
        _get(b"GET /health HTTP/1.0", b"Connection: Keep-Alive"),
        (200,),
    ),
    (
        "HTTP/1.0 without Host, kept",
        "9112 3.2",
        b"GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        (200,),
    ),
    ("h2c", "9110 7.8: MAY ignore", _field(*_upgrade(b"h2c", b"HTTP2-Settings: AAMAAABk")), (200,)),
    (
        "websocket",
        "9110 7.8: MAY ignore",
        _field(*_upgrade(b"websocket", b"Sec-WebSocket-Version: 13")),
        (200,),
    ),
    ("h2c with a body", "9110 7.8", _post(*_upgrade(b"h2c"), b"Content-Length: 2", body=b"{}"), (422,)),
    (
        "websocket with a body that is a request",
        "9110 7.8",
        _post(*_upgrade(b"websocket"), b"Content-Length: %d" % len(before()), body=before("smuggled")),
        (400,),
    ),
    (
        "websocket with chunks",
        "9110 7.8",
        _post(*_upgrade(b"websocket"), b"Transfer-Encoding: chunked", body=_BODY),
        (422,),
    ),
    ("Upgrade without Connection", "9110 7.8", _field(b"Upgrade: websocket"), (200,)),
    ("Connection: Upgrade alone", "9110 7.8", _field(b"Connection: Upgrade"), (200,)),
    (
        "Expect: 100-continue",
        "9110 10.1.1",
        _post(b"Expect: 100-Continue", b"Content-Length: 2", body=b"{}"),
        (100, 422),
    ),
    (
        "Expect and Upgrade",
        "9110 7.8",
        _post(*_upgrade(b"h2c"), b"Expect: 100-continue", b"Content-Length: 2", body=b"{}"),
        (100, 422),
    ),
]

# What is good and ends the connection.
_LAST: list[tuple[str, str, bytes, tuple[int, ...]]] = [
    ("Connection: close", "9112 9.6", _field(b"Connection: close"), (200,)),
    ("Connection: close in a list", "9112 9.6", _field(b"Connection: x, Close"), (200,)),
    ("close and keep-alive", "9112 9.3", _field(b"Connection: close, keep-alive"), (200,)),
    ("keep-alive and close", "9112 9.3", _field(b"Connection: keep-alive", b"Connection: close"), (200,)),
    ("HTTP/1.0", "9112 9.3", _get(b"GET /health HTTP/1.0"), (200,)),
    ("HTTP/1.0 without Host", "9112 3.2", b"GET /health HTTP/1.0\r\n\r\n", (200,)),
    (
        "HTTP/1.0, keep-alive and close",
        "9112 9.3",
        _get(b"GET /health HTTP/1.0", b"Connection: keep-alive, close"),
        (200,),
    ),
    ("HTTP/1.0 with Upgrade", "9110 7.8", _get(b"GET /health HTTP/1.0", *_upgrade(b"h2c")), (200,)),
    (
        "HTTP/1.0 with a body",
        "9112 6.2",
        _post(b"Content-Length: 2", body=b"{}", line=b"POST /predict HTTP/1.0"),
        (422,),
    ),
    (
        "HTTP/1.0 with Expect",
        "9110 10.1.1",
        _post(b"Expect: 100-continue", b"Content-Length: 2", body=b"{}", line=b"POST /predict HTTP/1.0"),
        (422,),
    ),
    ("close and Upgrade", "9110 7.8", _field(b"Connection: Upgrade, close", b"Upgrade: websocket"), (200,)),
    (
        "close and Upgrade with a body",
        "9110 7.8",
        _post(b"Connection: Upgrade, close", b"Upgrade: x", b"Content-Length: 2", body=b"{}"),
        (422,),
    ),
    (
        "Expect with a body that is too large",
        "9110 10.1.1",
        _post(b"Expect: 100-continue", b"Content-Length: 99000000"),
        (413,),
    ),
    (
        "Expect with a body that is too large, sent all the same",
        "9110 10.1.1",
        _post(b"Expect: 100-continue", b"Content-Length: 10500000", body=before("smuggled")),
        (413,),
    ),
]  # fmt: skip

# What is no request: one answer, and the end.
_BAD: list[tuple[str, str, bytes, int]] = [
    # Request lines
    ("unknown method", "9110 9.1", _get(b"FOO /health HTTP/1.1"), 400),
    ("method in lower case", "9110 9.1", _get(b"get /health HTTP/1.1"), 400),
    ("method that is no token", "9110 9.1", _get(b"GE(T /health HTTP/1.1"), 400),
    ("method with NUL", "9110 9.1", _get(b"G\0ET /health HTTP/1.1"), 400),
    ("method with a non-ASCII byte", "9110 9.1", _get(b"G\xcbT /health HTTP/1.1"), 400),
    ("space in front", "9112 3", _get(b" GET /health HTTP/1.1"), 400),
    ("byte order mark", "9112 3", _get(b"\xef\xbb\xbfGET /health HTTP/1.1"), 400),
    ("line of a proxy's protocol", "9112 3", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + _field(), 400),
    ("TLS", "9112 3", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40), 400),
    ("tabs", "9112 3", _get(b"GET\t/health\tHTTP/1.1"), 400),
    ("vertical tab", "9112 3", _get(b"GET\x0b/health HTTP/1.1"), 400),
    ("form feed", "9112 3", _get(b"GET /health\x0cHTTP/1.1"), 400),
    ("space behind the version", "9112 3", _get(b"GET /health HTTP/1.1 "), 400),
    ("space in the target", "9112 3.2", _get(b"GET /he alth HTTP/1.1"), 400),
    ("no version", "9112 3", _get(b"GET /health"), 505),
    ("no version, but a space", "9112 3", _get(b"GET /health "), 400),
    ("HTTP/0.9 request", "9110 15.6.6", b"GET /health\r\n\r\n", 505),
    ("HTTP/0.9", "9110 15.6.6", _get(b"GET /health HTTP/0.9"), 505),
    ("HTTP/1.2", "9110 2.5", _get(b"GET /health HTTP/1.2"), 505),
    ("HTTP/2.0", "9110 15.6.6", _get(b"GET /health HTTP/2.0"), 505),
    ("HTTP/3.0", "9110 15.6.6", _get(b"GET /health HTTP/3.0"), 505),
    ("preface of HTTP/2", "9110 15.6.6", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", 505),
    ("http in lower case", "9112 2.3", _get(b"GET /health http/1.1"), 400),
    ("HTTP/1.10", "9112 2.3", _get(b"GET /health HTTP/1.10"), 400),
    ("HTTP/1.", "9112 2.3", _get(b"GET /health HTTP/1."), 400),
    ("HTTP/11", "9112 2.3", _get(b"GET /health HTTP/11"), 400),
    ("HTTPS/1.1", "9112 2.3", _get(b"GET /health HTTPS/1.1"), 400),
    ("line that ends with LF", "9112 2.2: MAY", b"GET /health HTTP/1.1\nHost: test\n\n", 400),
    ("line that ends with CR", "9112 2.2", b"GET /health HTTP/1.1\rHost: test\r\r", 400),
    ("line that ends with CR CR LF", "9112 2.2", b"GET /health HTTP/1.1\r\r\nHost: test\r\n\r\n", 400),
    ("CR in the target", "9112 2.2", _get(b"GET /he\ralth HTTP/1.1"), 400),
    ("NUL in the target", "9112 3.2", _get(b"GET /he\0alth HTTP/1.1"), 400),
    ("control character in the target", "9112 3.2", _get(b"GET /he\x01alth HTTP/1.1"), 400),
    ("DEL in the target", "9112 3.2", _get(b"GET /he\x7falth HTTP/1.1"), 400),
    ("non-ASCII byte in the target", "9112 3.2", _get("GET /hé HTTP/1.1".encode()), 400),
    ("fragment", "9112 3.2.1", _get(b"GET /health#f HTTP/1.1"), 400),
    ("relative target", "9112 3.2", _get(b"GET health HTTP/1.1"), 400),
    ("relative query", "9112 3.2", _get(b"GET ?a=b HTTP/1.1"), 400),
    ("empty target", "9112 3.2", _get(b"GET  HTTP/1.1"), 400),
    ("backslash", "9112 3.2", _get(b"GET \\health HTTP/1.1"), 400),
    ("authority-form", "9112 3.2.3", _get(b"GET test:80 HTTP/1.1"), 400),
    ("asterisk-form of GET", "9112 3.2.4", _get(b"GET * HTTP/1.1"), 400),
    ("two asterisks", "9112 3.2.4", _get(b"OPTIONS ** HTTP/1.1"), 400),
    ("absolute-form, another scheme", "9112 3.2.2", _get(b"GET ftp://test/health HTTP/1.1"), 400),
    ("absolute-form without a host", "9110 4.2.1", _get(b"GET http:///health HTTP/1.1"), 400),
    ("absolute-form, bad port", "9112 3.2.2", _get(b"GET http://test:99999/health HTTP/1.1"), 400),
    ("absolute-form with a user", "9110 4.2.4", _get(b"GET http://user@test/health HTTP/1.1"), 400),
    ("CONNECT", "9110 9.3.6", _get(b"CONNECT test:443 HTTP/1.1"), 501),
    ("CONNECT of a path", "9112 3.2.3", _get(b"CONNECT /predict HTTP/1.1"), 501),
    (
        "CONNECT with a body",
        "9110 9.3.6",
        _get(b"CONNECT test:443 HTTP/1.1", b"Content-Length: 3") + b"abc",
        501,
    ),
    ("long target", "9112 3", _get(b"GET /" + b"a" * 9000 + b" HTTP/1.1"), 414),
    # Fields
    ("space before the colon", "9112 5.1", _field(b"X : y"), 400),
    ("tab before the colon", "9112 5.1", _field(b"X\t: y"), 400),
    ("obs-fold", "9112 5.2", _field(b"X: y\r\n z"), 400),
    ("obs-fold with a tab", "9112 5.2", _field(b"X: y\r\n\tz"), 400),
    ("space before the first field", "9112 2.2", b"GET /health HTTP/1.1\r\n Host: test\r\n\r\n", 400),
    ("bare CR in a value", "9112 2.2", _field(b"X: y\rz"), 400),
    ("bare CR behind a value", "9112 2.2", _field(b"X: y\r"), 400),
    ("bare LF in a value", "9112 2.2: MAY", _field(b"X: y\nZ: a"), 400),
    ("NUL in a value", "9110 5.5", _field(b"X: a\0b"), 400),
    ("control character in a value", "9110 5.5", _field(b"X: a\x07b"), 400),
    ("DEL in a value", "9110 5.5", _field(b"X: a\x7fb"), 400),
    ("no name", "9110 5.1", _field(b": y"), 400),
    ("no colon", "9112 5", _field(b"X"), 400),
    ("space in a name", "9110 5.1", _field(b"X Y: z"), 400),
    ("parenthesis in a name", "9110 5.1", _field(b"X(Y): z"), 400),
    ("quotes around a name", "9110 5.1", _field(b'"X": y'), 400),
    ("brackets in a name", "9110 5.1", _field(b"X[Y]: z"), 400),
    ("NUL in a name", "9110 5.1", _field(b"X\0: y"), 400),
    ("LF in a name", "9110 5.1", _field(b"X\n: y"), 400),
    ("non-ASCII in a name", "9110 5.1", _field("Xé: y".encode()), 400),
    ("no Host", "9112 3.2", b"GET /health HTTP/1.1\r\nX: y\r\n\r\n", 400),
    ("Host twice", "9112 3.2", _field(b"Host: test"), 400),
    ("two Hosts", "9112 3.2", _field(b"host: other"), 400),
    ("two Hosts in HTTP/1.0", "9112 3.2", _get(b"GET /health HTTP/1.0", b"Host: other"), 400),
    ("Host with a space", "9112 3.2", b"GET /health HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("Host with a path", "9112 3.2", b"GET /health HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("Host with a user", "9112 3.2", b"GET /health HTTP/1.1\r\nHost: user@test\r\n\r\n", 400),
    ("Host with a bad port", "9112 3.2", b"GET /health HTTP/1.1\r\nHost: test:http\r\n\r\n", 400),
    ("Host with a non-ASCII byte", "9112 3.2", "GET /health HTTP/1.1\r\nHost: é\r\n\r\n".encode(), 400),
    ("Content-Type twice", "9110 5.3", _field(b"Content-Type: a/b", b"Content-Type: c/d"), 400),
    ("101 fields", "6585 5", _field(*[b"X%d: y" % i for i in range(100)]), 431),
    ("101 fields of one name", "6585 5", _field(*[b"X: y"] * 100), 431),
    ("field of 9 KB", "6585 5", _field(b"X: " + b"y" * 9000), 431),
    ("name of 9 KB", "6585 5", _field(b"X" * 9000 + b": y"), 431),
    ("head of 72 KB", "6585 5", _field(*[b"X%d: " % i + b"y" * 800 for i in range(90)]), 431),
    # Bodies
    ("Content-Length twice", "9110 8.6", _post(b"Content-Length: 2", b"Content-Length: 2", body=b"{}"), 400),
    (
        "Content-Lengths that differ",
        "9112 6.3",
        _post(b"Content-Length: 2", b"Content-Length: 3", body=b"{}"),
        400,
    ),
    ("Content-Length, list", "9110 8.6", _post(b"Content-Length: 2, 2", body=b"{}"), 400),
    ("Content-Length, list that differs", "9112 6.3", _post(b"Content-Length: 2, 3", body=b"{}"), 400),
    ("Content-Length with a plus", "9110 8.6", _post(b"Content-Length: +2", body=b"{}"), 400),
    ("Content-Length with a minus", "9110 8.6", _post(b"Content-Length: -2", body=b"{}"), 400),
    ("Content-Length in hex", "9110 8.6", _post(b"Content-Length: 0x2", body=b"{}"), 400),
    ("Content-Length with an underscore", "9110 8.6", _post(b"Content-Length: 1_0", body=b"{        }"), 400),
    ("Content-Length with a point", "9110 8.6", _post(b"Content-Length: 2.0", body=b"{}"), 400),
    ("Content-Length with a space in it", "9110 8.6", _post(b"Content-Length: 2 2", body=b"{}"), 400),
    ("Content-Length of other digits", "9110 8.6", _post("Content-Length: ２".encode(), body=b"{}"), 400),
    ("empty Content-Length", "9110 8.6", _post(b"Content-Length:", body=b"{}"), 400),
    ("Content-Length of 30 digits", "9110 8.6", _post(b"Content-Length: " + b"9" * 30), 400),
    ("Content-Length, space before the colon", "9112 5.1", _post(b"Content-Length : 2", body=b"{}"), 400),
    ("Content-Length, folded", "9112 5.2", _post(b"Content-Length:\r\n 2", body=b"{}"), 400),
    (
        "Content-Length and Transfer-Encoding",
        "9112 6.1",
        _post(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=_BODY),
        400,
    ),
    (
        "Transfer-Encoding and Content-Length",
        "9112 6.1",
        _post(b"Transfer-Encoding: chunked", b"Content-Length: 2", body=_BODY),
        400,
    ),
    (
        "identity and Content-Length",
        "9112 6.1",
        _post(b"Transfer-Encoding: identity", b"Content-Length: 2", body=b"{}"),
        400,
    ),
    ("identity", "9112 6.3", _coded(b"identity"), 400),
    ("gzip", "9112 6.3", _coded(b"gzip"), 400),
    ("gzip, chunked", "9112 6.1", _coded(b"gzip, chunked"), 501),
    ("gzip, then chunked", "9112 6.1", _coded(b"gzip\r\nTransfer-Encoding: chunked"), 501),
    ("identity, chunked", "9112 6.1", _coded(b"identity, chunked"), 501),
    ("nothing, chunked", "9112 6.1", _coded(b", chunked"), 501),
    ("chunked, gzip", "9112 6.1", _coded(b"chunked, gzip"), 400),
    ("chunked twice", "9112 6.1", _coded(b"chunked, chunked"), 400),
    ("chunked in two fields", "9112 6.1", _coded(b"chunked\r\nTransfer-Encoding: chunked"), 400),
    ("chunked, then identity", "9112 6.1", _coded(b"chunked\r\nTransfer-Encoding: identity"), 400),
    ("xchunked", "9112 6.1", _coded(b"xchunked"), 400),
    ("chunkedx", "9112 6.1", _coded(b"chunkedx"), 400),
    ("chunked in quotes", "9112 6.1", _coded(b'"chunked"'), 400),
    ("chunked with a parameter", "9112 7.1", _coded(b"chunked;q=1"), 400),
    ("chunked with a vertical tab", "9112 5.1", _coded(b"\x0bchunked"), 400),
    ("chunked with NUL", "9110 5.5", _coded(b"chunked\0"), 400),
    ("chunked, folded", "9112 5.2", _coded(b"\r\n chunked"), 400),
    ("empty Transfer-Encoding", "9112 6.1", _coded(b""), 400),
    (
        "Transfer-Encoding, space before the colon",
        "9112 5.1",
        _post(b"Transfer-Encoding : chunked", body=_BODY),
        400,
    ),
    (
        "Transfer-Encoding in HTTP/1.0",
        "9112 6.1",
        _post(b"Transfer-Encoding: chunked", body=_BODY, line=b"POST /predict HTTP/1.0"),
        400,
    ),
    ("chunk size that is no number", "9112 7.1", _chunks(b"g\r\n{}\r\n0\r\n\r\n"), 400),
    ("chunk size with a minus", "9112 7.1", _chunks(b"-2\r\n{}\r\n0\r\n\r\n"), 400),
    ("chunk size with a plus", "9112 7.1", _chunks(b"+2\r\n{}\r\n0\r\n\r\n"), 400),
    ("chunk size with 0x", "9112 7.1", _chunks(b"0x2\r\n{}\r\n0\r\n\r\n"), 400),
    ("chunk size with an underscore", "9112 7.1", _chunks(b"1_0\r\n" + b"{" * 16 + b"\r\n0\r\n\r\n"), 400),
    ("huge chunk size", "9112 7.1", _chunks(b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n"), 400),
    ("no chunk size", "9112 7.1", _chunks(b"\r\n{}\r\n0\r\n\r\n"), 400),
    ("space before the chunk size", "9112 7.1", _chunks(b" 2\r\n{}\r\n0\r\n\r\n"), 400),
    ("space behind the chunk size", "9112 7.1", _chunks(b"2 \r\n{}\r\n0\r\n\r\n"), 400),
    ("chunk without an end", "9112 7.1", _chunks(b"2\r\n{}0\r\n\r\n"), 400),
    ("chunk longer than its size", "9112 7.1", _chunks(b"2\r\n{} \r\n0\r\n\r\n"), 400),
    ("chunk shorter than its size", "9112 7.1", _chunks(b"4\r\n{}\r\n0\r\n\r\n"), 400),
    ("LF behind the chunk size", "9112 7.1", _chunks(b"2\n{}\r\n0\r\n\r\n"), 400),
    ("CR behind the chunk size", "9112 7.1", _chunks(b"2\r{}\r\n0\r\n\r\n"), 400),
    ("LF behind a chunk", "9112 7.1", _chunks(b"2\r\n{}\n0\r\n\r\n"), 400),
    ("LF behind the last chunk's size", "9112 7.1", _chunks(b"2\r\n{}\r\n0\n\r\n"), 400),
    ("LF at the end", "9112 7.1", _chunks(b"2\r\n{}\r\n0\r\n\n"), 400),
    ("no last chunk", "9112 7.1", _chunks(b"2\r\n{}\r\n\r\n"), 400),
    ("no empty line at the end", "9112 7.1", _chunks(b"2\r\n{}\r\n0\r\n"), 400),
    ("LF in a chunk extension", "9112 7.1.1", _chunks(b"2;a\nb\r\n{}\r\n0\r\n\r\n"), 400),
    ("CR in a chunk extension", "9112 7.1.1", _chunks(b"2;a\rb\r\n{}\r\n0\r\n\r\n"), 400),
    ("NUL in a chunk extension", "9112 7.1.1", _chunks(b"2;a\0\r\n{}\r\n0\r\n\r\n"), 400),
    ("line break in a quoted extension", "9112 7.1.1", _chunks(b'2;a="\r\n"\r\n{}\r\n0\r\n\r\n'), 400),
    ("trailer that is none", "9112 7.1.2", _chunks(b"2\r\n{}\r\n0\r\nno field\r\n\r\n"), 400),
    ("trailer, space before the colon", "9112 5.1", _chunks(b"2\r\n{}\r\n0\r\nX : y\r\n\r\n"), 400),
    ("trailer, folded", "9112 5.2", _chunks(b"2\r\n{}\r\n0\r\nX: y\r\n z\r\n\r\n"), 400),
    ("trailer with NUL", "9110 5.5", _chunks(b"2\r\n{}\r\n0\r\nX: \0\r\n\r\n"), 400),
    ("trailer that ends with LF", "9112 2.2", _chunks(b"2\r\n{}\r\n0\r\nX: y\n\r\n"), 400),
    *[
        (f"trailer {name}", "9110 6.5.1", _chunks(b"2\r\n{}\r\n0\r\n%b: 2\r\n\r\n" % name.encode()), 400)
        for name in (
            "Content-Length",
            "Transfer-Encoding",
            "Host",
            "Connection",
            "Upgrade",
            "X-API-Key",
            "Content-Type",
        )
    ],
    (
        "Expect of something else",
        "9110 10.1.1",
        _post(b"Expect: more", b"Content-Length: 2", body=b"{}"),
        417,
    ),
]  # fmt: skip

CASES = [
    *(Case(name, content, statuses, False, section) for name, section, content, statuses in _GOOD),
    *(Case(name, content, statuses, True, section) for name, section, content, statuses in _LAST),
    *(Case(name, content, (status,), True, section) for name, section, content, status in _BAD),
]
