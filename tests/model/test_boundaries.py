"""The comparison of two engines where they may differ: it sees faults that golden records do not show."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, StandardScaler
from sklearn.svm import LinearSVC

import skdeploy
from skdeploy.engines import Engine
from skdeploy.engines.compiling import compile_graph, decisions
from skdeploy.engines.compiling.converters.adapting import TABLES
from skdeploy.engines.compiling.converters.writer import Writer
from skdeploy.engines.compiling.trees import of_histogram
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.model import Model
from skdeploy.model.boundaries import cells, tables
from skdeploy.model.choice import compile_engine
from skdeploy.model.proof import golden_table
from skdeploy.schema import Column, RecordReader, Schema, Table, as_list

DIFFERS = "the compiled pipeline differs from scikit-learn: "


def numbers(rows: int = 300, digits: int = 1) -> pd.DataFrame:
    """Three columns of numbers with few digits."""
    return pd.DataFrame(
        np.round(np.random.default_rng(0).uniform(0, 10, (rows, 3)), digits), columns=list("abc")
    )


def target(X: pd.DataFrame) -> Any:
    noise = np.random.default_rng(1).normal(0, 4, len(X))
    return (X["a"] * 3 - X["b"] * 2 + noise).to_numpy()


def labels(X: pd.DataFrame) -> Any:
    return np.array(["no", "yes"])[(target(X) > 5).astype(int)]


def loaded(pipeline: Any, X: pd.DataFrame, y: Any, path: Path, *, bare: bool) -> Model:
    if bare:
        joblib.dump(pipeline, path)
    else:
        skdeploy.save(pipeline, X, y, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return skdeploy.load(path, engine="auto")


def without_threshold(write: Writer, model: Any, x: str) -> Any:
    return write.classifier(model.estimator_, x)


@pytest.mark.parametrize("bare", [False, True], ids=["passport", "bare"])
@pytest.mark.parametrize(
    "model",
    [
        FixedThresholdClassifier(LogisticRegression(), threshold=0.5005),
        FixedThresholdClassifier(LinearSVC(), threshold=1e-3, response_method="decision_function"),
    ],
    ids=["probability", "decision"],
)
def test_a_lost_threshold_is_seen(
    model: Any, bare: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hardly a record lies between the two thresholds: it is searched for between records of both labels."""
    X = numbers(digits=6)
    pipeline = make_pipeline(StandardScaler(), model).fit(X, labels(X))
    assert loaded(pipeline, X, labels(X), tmp_path / "m.bin", bare=bare).fallback is None
    monkeypatch.setitem(TABLES.classifiers, FixedThresholdClassifier, without_threshold)
    found = loaded(pipeline, X, labels(X), tmp_path / "m.bin", bare=bare)
    assert found.engine.name == "sklearn"
    assert found.fallback == f"{DIFFERS}another label, at a jump of the predictions"


