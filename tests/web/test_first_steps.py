"""What a service says when it has started, and that its example is answered."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import joblib
import pytest
from flask.testing import FlaskClient

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.web import create_app
from skdeploy.web.pages import first_steps
from tests import pipelines

ADDRESS = ("127.0.0.1", 9696)


def about(model: Any, **settings: str) -> tuple[FlaskClient, Any]:
    """A client of a service, and what its `GET /` says."""
    client = create_app(model, WebSettings.from_env(settings)).test_client()
    return client, client.get("/").json


def request_of(line: str) -> list[str]:
    """The words of the curl command."""
    assert line.startswith("Try it: curl ")
    return shlex.split(line.removeprefix("Try it: "))


@pytest.mark.parametrize("bare", [False, True], ids=["saved", "bare"])
@pytest.mark.parametrize(
    "make",
    [
        pipelines.mixed_regression,
        pipelines.one_hot_refuses_with_string_labels,
        pipelines.names_of_all_kinds,
        pipelines.integers_with_nulls,
        pipelines.booleans_with_boolean_labels,
        pipelines.tfidf_on_a_list,
        pipelines.dict_vectorizer,
        pipelines.array_of_doubles,
    ],
    ids=lambda make: make.__name__,
)
def test_the_example_is_answered(tmp_path: Path, make: Any, bare: bool) -> None:
    """Whatever the model's columns are, and also if it has no passport."""
    pipeline, X, y = make()
    if bare:
        joblib.dump(pipeline, tmp_path / "model.bin")
    else:
        skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    client, says = about(skdeploy.load(tmp_path / "model.bin"))
    command = request_of(first_steps(says, ADDRESS, tls=False, keys=False)[1])
    answer = client.post("/predict", data=command[-1], content_type="application/json")
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("name", "tls", "listens", "reached"),
    [
        (("127.0.0.1", 80), False, "http://127.0.0.1:80", "http://127.0.0.1:80"),
        (("0.0.0.0", 9696), False, "http://0.0.0.0:9696", "http://127.0.0.1:9696"),
        (("::", 9696, 0, 0), True, "https://[::]:9696", "https://[::1]:9696"),
        ("/run/a b.sock", False, "unix:/run/a b.sock", "http://localhost"),
    ],
)
def test_addresses(regressor: Model, name: Any, tls: bool, listens: str, reached: str) -> None:
    """What listens everywhere is reached on this machine; a Unix socket through its file."""
    serving, curl, docs = first_steps(about(regressor)[1], name, tls=tls, keys=False)
    assert serving == f"Serving tree {regressor.passport.version} on {listens}"
    assert f"{reached}/predict" in request_of(curl)
    assert docs == f"API reference: {reached}/docs"
    assert request_of(curl)[1:3] == ["--unix-socket", name] or not isinstance(name, str)


def test_a_key_is_left_to_the_caller(regressor: Model) -> None:
    """Where keys are asked for, the command names a variable: keys are not known, and would be in the log."""
    command = first_steps(about(regressor)[1], ADDRESS, tls=False, keys=True)[1]
    assert '-H "X-API-Key: $API_KEY"' in command


def test_hidden_examples_stay_hidden(regressor: Model) -> None:
    """With SKDEPLOY_EXPOSE_SCHEMA=minimal no value of the training data is in the log."""
    says = about(regressor, SKDEPLOY_EXPOSE_SCHEMA="minimal")[1]
    assert request_of(first_steps(says, ADDRESS, tls=False, keys=False)[1])[-1] == "@record.json"


def test_a_command_fits_into_a_terminal(regressor: Model) -> None:
    """A record of hundreds of columns goes into a file: terminals cut lines at 4,096 bytes."""
    says = about(regressor)[1]
    says["schema"]["properties"] |= {f"column {i}": {"type": "number", "examples": [1.5]} for i in range(400)}
    assert request_of(first_steps(says, ADDRESS, tls=False, keys=False)[1])[-1] == "@record.json"
