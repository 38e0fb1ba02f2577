"""Another model takes the place of the one that is served."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.errors import SettingsError
from skdeploy.model import Model
from skdeploy.web import create_app
from skdeploy.web.serving import ONLY, Slot

RECORD = {"size": 11.5, "kind": "elm", "age": 3}


def slot_of(app: Flask) -> Slot:
    slot: Slot = app.extensions["skdeploy"].models[ONLY]
    return slot


def ask(app: Flask) -> Any:
    return app.test_client().post("/predict", json=RECORD).json


def versioned(model: Model, version: str) -> Model:
    import msgspec

    return replace(model, passport=msgspec.structs.replace(model.passport, version=version))


def test_the_next_request_has_the_other_model(regressor: Model, classifier: Model) -> None:
    """Predictions, the version in the answer and GET / are the other model's."""
    app = create_app(regressor, WebSettings.from_env({}))
    assert isinstance(ask(app)["prediction"], float)
    slot_of(app).swap(classifier)
    answer = ask(app)
    assert answer["prediction"] in ("old", "young")
    assert answer["model"]["version"] == classifier.passport.version
    client = app.test_client()
    page: Any = client.get("/").json
    assert page["model"]["version"] == classifier.passport.version
    assert client.post("/predict?proba=true", json=RECORD).status_code == 200


def test_a_model_that_does_not_go_with_the_settings_is_not_served(regressor: Model, tmp_path: Any) -> None:
    """A column with the name of the pass-through key: the model that was there stays."""
    from sklearn.linear_model import LinearRegression

    from tests.conftest import small_frame, small_pipeline

    app = create_app(regressor, WebSettings.from_env({"SKDEPLOY_ID_FIELD": "key"}))
    frame = small_frame().assign(key=1.0)
    pipeline = small_pipeline(LinearRegression()).fit(frame, frame["age"])
    skdeploy.save(pipeline, frame, None, tmp_path / "m.bin")
    with pytest.raises(SettingsError, match="SKDEPLOY_ID_FIELD='key' is a column of the model"):
        slot_of(app).swap(skdeploy.load(tmp_path / "m.bin"))
    assert ask(app)["model"]["name"] == "tree"


def test_no_answer_mixes_two_models(regressor: Model, classifier: Model) -> None:
    """While models take turns, each answer is wholly one's or the other's."""
    models = [versioned(regressor, "number"), versioned(classifier, "label")]
    app = create_app(models[0], WebSettings.from_env({}))
    seen, done = set(), threading.Event()

    def keep_asking() -> None:
        while not done.is_set():
            answer = ask(app)
            kind = "number" if isinstance(answer["prediction"], float) else "label"
            seen.add((kind, answer["model"]["version"]))

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(100):
        slot_of(app).swap(models[turn % 2])
    done.set()
    for thread in threads:
        thread.join()
    assert seen <= {("number", "number"), ("label", "label")}
    assert seen
