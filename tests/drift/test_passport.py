"""The sketch that `save` puts into the passport."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import skdeploy
from skdeploy.drift import PREDICTION
from skdeploy.model import Model
from skdeploy.model.exporting import export
from tests.conftest import small_frame, small_pipeline
from tests.pipelines import nan_far_away
from tests.web.ways import client_of


def test_every_column_and_the_predictions_are_sketched(regressor: Model) -> None:
    """Of all training records, with their nulls."""
    sketch = regressor.passport.sketch
    assert sketch is not None
    assert sketch.records == 60
    assert [bins.name for bins in sketch.all] == ["size", "kind", "age", PREDICTION]
    assert sketch.columns[0].shares[-1] == 7 / 60


def test_the_same_training_data_make_the_same_sketch(tmp_path: Path) -> None:
    """Of many records the same sample is taken every time, and it is no even one."""
    frame = pd.concat([small_frame()] * 200, ignore_index=True)
    frame["row"] = np.arange(len(frame))
    pipeline = small_pipeline(LinearRegression()).fit(frame, frame["age"])
    first, second = (skdeploy.save(pipeline, frame, None, tmp_path / "m.bin").sketch for _ in range(2))
    assert first == second
    assert first is not None
    assert first.records == 10_000


@pytest.mark.filterwarnings("ignore:invalid value encountered in sqrt")
def test_records_that_the_pipeline_fails_on_have_no_prediction(tmp_path: Path) -> None:
    """They are sketched as what they are, and saving goes on."""
    pipeline, X, y = nan_far_away()
    X.loc[:29, "price"] = -1e6
    sketch = skdeploy.save(pipeline, X, y, tmp_path / "m.bin").sketch
    assert sketch is not None
    assert sketch.outputs[0].shares[-1] == 30 / len(X)


def test_a_model_of_before_there_were_sketches_is_served(regressor_file: Path, tmp_path: Path) -> None:
    """Its passport has none, and it predicts what it did."""
    pipeline = joblib.load(regressor_file)
    del pipeline.passport_["sketch"]
    joblib.dump(pipeline, tmp_path / "old.bin")
    model = skdeploy.load(tmp_path / "old.bin")
    assert model.passport.sketch is None
    assert "without a sketch" in " ".join(model.notes)
    answer = client_of(model).post("/predict", json={"size": 10.0, "kind": "oak", "age": 3})
    assert answer.status_code == 200


def test_an_exported_model_keeps_its_sketch(regressor_file: Path, regressor: Model) -> None:
    """What scores without scikit-learn can be watched as well."""
    content = regressor_file.read_bytes()
    _, exported = export(content, digest=regressor.digest, where="tree.bin")
    assert exported.passport.sketch == regressor.passport.sketch


def test_no_page_and_no_repr_shows_an_edge(regressor: Model) -> None:
    """Bins are made of training data."""
    sketch = regressor.passport.sketch
    assert sketch is not None
    shown = client_of(regressor).get("/").text + repr(regressor.passport) + repr(sketch)
    edges = [edge for bins in sketch.all for edge in bins.edges]
    assert edges
    assert not [edge for edge in edges if str(edge) in shown]
