"""Whatever a client writes into the headers that the gate reads: an answer, never an error."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdeploy import api_keys
from skdeploy.web.access import KeyRing
from skdeploy.web.gate import Gate
from skdeploy.web.headers import Cors
from skdeploy.web.request_log import RequestLog
from skdeploy.web.trace_context import parse_traceparent
from tests.web.exchanges import answered

# What a WSGI server hands over: a character per byte.
HEADER = st.text(st.characters(max_codepoint=0xFF), max_size=80)
NAMES = (
    "HTTP_X_API_KEY",
    "HTTP_AUTHORIZATION",
    "HTTP_X_REQUEST_ID",
    "HTTP_TRACEPARENT",
    "HTTP_ORIGIN",
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD",
    "HTTP_USER_AGENT",
    "QUERY_STRING",
)
SCHEMES = st.sampled_from(["", "Basic ", "Bearer ", "basic\t", "Digest "])


@pytest.fixture(scope="module")
def descriptors() -> tuple[int, int]:
    """Both ends of a pipe."""
    return os.pipe()


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory, descriptors: tuple[int, int]) -> Gate:
    """A gate at which everything is on."""
    path: Path = tmp_path_factory.mktemp("keys") / "api-keys"
    api_keys.append(path, api_keys.line_for("backend", api_keys.new_key()))
    return Gate(
        ring=KeyRing(path), cors=Cors(["https://app.example"]), log=RequestLog(descriptor=descriptors[1])
    )


@given(
    headers=st.dictionaries(st.sampled_from(NAMES), HEADER),
    scheme=SCHEMES,
    path=HEADER.map(lambda text: "/predict" + text),
    method=st.sampled_from(["GET", "POST", "OPTIONS", "BREW"]),
)
def test_any_header_gets_an_answer(
    gate: Gate, descriptors: tuple[int, int], headers: dict[str, str], scheme: str, path: str, method: str
) -> None:
    """Nobody without a key passes; what is said back is fit for a header; the line is one line of JSON."""
    if "HTTP_AUTHORIZATION" in headers:
        headers["HTTP_AUTHORIZATION"] = scheme + headers["HTTP_AUTHORIZATION"]
    environ = {"PATH_INFO": path, "REQUEST_METHOD": method} | headers
    identity = gate.identify(environ)
    name, answer = gate.admit(environ)
    assert name is None
    assert answer is not None
    assert answer[0] in (204, 401)
    for _, value in [*answer[1], *gate.headers(environ, identity)]:
        assert value.isprintable()
        assert value.isascii()
    gate.record(environ, answered(identity, status=answer[0]))
    content = os.read(descriptors[0], 1 << 16)
    assert content.index(b"\n") == len(content) - 1
    assert json.loads(content)["request_id"] == identity.request_id


@given(st.from_regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?", fullmatch=True))
def test_a_traceparent_that_is_accepted_is_one(value: str) -> None:
    """What looks like one is read as the standard has it: no zeros, no version ff, no more parts in 00."""
    version, trace_id, parent_id = value[:2], value[3:35], value[36:52]
    refused = not int(trace_id, 16) or not int(parent_id, 16) or version == "ff"
    refused |= version == "00" and len(value) > 55
    assert (parse_traceparent(value) is None) == refused
