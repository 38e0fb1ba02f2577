from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

import skdeploy
from skdeploy.errors import ProofFailed, UnreadableModel


def tampered(source: Path, target: Path, change: Any) -> Path:
    """A copy of a model whose passport `change` has altered in place."""
    pipeline = joblib.load(source)
    change(pipeline.passport_)
    joblib.dump(pipeline, target)
    return target


def test_a_golden_mismatch_names_record_and_both_values(regressor_file: Path, tmp_path: Path) -> None:
    """A model that does not predict what its passport says is refused."""

    def change(passport: Any) -> None:
        passport["golden"]["predictions"][3] = 1234.5

    with pytest.raises(ProofFailed, match=r"Golden record 3 predicts [\d.]+, but the passport says 1234.5"):
        skdeploy.load(tampered(regressor_file, tmp_path / "bad.bin", change))


def test_a_difference_within_the_tolerance_is_none(regressor_file: Path, tmp_path: Path) -> None:
    """Made here: 1e-9 of the value and of the spread. Made elsewhere: 1e-5."""

    def nudge(passport: Any) -> None:
        passport["golden"]["predictions"][3] *= 1 + 1e-7

    def elsewhere(passport: Any) -> None:
        nudge(passport)
        passport["libraries"]["numpy"] = "1.0"

    with pytest.raises(ProofFailed):
        skdeploy.load(tampered(regressor_file, tmp_path / "same.bin", nudge))
    assert skdeploy.load(tampered(regressor_file, tmp_path / "other.bin", elsewhere))


def test_other_versions_are_named_when_the_proof_fails(regressor_file: Path, tmp_path: Path) -> None:
    """A mismatch after a version change says which versions changed."""

    def change(passport: Any) -> None:
        passport["golden"]["predictions"][0] += 1
        passport["libraries"]["scikit-learn"] = "0.1"

    with pytest.raises(ProofFailed, match=re.escape("scikit-learn 0.1 there")):
        skdeploy.load(tampered(regressor_file, tmp_path / "old.bin", change))


def test_a_golden_record_that_the_schema_refuses_is_refused(regressor_file: Path, tmp_path: Path) -> None:
    """The passport must be true to itself."""

    def change(passport: Any) -> None:
        passport["golden"]["cells"][2][5] = "three"

    with pytest.raises(ProofFailed, match="golden record 5: column 'age'"):
        skdeploy.load(tampered(regressor_file, tmp_path / "bad.bin", change))


def test_a_damaged_passport_is_said_to_be_damaged(regressor_file: Path, tmp_path: Path) -> None:
    """A passport with a missing part, or of another format, is refused with its reason."""
    with pytest.raises(UnreadableModel, match="damaged"):
        skdeploy.load(tampered(regressor_file, tmp_path / "a.bin", lambda p: p.pop("schema")))
    with pytest.raises(UnreadableModel, match="format 99"):
        skdeploy.load(tampered(regressor_file, tmp_path / "b.bin", lambda p: p.update(format=99)))


def test_a_swapped_pipeline_is_caught(regressor_file: Path, tmp_path: Path) -> None:
    """The proof is of the pipeline, not of the file's name: other coefficients are refused."""
    pipeline = joblib.load(regressor_file)
    pipeline[-1].coef_ = pipeline[-1].coef_ * 1.01
    joblib.dump(pipeline, tmp_path / "swapped.bin")
    with pytest.raises(ProofFailed):
        skdeploy.load(tmp_path / "swapped.bin")


def test_probabilities_are_proved_as_well(tmp_path: Path) -> None:
    """A label may stay while its probability moves: that is a mismatch."""
    X = np.arange(40.0).reshape(20, 2)
    y = np.repeat(["a", "b"], 10)
    skdeploy.save(LogisticRegression().fit(X, y), X, y, tmp_path / "m.bin")

    def change(passport: Any) -> None:
        passport["golden"]["probabilities"][0] = [0.9, 0.1]

    with pytest.raises(ProofFailed, match="probability"):
        skdeploy.load(tampered(tmp_path / "m.bin", tmp_path / "n.bin", change))


@pytest.mark.parametrize(("spreads", "accepted"), [(0.5e-9, True), (3e-9, False)])
def test_the_spread_counts_where_a_prediction_is_near_zero(
    spreads: float, accepted: bool, tmp_path: Path
) -> None:
    """A prediction of nearly 0 may differ by 1e-9 of the predictions' standard deviation, and no more."""
    X = np.linspace(-1, 1, 41)[:, None]
    skdeploy.save(LinearRegression().fit(X, X[:, 0]), X, X[:, 0], tmp_path / "m.bin")
    spread = float(np.std(X))

    def change(passport: Any) -> None:
        passport["golden"]["predictions"][20] += spreads * spread

    path = tampered(tmp_path / "m.bin", tmp_path / "n.bin", change)
    if accepted:
        assert skdeploy.load(path)
    else:
        with pytest.raises(ProofFailed, match="Golden record 20"):
            skdeploy.load(path)


@pytest.mark.parametrize(
    ("probabilities", "label", "accepted"),
    [([0.5, 0.5, 0.0], "b", True), ([0.5, 0.5, 0.0], "c", False), ([0.6, 0.4, 0.0], "b", False)],
)
def test_a_toss_up_may_fall_either_way(
    probabilities: list[float], label: str, accepted: bool, tmp_path: Path
) -> None:
    """A label may differ if it is one of two classes that are equally probable."""
    X = np.zeros((10, 1))
    mixed = DummyClassifier(strategy="prior").fit(X, ["a"] * 10)
    mixed.classes_, mixed.n_classes_ = np.array(["a", "b", "c"]), 3
    mixed.class_prior_ = np.array(probabilities)
    skdeploy.save(mixed, X, None, tmp_path / "m.bin")

    def change(passport: Any) -> None:
        passport["golden"]["predictions"][0] = label

    path = tampered(tmp_path / "m.bin", tmp_path / "n.bin", change)
    if accepted:
        assert skdeploy.load(path)
    else:
        with pytest.raises(ProofFailed):
            skdeploy.load(path)


def test_a_mismatch_of_several_outputs_names_both_values(tmp_path: Path) -> None:
    """Predictions that are objects are compared, and shown, output by output."""
    X = np.arange(40.0).reshape(20, 2)
    skdeploy.save(LinearRegression().fit(X, X * 2), X, X * 2, tmp_path / "m.bin")

    def change(passport: Any) -> None:
        passport["golden"]["predictions"][4]["y1"] = 1234.5

    with pytest.raises(
        ProofFailed, match=r"Golden record 4 predicts \{.*\}, but the passport says \{.*1234.5\}"
    ):
        skdeploy.load(tampered(tmp_path / "m.bin", tmp_path / "n.bin", change))
