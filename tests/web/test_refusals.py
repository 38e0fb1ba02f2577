"""What cannot be a request: always problem+json, never a 500."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.web import create_app
from tests.web.ways import client_of

RECORD = {"size": 11.5, "kind": "elm", "age": 3}


@pytest.fixture(scope="module")
def client(regressor: Model) -> FlaskClient:
    return client_of(regressor, SKDEPLOY_MAX_BODY="1M")


def document_of(answer: Any) -> dict[str, Any]:
    assert answer.mimetype == "application/problem+json"
    document: dict[str, Any] = answer.json
    assert document["status"] == answer.status_code
    assert document["title"]
    assert "Traceback" not in answer.text
    return document


def with_age(token: str) -> bytes:
    return b'{"size": 11.5, "kind": "elm", "age": %s}' % token.encode()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b" \n ", 400),
        (b"{", 400),
        (b"3", 400),
        (b'"text"', 400),
        (b"null", 400),
        (b"\xff\xfe", 400),
        (b'{"kind": "\\ud800", "size": 1, "age": 1}', 400),
        (b'{"age": 1, "age": 1, "kind": "elm", "size": 1}', 400),
        (b"[" * 100_000 + b"]" * 100_000, 400),
        (b'{"a":' * 100_000, 400),
        (with_age("NaN"), 400),
        (with_age("Infinity"), 400),
        (with_age("-Infinity"), 400),
        (b'{"shape": [2, 2], "data": [1, 2, 3]}', 400),
        (b'{"instances": [[1, 2, 3]]}', 400),
        (b"[]", 422),
        (b"{}", 422),
        (b"[[1, 2, 3]]", 422),
        (b'[{"size": 1.0}]', 422),
        (with_age("1e400"), 422),
        (with_age("1e999999999999"), 422),
        (with_age("9223372036854775808"), 422),
        (with_age("1" * 5000), 422),
        (with_age("2.9"), 422),
        (with_age("null"), 422),
        (with_age('"3"'), 422),
        (with_age("true"), 422),
        (with_age("[" * 500 + "]" * 500), 422),
        (with_age("3.0"), 200),
        (with_age("3e0"), 200),
        (b'{"size": null, "kind": "elm", "age": 3}', 200),
    ],
)
def test_bodies(body: bytes, status: int, client: FlaskClient) -> None:
    """Malformed bodies are 400, records that do not fit 422, the rest is answered."""
    answer = client.post("/predict", data=body, content_type="application/json")
    assert answer.status_code == status, answer.text
    if status != 200:
        document_of(answer)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Content-Type": "application/json"}, 200),
        ({"Content-Type": "application/json; charset=utf-8"}, 200),
        ({"Content-Type": 'Application/JSON;charset="UTF-8"'}, 200),
        ({"Content-Type": "application/vnd.api+json"}, 200),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/json; charset=utf-8; profile=x"}, 200),
        ({"Content-Type": "application/json; profile=x; charset=latin-1"}, 415),
        ({"Content-Type": "text/csv"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
    ],
)
def test_media_types(headers: dict[str, str], status: int, client: FlaskClient) -> None:
    """JSON in UTF-8 is understood, and taken for granted where nothing is said."""
    answer = client.post("/predict", data=json.dumps(RECORD).encode(), headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert answer.mimetype == "application/problem+json"


def test_a_wrong_media_type_says_how_to_send_json(client: FlaskClient) -> None:
    """curl -d without a header is everybody's first try."""
    answer = client.post("/predict", data={"a": "1"})
    assert "-H 'Content-Type: application/json'" in document_of(answer)["detail"]


def test_a_body_above_the_limit_is_refused_with_the_limit(client: FlaskClient) -> None:
    """413 names the limit and the setting, with and without Content-Length."""
    answer = client.post("/predict", data=b" " * (1024 * 1024 + 1), content_type="application/json")
    assert answer.status_code == 413
    assert "1048576 bytes (SKDEPLOY_MAX_BODY)" in document_of(answer)["detail"]
    just = client.post(
        "/predict", data=json.dumps(RECORD).encode().ljust(1024 * 1024), content_type="application/json"
    )
    assert just.status_code == 200


def test_a_list_above_the_limit_is_refused_with_the_limit(regressor: Model) -> None:
    """413 names the limit, whether the records are good or bad; the limit itself is fine."""
    client = client_of(regressor, SKDEPLOY_MAX_RECORDS="3")
    assert client.post("/predict", json=[RECORD] * 3).status_code == 200
    lists: list[list[dict[str, Any]]] = [[RECORD] * 4, [{}] * 4]
    for bodies in lists:
        answer = client.post("/predict", json=bodies)
        assert answer.status_code == 413
        assert "more than 3 records (SKDEPLOY_MAX_RECORDS)" in document_of(answer)["detail"]


class Trickle:
    """A client that stops sending."""

    def read(self, size: int) -> bytes:
        raise ConnectionResetError


class Cut:
    """A client that went away in the middle of its body."""

    def read(self, size: int) -> bytes:
        return b'{"size'


@pytest.mark.parametrize(("stream", "status"), [(Trickle(), 408), (Cut(), 400)])
def test_a_client_that_does_not_finish(stream: Any, status: int, regressor: Model) -> None:
    """A body that does not come, or not all of it, is the client's fault, whichever WSGI server says so."""
    client = create_app(regressor, WebSettings.from_env({})).test_client()
    environ = {"wsgi.input": stream, "CONTENT_LENGTH": "100", "CONTENT_TYPE": "application/json"}
    answer = client.post("/predict", environ_overrides=environ)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("PUT", "/predict", 405),
        ("POST", "/", 405),
        ("GET", "/nothing", 404),
        ("POST", "/predict/other", 404),
        ("GET", "/predict/", 404),
    ],
)
def test_paths_and_methods(method: str, path: str, status: int, client: FlaskClient) -> None:
    """Unknown paths are 404, wrong methods 405 with what is allowed."""
    answer = client.open(path, method=method)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    if status == 405:
        assert answer.headers["Allow"]
