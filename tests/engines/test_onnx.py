"""The compiled engine beside scikit-learn."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import skdeploy
from skdeploy.engines.compiling import compile_graph
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import ModelUnavailable
from skdeploy.model import Model
from skdeploy.model.choice import NotCompiled, choose_engine, compile_engine
from skdeploy.model.proof import golden_table
from skdeploy.schema import Table
from skdeploy.scoring import Scorer
from tests import pipelines
from tests.conftest import small_frame, small_pipeline
from tests.counting import calls

COMPILED = [
    pipelines.mixed_regression,
    pipelines.one_hot_refuses_with_string_labels,
    pipelines.one_hot_nan_is_a_category,
    pipelines.one_hot_none_is_a_category,
    pipelines.one_hot_of_integers_and_booleans,
    pipelines.ordinal_with_given_order,
    pipelines.ordinal_with_values_for_unknown_and_missing,
    pipelines.target_encoder,
    pipelines.booleans_with_boolean_labels,
    pipelines.nullable_integers,
    pipelines.integers_with_nulls,
    pipelines.categories_one_hot,
    pipelines.several_numbers,
    pipelines.bare_forest,
    pipelines.array_of_doubles,
    pipelines.float32_columns,
    pipelines.names_of_all_kinds,
    pipelines.clusters,
    pipelines.six_hundred_columns,
    pipelines.one_hot_infrequent,
    pipelines.most_frequent_text,
    pipelines.tfidf_on_a_column,
    pipelines.counts_on_a_series,
    pipelines.tfidf_on_a_list,
    pipelines.integers_with_an_imputer,
    pipelines.dict_vectorizer,
    pipelines.dict_vectorizer_with_every_key,
    pipelines.grid_search,
    pipelines.voting_of_pipelines,
    pipelines.bins_and_components_with_integer_labels,
    pipelines.several_labels_from_a_forest,
    pipelines.several_labels_of_different_types,
    pipelines.float32_predictions,
    pipelines.margins_without_probabilities,
    pipelines.transformed_target_of_a_pipeline,
    pipelines.chosen_by_dtype_as_pandas,
]
NOT_COMPILED = [
    pipelines.datetimes_with_zone,
    pipelines.datetimes_without_zone,
    pipelines.own_transformer_and_text_length,
]


def saved(make: Callable[[], pipelines.Fitted], path: Path, engine: str = "auto") -> Model:
    pipeline, X, y = make()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the pipelines warn of is not looked at here
        skdeploy.save(pipeline, X, y, path)
        return skdeploy.load(path, engine=engine)


@pytest.mark.parametrize("make", COMPILED, ids=lambda make: make.__name__)
def test_what_compiles_is_proved_and_serves(make: Callable[[], pipelines.Fitted], tmp_path: Path) -> None:
    """These pipelines are served compiled, and answer every golden record as scikit-learn does."""
    model = saved(make, tmp_path / "m.bin")
    assert model.fallback is None
    assert model.engine.name == "onnx"
    result = Scorer(model).predict(golden_table(model.passport), proba=model.passport.output.probabilities)
    assert not result.unscorable
    for got, expected in zip(result.values, model.passport.golden.predictions, strict=True):
        assert got == expected or got == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("make", NOT_COMPILED, ids=lambda make: make.__name__)
def test_what_does_not_compile_is_served_by_scikit_learn(
    make: Callable[[], pipelines.Fitted], tmp_path: Path
) -> None:
    """Nobody has to know: the model serves, and says why it is not compiled."""
    model = saved(make, tmp_path / "m.bin")
    assert model.engine.name == "sklearn"
    assert model.fallback is not None
    assert model.fallback.startswith("the pipeline cannot be compiled: ")


def test_an_engine_can_be_forced(regressor_file: Path, tmp_path: Path) -> None:
    """SKDEPLOY_ENGINE=sklearn compiles nothing; SKDEPLOY_ENGINE=onnx refuses to start with another engine."""
    assert skdeploy.load(regressor_file, engine="sklearn").engine.name == "sklearn"
    assert skdeploy.load(regressor_file, engine="onnx").engine.name == "onnx"
    with pytest.raises(ModelUnavailable, match="SKDEPLOY_ENGINE=onnx, but the pipeline cannot be compiled"):
        saved(pipelines.datetimes_with_zone, tmp_path / "m.bin", engine="onnx")


TREES = [
    DecisionTreeRegressor(max_depth=5),
    RandomForestRegressor(8, random_state=0),
    ExtraTreesRegressor(8, random_state=0),
    GradientBoostingRegressor(n_estimators=12),
    GradientBoostingRegressor(n_estimators=12, init="zero"),
    HistGradientBoostingRegressor(max_iter=12),
    HistGradientBoostingRegressor(max_iter=12, loss="poisson"),
    DecisionTreeClassifier(max_depth=4),
    RandomForestClassifier(8, random_state=0),
    GradientBoostingClassifier(n_estimators=8),
    HistGradientBoostingClassifier(max_iter=8),
    DecisionTreeRegressor(max_depth=1, min_samples_leaf=10**6),
]


def numbers(rows: int = 400) -> pd.DataFrame:
    random = np.random.default_rng(3)
    return pd.DataFrame({"a": random.normal(size=rows), "b": random.integers(0, 50, rows) / 7})


@pytest.mark.parametrize("trees", TREES, ids=lambda trees: type(trees).__name__)
@pytest.mark.parametrize("classes", [2, 3])
def test_trees_are_exact(trees: Any, classes: int, tmp_path: Path) -> None:
    """Also beside their splits: a record one bit to the left or right falls where scikit-learn's does."""
    X = numbers()
    y = (np.abs(X["a"] * 3 + X["b"]) // 2).clip(0, classes - 1).astype(int)
    target = y if hasattr(trees, "predict_proba") else y + X["a"].abs()
    skdeploy.save(trees.fit(X, target), X, target, tmp_path / "m.bin")
    model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
    splits = X["b"].unique()[:40]
    beside = np.concatenate([splits, np.nextafter(splits, -9), np.nextafter(splits, 99), splits + 1e-8])
    rows = pd.DataFrame({"a": np.resize(X["a"].to_numpy(), len(beside)), "b": beside})
    table = Table([rows["a"].tolist(), rows["b"].tolist()], len(rows))
    assert np.asarray(model.engine.predict(table)).ravel() == pytest.approx(trees.predict(rows), rel=1e-12)
    if hasattr(trees, "predict_proba"):
        assert model.engine.predict_proba(table) == pytest.approx(trees.predict_proba(rows), rel=1e-9)


def test_missing_values_go_where_training_sent_them(tmp_path: Path) -> None:
    """A null in a tree's column takes the branch that scikit-learn's trees learned for it."""
    X = numbers()
    X.loc[::3, "b"] = np.nan
    target = X["a"] + X["b"].isna() * 10
    for trees in (HistGradientBoostingRegressor(max_iter=5), RandomForestRegressor(4, random_state=1)):
        skdeploy.save(trees.fit(X, target), X, target, tmp_path / "m.bin")
        model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
        table = Table([[0.1, 0.1], [None, 3.0]], 2)
        expected = trees.predict(pd.DataFrame({"a": [0.1, 0.1], "b": [np.nan, 3.0]}))
        assert np.asarray(model.engine.predict(table)).ravel() == pytest.approx(expected)


def test_a_null_among_texts_is_no_special_case(tmp_path: Path) -> None:
    """Records with a null text are answered without scikit-learn, and as it does."""
    model = saved(pipelines.mixed_regression, tmp_path / "m.bin")
    reference = skdeploy.load(tmp_path / "m.bin", engine="sklearn")
    table = golden_table(model.passport)
    index = model.schema.names.index("city")
    table = Table([list(cells) for cells in table.cells], table.count)
    table.cells[index][3] = table.cells[index][7] = None
    assert model.schema.columns[index].nullable
    alone: Any = OnnxEngine(compile_graph(joblib.load(tmp_path / "m.bin"), model.schema), others=None)
    assert alone.predict(table).ravel() == pytest.approx(reference.engine.predict(table))


def test_a_category_on_which_the_encoder_raises_is_scikit_learns_affair(tmp_path: Path) -> None:
    """The record has no answer, as from scikit-learn; its neighbours have labels and probabilities."""
    model = saved(pipelines.one_hot_refuses_with_string_labels, tmp_path / "m.bin")
    table = Table([[30.0, 40.0, 50.0], ["basic", "unseen", "pro"]], 3)
    with pytest.raises(ValueError, match="unknown categories"):
        model.engine.predict(table)
    result = Scorer(model).predict(table, proba=True)
    assert list(result.unscorable) == [1]
    good = table.rows([0, 2])
    labels, probabilities = SklearnEngine(joblib.load(tmp_path / "m.bin"), model.schema).predict_both(good)
    assert [result.values[0], result.values[2]] == labels.tolist()
    assert result.probabilities is not None
    got = [list(result.probabilities[index].values()) for index in (0, 2)]
    assert got == pytest.approx(probabilities)


class Halves:
    """Another engine, which answers a half whatever it is asked."""

    name = "halves"

    def predict(self, table: Table) -> Any:
        return np.full(table.count, "stays")

    def predict_proba(self, table: Table) -> Any:
        return np.full((table.count, 2), 0.5)


def test_records_scored_apart_stand_in_their_places(tmp_path: Path) -> None:
    """The other engine is asked for them alone; all, some or none of a call may be such records."""
    model = saved(pipelines.one_hot_refuses_with_string_labels, tmp_path / "m.bin")
    engine = OnnxEngine(compile_graph(joblib.load(tmp_path / "m.bin"), model.schema), Halves())
    table = Table([[30.0, 90.0, 30.0, 30.0], ["basic", "unseen", "pro", "other"]], 4)
    labels, probabilities = engine.predict_both(table)
    rest = table.rows([0, 2])
    assert probabilities[[0, 2]] == pytest.approx(model.engine.predict_proba(rest))
    assert labels[[0, 2]].tolist() == model.engine.predict(rest).tolist()
    assert probabilities[[1, 3]].tolist() == [[0.5, 0.5]] * 2
    assert labels[[1, 3]].tolist() == ["stays"] * 2
    assert engine.predict(table.rows([1])).tolist() == ["stays"]
    assert engine.predict_proba(table.rows([1, 3])).tolist() == [[0.5, 0.5]] * 2


def test_labels_and_probabilities_come_from_one_run(tmp_path: Path) -> None:
    """A classifier that is asked for both does less than one that is asked twice, and answers alike."""
    model: Any = saved(pipelines.booleans_with_boolean_labels, tmp_path / "m.bin")
    table = golden_table(model.passport)
    expected = model.engine.predict(table).tolist(), model.engine.predict_proba(table).tolist()
    result = Scorer(model).predict(table, proba=True)
    assert result.values == expected[0]
    assert {type(label) for label in result.values} == {bool}
    assert [list(row.values()) for row in result.probabilities or ()] == expected[1]
    both = calls(lambda: model.engine.predict_both(table))
    twice = calls(lambda: model.engine.predict(table)) + calls(lambda: model.engine.predict_proba(table))
    assert both < 0.75 * twice


def test_many_records_of_trees_are_answered_in_their_order(tmp_path: Path) -> None:
    """However the graph sees them, every record has its own answer, bit by bit."""
    model: Any = saved(pipelines.bare_forest, tmp_path / "m.bin")
    golden = golden_table(model.passport)
    table = golden.rows([row % golden.count for row in range(3 * golden.count)])
    assert table.count >= 200
    engine = model.engine
    got = engine.predict(table).tolist()
    assert got == [value for part in (golden,) * 3 for value in engine.predict(part).tolist()]
    assert got[:20] == [engine.predict(table.rows([row])).tolist()[0] for row in range(20)]


def test_many_records_are_scored_in_parts(tmp_path: Path) -> None:
    """Six thousand texts of two thousand words take the memory of some; the answers are those of few."""
    model: Any = saved(many_words, tmp_path / "m.bin")
    few = golden_table(model.passport)
    table = few.rows([row % few.count for row in range(6000)])
    expected = model.engine.predict_both(few)
    tracemalloc.start()
    try:
        labels, probabilities = model.engine.predict_both(table)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A number for each text and word would be 90 MB.
    assert most < 40_000_000
    assert labels.tolist() == [*itertools.islice(itertools.cycle(expected[0].tolist()), 6000)]
    assert probabilities == pytest.approx(np.resize(expected[1], probabilities.shape), rel=1e-12)


def many_words() -> pipelines.Fitted:
    random = np.random.default_rng(1)
    words = [f"word{number}" for number in range(2000)]
    X = pd.Series([" ".join(random.choice(words, 20)) for _ in range(240)], name="text")
    y = np.where(random.random(240) > 0.5, "long", "short")
    return make_pipeline(CountVectorizer(), LogisticRegression()).fit(X, y), X, y


class Shifted:
    """An engine that differs from another one on records with an unseen kind only."""

    name = "shifted"

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def predict(self, table: Table) -> Any:
        known = [kind in ("ash", "elm", "oak", None) for kind in table.cells[1]]
        return self.inner.predict(table) + np.where(known, 0.0, 1.0)


def test_edges_are_compared_and_named_without_values() -> None:
    """An engine that is right on golden records and wrong at an edge is refused, and the edge is named."""
    frame = small_frame()
    pipeline = small_pipeline(LinearRegression())
    pipeline[0].set_params(onehotencoder__handle_unknown="ignore")
    pipeline.fit(frame, frame["age"])
    passport = _passport(pipeline, frame)
    golden = golden_table(passport)
    right: Any = SklearnEngine(pipeline, passport.schema)
    compile_engine(pipeline, passport, golden, right)
    with pytest.raises(NotCompiled, match=r"differs from scikit-learn: .*column 'kind': an unseen category$"):
        compile_engine(pipeline, passport, golden, Shifted(right))  # type: ignore[arg-type]


def _passport(pipeline: Any, frame: pd.DataFrame) -> Any:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return skdeploy.save(pipeline, frame, frame["age"], Path(folder) / "m.bin")


def test_the_runtime_reports_to_nobody(regressor_file: Path) -> None:
    """Without being told not to, onnxruntime starts a thread that does, and a fork would wait for it."""
    code = f"""
import os, sys, skdeploy
os.environ.pop("ORT_DISABLE_TELEMETRY", None)
skdeploy.load({str(regressor_file)!r}, engine="sklearn")
sklearn_only = len(os.listdir("/proc/self/task"))
assert "onnxruntime" not in sys.modules
skdeploy.load({str(regressor_file)!r}, engine="onnx")
assert "onnxruntime" in sys.modules
print(len(os.listdir("/proc/self/task")) - sklearn_only)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "0\n"


def test_whatever_fails_in_compiling_falls_back(
    regressor_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runtime that is not installed is a reason to serve with scikit-learn, not to fail."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    model = skdeploy.load(regressor_file, engine="auto")
    assert model.engine.name == "sklearn"
    assert "onnxruntime" in str(model.fallback)


def test_one_answer_whatever_the_neighbours(regressor_file: Path) -> None:
    """A record alone and among others gets the same prediction."""
    model = skdeploy.load(regressor_file, engine="onnx")
    table = golden_table(model.passport)
    together = Scorer(model).predict(table).values
    assert [Scorer(model).predict(table.rows([i])).values[0] for i in range(9)] == pytest.approx(
        together[:9], rel=1e-12
    )
    assert isinstance(model.engine, OnnxEngine)


def test_probabilities_of_several_classes_are_softmax(tmp_path: Path) -> None:
    """LogisticRegression with three classes is compiled with its probabilities."""
    X = numbers()
    y = np.resize(["x", "y", "z"], len(X))
    pipeline = LogisticRegression().fit(X, y)
    skdeploy.save(pipeline, X, y, tmp_path / "m.bin")
    model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
    table = Table([X["a"].tolist()[:5], X["b"].tolist()[:5]], 5)
    assert model.engine.predict_proba(table) == pytest.approx(pipeline.predict_proba(X[:5]), rel=1e-9)
    assert list(model.engine.predict(table)) == list(pipeline.predict(X[:5]))


def test_the_choice_says_nothing_when_nothing_was_asked(regressor_file: Path) -> None:
    """Forcing scikit-learn is no fallback."""
    import joblib

    pipeline = joblib.load(regressor_file)
    model = skdeploy.load(regressor_file)
    chosen = choose_engine(pipeline, model.passport, golden_table(model.passport), "sklearn")
    assert (chosen.engine.name, chosen.fallback) == ("sklearn", None)


def test_a_number_beyond_single_precision_is_scikit_learns_affair(tmp_path: Path) -> None:
    """Forests raise on 1e39, and so does the compiled one; its neighbours have their answers."""
    X = numbers()
    forest = RandomForestRegressor(4, random_state=0).fit(X, X["a"])
    skdeploy.save(forest, X, X["a"], tmp_path / "m.bin")
    model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
    result = Scorer(model).predict(Table([[0.5, 1e39], [1.0, 1.0]], 2))
    assert list(result.unscorable) == [1]
    assert result.values[0] == pytest.approx(forest.predict(pd.DataFrame({"a": [0.5], "b": [1.0]}))[0])


def test_a_text_with_a_nul_is_another_text(tmp_path: Path) -> None:
    """It is not cut off at the NUL, where a known category ends."""
    frame = small_frame()
    pipeline = small_pipeline(LinearRegression())
    pipeline[0].set_params(onehotencoder__handle_unknown="ignore")
    pipeline.fit(frame, frame["kind"] == "elm")
    skdeploy.save(pipeline, frame, None, tmp_path / "m.bin")
    model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
    known, cut = Scorer(model).predict(Table([[1.0, 1.0], ["elm", "elm\0"], [1, 1]], 2)).values
    assert known > cut + 0.5
