"""Requests good and bad over a network: each has the answers of the table, and the connection its end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.live import Service, served
from tests.web.http_corpus import CASES, Answer, Case, before, behind, check, read_answers
from tests.wire import GOOD, Wire, assert_problem, head, request


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker, whose log in the end has nothing of what clients did."""
    with served(tmp_path_factory.mktemp("service"), WEB_CONCURRENCY="1") as running:
        yield running
        assert running.stop() == 0
        assert "Traceback" not in running.log()


def conversation(service: Service, content: bytes) -> bytes:
    """All that is answered until the service ends the connection."""
    with contextlib.closing(Wire(service)) as wire:
        wire.send(content)
        return b"".join(iter(lambda: wire.socket.recv(64 * 1024), b""))


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_answers_of_the_table(service: Service, case: Case) -> None:
    """Between two good requests, sent in one go: each is answered once, in order, and under its own name."""
    check(case, conversation(service, before() + case.content + behind()))


ASKED = [case for case in CASES if case.statuses == (422,) and not case.closes]


@pytest.mark.parametrize("case", ASKED, ids=[case.name for case in ASKED])
def test_the_body_arrives_as_it_was_sent(service: Service, case: Case) -> None:
    """However a body is framed, the service reads an empty record, and says what it lacks."""
    answer = read_answers(conversation(service, before() + case.content + behind()), case)[1]
    assert {cell["got"] for cell in json.loads(answer.body)["errors"]} == {"nothing: the column is missing"}


def answers_of(content: bytes) -> list[Answer]:
    return read_answers(content, CASES[0])


def test_a_malformed_message_is_answered_after_those_before_it(service: Service, expected: bytes) -> None:
    """Its 400 waits for answers that take longer, however many there are."""
    slow = request(b"[" + b",".join([GOOD] * 500) + b"]")
    answers = answers_of(conversation(service, (slow + request(GOOD)) * 20 + b"no request\r\n\r\n" + slow))
    assert [answer.status for answer in answers] == [200] * 40 + [400]
    assert all(answer.body == expected for answer in answers[1:40:2])
    assert answers[-1].headers["connection"] == "close"


def test_hundreds_of_pipelined_requests_are_answered(service: Service) -> None:
    """More than are answered at the same time, through the application's threads: each once, in order."""
    asked = [
        f"GET /openapi.json?{at} HTTP/1.1\r\nHost: test\r\nX-Request-ID: {at}\r\n\r\n" for at in range(400)
    ]
    answers = answers_of(conversation(service, "".join(asked).encode() + behind()))
    assert [answer.headers["x-request-id"] for answer in answers] == [*map(str, range(400)), "behind"]


def test_expect_is_answered_when_its_turn_has_come(service: Service, expected: bytes) -> None:
    """A client that pipelines a request and asks before it sends the body of the next is told to go on."""
    slow = request(b"[" + b",".join([GOOD] * 500) + b"]")
    with contextlib.closing(Wire(service)) as wire:
        wire.send(slow + head(f"Content-Length: {len(GOOD)}", "Expect: 100-continue"))
        assert [wire.answer().status for _ in range(2)] == [200, 100]
        assert wire.ask(GOOD).body == expected


def test_a_bad_trailer_ends_the_connection(service: Service) -> None:
    """Neither what came with it nor what comes later on the connection is taken for a request."""
    with contextlib.closing(Wire(service)) as wire:
        body = b"%x\r\n%b\r\n0\r\nnot a header\r\n\r\n" % (len(GOOD), GOOD)
        wire.send(head("Transfer-Encoding: chunked") + body + before())
        assert_problem(wire.answer(), 400)
        with contextlib.suppress(ConnectionError):
            wire.send(before("later"))
        assert wire.has_ended()


def test_head_says_how_long_the_page_is(service: Service) -> None:
    """RFC 9110, section 8.6: the Content-Length of HEAD is that of GET."""
    for path in ("/", "/health", "/nowhere"):
        lengths, sizes = zip(*(measure(service, method, path) for method in ("GET", "HEAD")), strict=True)
        assert lengths == (sizes[0], sizes[0])
        assert sizes[1] == 0


def measure(service: Service, method: str, path: str) -> tuple[int, int]:
    """Content-Length, and bytes of the body."""
    with contextlib.closing(service.connection()) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return int(response.headers["Content-Length"]), len(response.read())
