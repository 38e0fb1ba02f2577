"""Which models are served in batches: those whose records are proved not to look at each other."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skdeploy
from skdeploy.engines.batching import BatchingEngine
from skdeploy.model import Model, batched
from tests.conftest import small_frame, small_pipeline


def is_batched(model: Model, most: int = 100) -> bool:
    return isinstance(batched(model, most=most, wait=0.0).engine, BatchingEngine)


def test_scikit_learn_is_batched_and_the_compiled_engine_is_not(regressor_file: Path) -> None:
    """Only where a call costs much is there something to gain; a bound below 2 turns it off."""
    model = skdeploy.load(regressor_file, engine="sklearn")
    assert is_batched(model)
    assert not is_batched(model, most=1)
    assert not is_batched(skdeploy.load(regressor_file, engine="onnx"))


def test_a_batched_model_answers_as_before(regressor_file: Path) -> None:
    """Name, passport and predictions are those of the model that was batched."""
    model = skdeploy.load(regressor_file, engine="sklearn")
    gathering = batched(model, most=100, wait=0.0)
    assert gathering.engine.name == "sklearn"
    assert gathering == replace(model, engine=gathering.engine)
    assert gathering.predict(model.probe) == model.predict(model.probe)


def less_the_mean(X: pd.DataFrame) -> pd.DataFrame:
    """A transformation that looks at all the records of a call."""
    return X - X.mean()


def test_records_that_look_at_each_other_are_not_batched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where a golden record alone predicts something else, requests are kept apart, and it is said."""
    X = pd.DataFrame({"a": np.linspace(-1, 1, 40), "b": np.arange(40.0)})
    pipeline = make_pipeline(FunctionTransformer(less_the_mean), LinearRegression()).fit(X, X["a"])
    skdeploy.save(pipeline, X, X["a"], tmp_path / "model.bin")
    model = batched(skdeploy.load(tmp_path / "model.bin", engine="sklearn"), most=100, wait=0.0)
    assert not isinstance(model.engine, BatchingEngine)
    assert "without the others" in model.notes[-1]
    assert model.notes[-1] in caplog.text


def test_without_golden_records_nothing_is_proved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A pickle without a passport is served as it is, and the log says why."""
    frame = small_frame()
    joblib.dump(small_pipeline(LinearRegression()).fit(frame, frame["age"]), tmp_path / "bare.bin")
    model = skdeploy.load(tmp_path / "bare.bin", engine="sklearn")
    with caplog.at_level(logging.INFO):
        assert not is_batched(model)
    assert "no golden records" in caplog.text
