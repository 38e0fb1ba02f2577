"""Request ids and W3C Trace Context: what is honoured, what is made anew."""

from __future__ import annotations

import os
import re

import pytest

from skdeploy.web.trace_context import Identity, identify, parse_traceparent
from tests.web.contexts import asked

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (f"00-{TRACE}-{PARENT}-00", 0),
        (f"00-{TRACE}-{PARENT}-01", 1),
        (f"00-{TRACE}-{PARENT}-03", 3),
        (f"00-{TRACE}-{PARENT}-ff", 3),
        (f"01-{TRACE}-{PARENT}-01", 1),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-will-be-like", 1),
        (f"cc-{TRACE}-{PARENT}-01-", 1),
    ],
)
def test_a_traceparent_is_read(value: str, flags: int) -> None:
    """Version 00, and what later ones have in common with it; reserved flags are dropped."""
    assert parse_traceparent(value) == (TRACE, flags)


@pytest.mark.parametrize(
    "value",
    [
        "",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01-",
        f"cc-{TRACE}-{PARENT}-01.more",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[1:]}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}0-01",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-0x",
        f"0-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01,00-{TRACE}-{PARENT}-01",
        f" 00-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01\n",
    ],
)
def test_what_is_no_traceparent_begins_anew(value: str) -> None:
    """A value that breaks the standard counts as none: the request is in no trace."""
    assert parse_traceparent(value) is None
    assert identify(asked({"HTTP_TRACEPARENT": value})).trace_id is None


def test_our_part_of_the_trace_is_told() -> None:
    """The answer's traceparent has the trace, the flags and a span id of ours."""
    identity = identify(asked({"HTTP_TRACEPARENT": f"00-{TRACE}-{PARENT}-01"}))
    headers = dict(identity.headers())
    assert headers["X-Request-ID"] == TRACE
    match = re.fullmatch(rf"00-{TRACE}-([0-9a-f]{{16}})-01", headers["traceparent"])
    assert match
    assert match[1] == identity.span_id != PARENT


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 128])
def test_a_sane_request_id_comes_back(given: str) -> None:
    """Letters, digits, '.', '_' and '-', up to 128 of them; a trace does not take its place."""
    assert identify(asked({"HTTP_X_REQUEST_ID": given})) == Identity(given)
    both = {"HTTP_X_REQUEST_ID": given, "HTTP_TRACEPARENT": f"00-{TRACE}-{PARENT}-01"}
    assert identify(asked(both)).request_id == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"', "a\n", "a\r\nSet-Cookie: b", "é", "٣"])
def test_another_request_id_is_replaced(given: str) -> None:
    """What could forge a header or a line is not repeated."""
    made = identify(asked({"HTTP_X_REQUEST_ID": given})).request_id
    assert re.fullmatch(r"[0-9a-f]{16}-[0-9a-f]{8}", made)


def test_ids_differ_across_a_fork() -> None:
    """A forked worker has a beginning of its own."""
    ours = {identify(asked({})).request_id for _ in range(1000)}
    assert len(ours) == 1000
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, identify(asked({})).request_id.encode())
        os._exit(0)
    os.waitpid(pid, 0)
    theirs = os.read(read, 100).decode()
    os.close(read)
    os.close(write)
    assert theirs[:16] not in {one[:16] for one in ours}
