"""Whatever stands in a body: a prediction or a problem, in JSON that any parser reads."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.web.ways import client_of

RECORD = {"size": 11.5, "kind": "elm", "age": 3}
NAMES = st.sampled_from([*RECORD, "id", "Size", "age ", "instances", ""]) | st.text(max_size=4)
# Short of a double's end: a prediction beyond it is none, which is 500 by decision (test_predict.py).
NUMBERS = st.integers() | st.floats(-1e300, 1e300) | st.sampled_from([-0.0, 5e-324, 2**53, 2**53 + 1, 2**64])
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.sampled_from(["ash", "elm", "oak"])
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
# What json.dumps would not write.
TOKENS = st.sampled_from(
    [
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"1e-400",
        b"-0",
        b"01",
        b'"\\ud800"',
        b"\xff",
        b"3e0",
        b"1" * 5000,
        b"tru",
    ]
)
QUERIES = st.sampled_from(
    ["", "?proba=true", "?errors=partial", "?errors=partial&proba=true", "?proba=maybe"]
)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A good record, or a list of them, of which one cell, one key or some bytes are others."""
    record: dict[str, Any] = dict(RECORD)
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            record[draw(NAMES)] = draw(ANYTHING)
        else:
            record.pop(draw(NAMES), None)
    body = json.dumps([RECORD, record] if draw(st.booleans()) else record).encode()
    if draw(st.booleans()):
        start = draw(st.integers(0, len(body)))
        body = body[:start] + draw(TOKENS | st.binary(max_size=3)) + body[start + draw(st.integers(0, 6)) :]
    return body


BODIES = mutations() | ANYTHING.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40)


@pytest.fixture(scope="module", params=["regressor", "classifier"])
def client(request: pytest.FixtureRequest) -> FlaskClient:
    """A client of each kind of model; it asks by both ways, and demands one answer."""
    return client_of(request.getfixturevalue(request.param))


def _no_json(token: str) -> NoReturn:
    raise AssertionError(f"{token} is not JSON")


def strictly(content: bytes) -> Any:
    """The JSON value in `content`; AssertionError for NaN and infinities."""
    return json.loads(content.decode("utf-8"), parse_constant=_no_json)


@settings(max_examples=250, database=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES, query=QUERIES)
def test_any_body_gets_a_prediction_or_a_problem(client: FlaskClient, body: bytes, query: str) -> None:
    """Any bytes, any JSON, any good record spoilt: 200 with what was asked for, or a 4xx that says why."""
    answer = client.post("/predict" + query, data=body, content_type="application/json")
    document = strictly(answer.data)
    if answer.status_code == 200:
        assert answer.mimetype == "application/json"
        assert ("predictions" in document) != ("prediction" in document)
        return
    assert answer.status_code in (400, 422), (answer.status_code, document)
    assert answer.mimetype == "application/problem+json"
    assert document["status"] == answer.status_code
    assert document["title"]


@settings(max_examples=60, database=None, suppress_health_check=list(HealthCheck))
@given(
    size=st.none() | st.floats(-1e300, 1e300),
    kind=st.sampled_from(["ash", "elm", "oak"]),
    age=st.integers(-(2**53), 2**53),
    key=st.none() | st.text(max_size=9) | st.integers(-(2**63), 2**63 - 1),
)
def test_what_fits_is_answered(client: FlaskClient, size: Any, kind: str, age: int, key: Any) -> None:
    """The property above is not empty: cells that fit have a prediction, and the key comes back."""
    answer = client.post("/predict", json={"kind": kind, "id": key, "age": age, "size": size})
    assert answer.status_code == 200, answer.text
    assert strictly(answer.data)["id"] == key