@pytest.mark.parametrize("bare", [False, True], ids=["passport", "bare"])
def test_another_order_of_equals_is_seen(bare: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One record in a thousand has two neighbours equally far: such are searched for among mixtures."""
    X = numbers()
    model = KNeighborsRegressor(3).fit(X, target(X))
    assert loaded(model, X, target(X), tmp_path / "m.bin", bare=bare).fallback is None
    monkeypatch.setattr(Writer, "leave", lambda _self, _records: None)
    found = loaded(model, X, target(X), tmp_path / "m.bin", bare=bare)
    assert found.engine.name == "sklearn"
    assert str(found.fallback).startswith(DIFFERS)


def in_single_precision(write: Writer, model: Any, x: str) -> str:
    trees = [of_histogram(predictor) for stage in model._predictors for predictor in stage]
    rounded = [dataclasses.replace(tree, threshold=tree.threshold.astype(np.float32)) for tree in trees]
    total = write.trees(x, [(tree, 0, 0) for tree in rounded], 1, single=False)
    return write.node("Add", total, np.asarray(model._baseline_prediction, dtype=float).reshape(1, 1))


@pytest.mark.parametrize("bare", [False, True], ids=["passport", "bare"])
def test_rounded_splits_are_seen(bare: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers on both sides of every split are tried: no golden record lies between it and its rounding."""
    X = numbers()
    model = HistGradientBoostingRegressor(max_iter=5).fit(X, target(X))
    monkeypatch.setitem(TABLES.regressors, HistGradientBoostingRegressor, in_single_precision)
    found = loaded(model, X, target(X), tmp_path / "m.bin", bare=bare)
    assert found.engine.name == "sklearn"
    assert str(found.fallback).startswith(DIFFERS)


def test_a_comparison_is_the_same_each_time(tmp_path: Path) -> None:
    """Records are drawn with a fixed seed, and a quick pipeline is compared on all of them."""
    X = numbers()
    model = make_pipeline(StandardScaler(), RandomForestRegressor(5, random_state=0)).fit(X, target(X))
    first, second = (loaded(model, X, target(X), tmp_path / "m.bin", bare=True) for _ in range(2))
    assert first.compared == second.compared
    assert first.compared is not None
    assert first.compared.share == 1.0
    assert first.compared.records > 1000


class Counting(Engine):
    """Another engine, which counts its calls."""

    name = "counting"

    def __init__(self, engine: Engine) -> None:
        self.engine, self.calls = engine, 0

    def predict(self, table: Table) -> Any:
        self.calls += 1
        return self.engine.predict(table)

    def predict_proba(self, table: Table) -> Any:
        return self.engine.predict_proba(table)


def compared(pipeline: Any, X: pd.DataFrame, y: Any, path: Path, seconds: float) -> tuple[Counting, Any]:
    """scikit-learn with the number of its calls, and how the compiled pipeline was compared with it."""
    passport = skdeploy.save(pipeline, X, y, path)
    reference: Any = Counting(SklearnEngine(pipeline, passport.schema))
    chosen = compile_engine(pipeline, passport, golden_table(passport), reference, seconds)
    return reference, chosen.compared


def test_the_share_says_what_there_was_no_time_for(tmp_path: Path) -> None:
    """Without time little more than the known records is compared."""
    X = numbers()
    model = HistGradientBoostingRegressor(max_iter=5).fit(X, target(X))
    _, everything = compared(model, X, target(X), tmp_path / "m.bin", math.inf)
    _, little = compared(model, X, target(X), tmp_path / "m.bin", 0.0)
    assert everything.share == 1.0
    assert little.share == 0.0
    assert 200 <= little.records < everything.records


def test_records_without_a_prediction_cost_no_call_each(tmp_path: Path) -> None:
    """Far outside an exponential is infinite: those records are left out, and the others share few calls."""
    X = numbers()
    y = np.exp(X["a"] * 3)
    pipeline = TransformedTargetRegressor(
        make_pipeline(StandardScaler(), Ridge()), func=np.log1p, inverse_func=np.expm1
    ).fit(X, y)
    reference, made = compared(pipeline, X, y, tmp_path / "m.bin", math.inf)
    assert made.share == 1.0
    assert reference.calls < 20


class RaisesBeyond(Ridge):  # type: ignore[misc]
    """Raises, as a function outside of its domain does."""

    def predict(self, X: Any) -> Any:
        if (np.abs(np.asarray(X)) > 1000).any():
            raise ValueError("too large")
        return super().predict(X)


def test_records_on_which_the_pipeline_raises_are_found_by_halving(tmp_path: Path) -> None:
    """An engine that answers where scikit-learn raises is refused, and the records need no call each."""
    X = numbers()
    pipeline = RaisesBeyond().fit(X, target(X))
    passport = skdeploy.save(pipeline, X, target(X), tmp_path / "m.bin")
    plain: Any = Ridge().fit(X, target(X))
    reference: Any = Counting(SklearnEngine(pipeline, passport.schema))
    with pytest.raises(Exception, match=r"an answer where scikit-learn raises, column '[abc]': an extreme$"):
        compile_engine(plain, passport, golden_table(passport), reference, math.inf)
    assert reference.calls < 200


def around(model: Any, X: Any, y: Any) -> list[list[float]]:
    """By column, in ascending order, the numbers that the compiled model compares it with."""
    schema = Schema(
        container="array",
        columns=[Column(name=f"x{place}", type="float", dtype="float64") for place in range(3)],
    )
    found: list[list[float]] = [[], [], []]
    for column, values in decisions(compile_graph(model.fit(X, y), schema)).around:
        found[column].append(float(np.mean(values)))
    return [sorted(values) for values in found]


def test_what_a_model_compares_columns_with() -> None:
    """Splits of trees behind a scaler, edges of bins, and training records of neighbours, in raw numbers."""
    X, y = numbers().to_numpy(), target(numbers())
    forest = make_pipeline(StandardScaler(), RandomForestRegressor(2, max_depth=3, random_state=0))
    found = around(forest, X, y)
    trees = [tree.tree_ for tree in forest[1].estimators_]
    bins = make_pipeline(KBinsDiscretizer(4, encode="ordinal", strategy="uniform"), LinearRegression())
    edges, kept = around(bins, X, y), around(KNeighborsRegressor(2), X, y)
    for column in range(3):
        splits = np.unique(np.concatenate([tree.threshold[tree.feature == column] for tree in trees]))
        raw = splits * forest[0].scale_[column] + forest[0].mean_[column]
        assert found[column] == pytest.approx(raw.tolist())
        assert edges[column] == pytest.approx(bins[0].bin_edges_[column][1:-1].tolist())
        assert kept[column] == pytest.approx(np.unique(X[:, column]).tolist())


def test_cells_at_boundaries_fit_the_schema(regressor: Model) -> None:
    """Every record that is made passes the model's own checks."""
    trials = cells(regressor.schema, golden_table(regressor.passport), [(2, (4.5, 4.4, 4.6))])
    made, names = tables(golden_table(regressor.passport), trials)
    columns = [as_list(column) for column in made.cells]
    records = [dict(zip(regressor.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]
    assert not RecordReader(regressor.schema).read(records).bad
    assert {"column 'size': null", "column 'age': an extreme"} <= set(names)
    assert {4, 5} <= {record["age"] for record in records}


WIDE = """
import joblib, sys
import numpy as np, pandas as pd, skdeploy
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

X = pd.DataFrame(np.random.default_rng(0).normal(size=(200, 1500))).add_prefix("c")
joblib.dump(make_pipeline(StandardScaler(), Ridge()).fit(X, X["c0"]), sys.argv[1])
model = skdeploy.load(sys.argv[1], engine="auto")
assert model.engine.name == "onnx", model.fallback
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_many_columns_take_little_memory(tmp_path: Path) -> None:
    """Records at boundaries are made a few at a time, whatever the number of columns."""
    command = [sys.executable, "-c", WIDE, str(tmp_path / "m.pkl")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 400 * 1024
