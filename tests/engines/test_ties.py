"""Where equals are decided between: thresholds, votes, neighbours that are equally far."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import BaggingRegressor, VotingClassifier, VotingRegressor
from sklearn.impute import KNNImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, TunedThresholdClassifierCV
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    NearestCentroid,
    RadiusNeighborsRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

import skdeploy
from skdeploy.engines.compiling import NotCompilable, compile_graph
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.model.exported import WithoutReference
from skdeploy.model.exporting import export
from skdeploy.schema import Column, Schema, Table

SCHEMA = Schema(
    container="array", columns=[Column(name=f"x{place}", type="float", dtype="float64") for place in range(3)]
)
WEIGHTS = [0.1, 0.2, 0.3]


def lattice(rows: int, seed: int) -> Any:
    """Numbers with one decimal, (rows, 3): a few of a thousand records have two neighbours equally far."""
    return np.round(np.random.default_rng(seed).uniform(0, 6, (rows, 3)), 1)


X, RECORDS = lattice(300, 0), lattice(2000, 1)
NUMBERS = X[:, 0] * 3 - X[:, 1] * 2 + np.random.default_rng(2).normal(0, 4, len(X))
LABELS = np.array(["no", "yes"])[(NUMBERS > 4).astype(int)]


def table(rows: Any) -> Table:
    return Table([list(column) for column in rows.T.tolist()], len(rows))


def compiled(model: Any) -> OnnxEngine:
    return OnnxEngine(compile_graph(model, SCHEMA), SklearnEngine(model, SCHEMA))


@pytest.mark.parametrize("algorithm", ["auto", "brute", "ball_tree"])
@pytest.mark.parametrize(
    "model",
    [
        KNeighborsRegressor(3),
        KNeighborsRegressor(3, weights="distance"),
        KNeighborsRegressor(4, p=1),
        KNeighborsClassifier(4, weights="distance"),
    ],
    ids=str,
)
def test_neighbours_equally_far_are_scikit_learns(model: Any, algorithm: str) -> None:
    """Whatever search scikit-learn makes: another neighbour would be another prediction."""
    model.set_params(algorithm=algorithm).fit(X, LABELS if hasattr(model, "predict_proba") else NUMBERS)
    got, expected = compiled(model).predict(table(RECORDS)).ravel(), model.predict(RECORDS)
    if expected.dtype.kind == "f":
        assert got == pytest.approx(expected, rel=1e-9)
    else:
        assert got.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "model",
    [
        VotingRegressor([("near", KNeighborsRegressor(3)), ("line", Ridge())]),
        BaggingRegressor(KNeighborsRegressor(3), 3, random_state=0),
        make_pipeline(StandardScaler(), KNeighborsRegressor(3)),
    ],
    ids=["voting", "bagging", "scaled"],
)
def test_neighbours_within_other_models(model: Any) -> None:
    """A member that leaves a record to scikit-learn leaves the whole prediction."""
    expected = model.fit(X, NUMBERS).predict(RECORDS)
    assert compiled(model).predict(table(RECORDS)).ravel() == pytest.approx(expected, rel=1e-9)


def test_without_scikit_learn_equally_far_neighbours_have_no_answer() -> None:
    """An exported model has none to ask: it refuses the record in place of guessing."""
    model = KNeighborsRegressor(1).fit(np.array([[0.0, 0, 0], [2, 0, 0]]), [1.0, 5.0])
    engine = OnnxEngine(compile_graph(model, SCHEMA), WithoutReference())
    assert engine.predict(table(np.array([[0.5, 0, 0]]))).ravel().tolist() == [1.0]
    with pytest.raises(Exception, match="only scikit-learn"):
        engine.predict(table(np.array([[0.5, 0, 0], [1.0, 0, 0]])))


def test_an_export_is_proved_on_the_records_that_it_answers(tmp_path: Path) -> None:
    """Golden records with neighbours that are equally far are left out of it."""
    cells = np.round(np.random.default_rng(0).uniform(0, 10, (300, 2)), 1)
    frame = pd.DataFrame(cells, columns=["a", "b"])
    skdeploy.save(KNeighborsRegressor(3).fit(frame, NUMBERS), frame, NUMBERS, tmp_path / "m.bin")
    content = (tmp_path / "m.bin").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    _, exported = export(content, digest=digest, where="m.bin", golden="real")
    assert 150 < len(exported.passport.golden.predictions) < 200


@pytest.mark.parametrize("options", [{}, {"kernel": "poly"}, {"break_ties": True}], ids=str)
@pytest.mark.parametrize("classes", [2, 3])
def test_records_on_the_boundary_of_support_vectors(options: dict[str, Any], classes: int) -> None:
    """Rounding decides there: what the graph adds up in another order has another sign."""
    grid, between = np.arange(-3.0, 4.0), np.arange(-3.0, 3.5, 0.5)
    X = np.array([*itertools.product(grid, grid, (-1.0, 0.0, 1.0))])
    records = np.array([*itertools.product(between, between, (-1.0, -0.5, 0.0, 0.5, 1.0))])
    model = SVC(**options).fit(X, np.sign(X[:, 0]) if classes == 3 else X[:, 0] > 0)
    engine = compiled(model)
    on_the_boundary = engine.leaves(table(records))
    assert (on_the_boundary > 0) == ("kernel" not in options)
    assert on_the_boundary < 200
    assert (engine.predict(table(records)) == model.predict(records)).all()


def test_the_nearest_of_two_equal_centroids() -> None:
    """Of centroids that are equally far scikit-learn's one is taken."""
    model = NearestCentroid().fit(
        np.array([[1, 0.4, 0], [-1, 0.2, 0.1], [1, -0.4, 0], [-1, -0.2, 0.1]]), ["b", "b", "a", "a"]
    )
    assert compiled(model).predict(table(RECORDS)).tolist() == model.predict(RECORDS).tolist()
    even = RECORDS * [1, 0, 0]
    assert compiled(model).predict(table(even)).tolist() == model.predict(even).tolist()


