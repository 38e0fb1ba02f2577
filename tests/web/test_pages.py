from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.schema import Table
from skdeploy.web import create_app
from skdeploy.web.pages import draining


def client_of(model: Model) -> Any:
    return create_app(model, WebSettings.from_env({})).test_client()


def test_the_index_says_what_this_is(regressor: Model) -> None:
    """GET / names model, version, digest, schema, engine and links."""
    page = client_of(regressor).get("/").json
    assert page["model"]["name"] == "tree"
    assert page["model"]["version"] == regressor.passport.version
    assert page["model"]["sha256"] == regressor.digest
    assert page["engine"] == "onnx"
    assert page["engine_fallback"] is None
    assert page["engine_compared"]["records"] > len(regressor.passport.golden.predictions)
    assert page["engine_compared"]["share"] == 1.0
    assert list(page["schema"]["properties"]) == ["size", "kind", "age"]
    assert page["output"]["kind"] == "regression"
    assert page["links"]["predict"] == "/predict"


def test_golden_records_never_leave(regressor: Model) -> None:
    """Real rows are in the passport, and in no answer."""
    page = client_of(regressor).get("/").text
    values = [cell for cell in regressor.passport.golden.cells[0] if cell is not None]
    columns = regressor.schema.columns
    shown = {columns[0].minimum, columns[0].maximum, columns[0].example}
    assert not [value for value in values if str(value) in page and value not in shown]
    assert regressor.passport.golden.predictions[0] not in shown


def test_health_is_about_the_process(regressor: Model) -> None:
    """/health answers as long as the process does."""
    assert client_of(regressor).get("/health").json == {"status": "ok"}


class BrokenEngine:
    """An engine that broke after the proof."""

    name = "broken"

    def predict(self, table: Table) -> Any:
        raise RuntimeError

    predict_proba = predict_both = predict


def test_ready_is_about_predicting(regressor: Model) -> None:
    """/ready predicts a record; 503 if that fails, while /health stays 200."""
    assert client_of(regressor).get("/ready").json == {"status": "ready"}
    broken = client_of(replace(regressor, engine=BrokenEngine()))
    answer = broken.get("/ready")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert broken.get("/health").status_code == 200


@pytest.fixture
def ending() -> Any:
    draining.set()
    yield
    draining.clear()


def test_ready_ends_before_the_process_does(regressor: Model, ending: None) -> None:
    """From SIGTERM on no new traffic should come: 503."""
    answer = client_of(regressor).get("/ready")
    assert answer.status_code == 503
    assert "about to end" in answer.json["detail"]
