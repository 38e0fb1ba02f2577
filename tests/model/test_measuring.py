"""What a model's calls cost, and whether records may share one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skdeploy
from skdeploy.engines import Engine
from skdeploy.model import Model, measured
from skdeploy.schema import Table
from tests.conftest import small_frame, small_pipeline

Transformation = Callable[[pd.DataFrame], pd.DataFrame]


class Counting(Engine):
    """Another engine that counts its calls, and takes some time for each and for each record."""

    name = "counting"

    def __init__(self, engine: Engine, seconds: float, per_record: float) -> None:
        self._engine = engine
        self._seconds = seconds
        self._per_record = per_record
        self.calls: list[int] = []

    def predict(self, table: Table) -> Any:
        self.calls.append(table.count)
        time.sleep(self._seconds + self._per_record * table.count)
        return self._engine.predict(table)

    def predict_proba(self, table: Table) -> Any:
        return self._engine.predict_proba(table)


@pytest.mark.parametrize("engine", ["sklearn", "onnx"])
def test_golden_records_may_share_a_call(regressor_file: Path, engine: str) -> None:
    """Both engines are measured; nothing is measured twice."""
    model = measured(skdeploy.load(regressor_file, engine=engine))
    assert model.together
    assert model.cost is not None
    assert 0 < model.cost[0] < 1
    assert 0 <= model.cost[1] < model.cost[0]
    assert measured(model) is model


def test_a_call_and_a_further_record_are_told_apart(regressor: Model) -> None:
    """Seconds of both, measured on calls with one record and with all golden ones."""
    slow = replace(regressor, engine=Counting(regressor.engine, 0.02, 0.001))
    cost = measured(slow).cost
    assert cost is not None
    assert 0.021 <= cost[0] < 0.1
    assert 0.0005 < cost[1] < 0.01


def test_a_slow_model_is_called_a_few_times(regressor: Model) -> None:
    """Three calls for the cost; for the other answer one with all golden records, and eight with one each."""
    engine = Counting(regressor.engine, 0.05, 0.0)
    measured(replace(regressor, engine=engine))
    many = len(regressor.passport.golden.predictions)
    assert sorted(engine.calls) == [*[1] * 10, many, many]


def less_the_mean(X: pd.DataFrame) -> pd.DataFrame:
    return X - X.mean()


def needs_two(X: pd.DataFrame) -> pd.DataFrame:
    if len(X) < 2:
        raise ValueError("a secret value")
    return X


@pytest.mark.parametrize(
    ("transformation", "reason"),
    [
        (less_the_mean, "predicts something else without the others"),
        (needs_two, "without the others (ValueError)"),
    ],
)
def test_records_that_look_at_each_other_may_not(
    transformation: Transformation, reason: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A note says why, without a record's values."""
    X = pd.DataFrame({"a": np.linspace(-1, 1, 40), "b": np.arange(40.0)})
    pipeline = make_pipeline(FunctionTransformer(transformation), LinearRegression()).fit(X, X["a"])
    skdeploy.save(pipeline, X, X["a"], tmp_path / "model.bin")
    model = measured(skdeploy.load(tmp_path / "model.bin", engine="sklearn"))
    assert not model.together
    assert model.cost is not None
    assert reason in model.notes[-1]
    assert "secret" not in model.notes[-1]
    assert model.notes[-1] in caplog.text


def test_without_golden_records_nothing_is_known(tmp_path: Path) -> None:
    """A pickle without a passport is measured on its made-up record, and its records are kept apart."""
    frame = small_frame()
    joblib.dump(small_pipeline(LinearRegression()).fit(frame, frame["age"]), tmp_path / "bare.bin")
    model = measured(skdeploy.load(tmp_path / "bare.bin", engine="sklearn"))
    assert model.cost is not None
    assert not model.together