@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_votes_are_added_up_as_scikit_learn_does(voting: str) -> None:
    """0.1 + 0.2 is more than 0.3: a tie on paper is none in doubles."""
    members = [
        (f"{place}", DecisionTreeClassifier(max_depth=2, max_features=1, random_state=place))
        for place in range(3)
    ]
    model = VotingClassifier(members, voting=voting, weights=WEIGHTS).fit(X, LABELS)
    assert compiled(model).predict(table(RECORDS)).tolist() == model.predict(RECORDS).tolist()


@pytest.mark.parametrize(
    "model",
    [
        TunedThresholdClassifierCV(LogisticRegression(), cv=2, random_state=0),
        TunedThresholdClassifierCV(LinearSVC(random_state=0), cv=2, response_method="decision_function"),
        FixedThresholdClassifier(LogisticRegression(), threshold=0.7),
        FixedThresholdClassifier(LogisticRegression(), threshold=0.7, pos_label="no"),
        FixedThresholdClassifier(
            LogisticRegression(), threshold=-0.4, pos_label="no", response_method="decision_function"
        ),
        FixedThresholdClassifier(LogisticRegression()),
        FixedThresholdClassifier(DecisionTreeClassifier(max_depth=3), threshold=0.5, pos_label="no"),
        GridSearchCV(
            FixedThresholdClassifier(make_pipeline(StandardScaler(), LogisticRegression())),
            {"threshold": [0.3, 0.6]},
            cv=2,
        ),
        make_pipeline(StandardScaler(), FixedThresholdClassifier(LinearSVC(), threshold=0.2)),
    ],
    ids=lambda model: "".join(str(model).split())[:70],
)
def test_a_classifiers_threshold_is_kept(model: Any) -> None:
    """With either method and either class as the positive one, labels are those above the threshold."""
    model.fit(X, LABELS)
    engine = compiled(model)
    assert engine.predict(table(RECORDS)).tolist() == model.predict(RECORDS).tolist()
    if hasattr(model, "predict_proba"):
        expected = model.predict_proba(RECORDS)
        assert engine.predict_proba(table(RECORDS)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "model",
    [RadiusNeighborsRegressor(2.0), make_pipeline(KNNImputer(), Ridge())],
    ids=["radius", "imputer"],
)
def test_what_hangs_on_an_order_is_not_compiled(model: Any) -> None:
    """Other models that decide between equal distances are left to scikit-learn, with the reason."""
    with pytest.raises(NotCompilable, match="between equals"):
        compile_graph(model.fit(X, NUMBERS), SCHEMA)
