from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

import skdeploy
from skdeploy.errors import SaveError
from skdeploy.schema import RecordReader
from tests.conftest import small_frame, small_pipeline
from tests.live import ROOT
from tests.own_transformers import RatioToMedian


@pytest.fixture
def fitted() -> tuple[Pipeline, pd.DataFrame, pd.Series]:
    frame = small_frame()
    target = frame["age"] * 2.0
    return small_pipeline(LinearRegression()).fit(frame, target), frame, target


def test_the_file_is_a_plain_pipeline(
    fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """joblib.load gives a scikit-learn Pipeline that predicts, with a passport of plain values."""
    pipeline, frame, target = fitted
    skdeploy.save(pipeline, frame, target, tmp_path / "m.bin")
    loaded = joblib.load(tmp_path / "m.bin")
    assert type(loaded) is Pipeline
    assert np.array_equal(loaded.predict(frame), pipeline.predict(frame))
    assert type(loaded.passport_) is dict
    assert not hasattr(pipeline, "passport_")


def test_the_file_loads_without_this_package(
    fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """Only scikit-learn and pandas are needed to predict with it: skdeploy is not even imported."""
    pipeline, frame, target = fitted
    skdeploy.save(pipeline, frame, target, tmp_path / "m.bin")
    code = "import joblib, sys; joblib.load('m.bin'); print({'skdeploy', 'msgspec'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_texts_are_kept_without_pyarrow(tmp_path: Path) -> None:
    """Where pyarrow is installed pandas keeps texts in it: a file written there loads without it."""
    frame = pd.DataFrame({"width": [1.0, 2.0, 4.0], "height": [3.0, 1.0, 2.0]})
    pipeline = make_pipeline(RatioToMedian(), LinearRegression()).fit(frame, frame["width"])
    medians = pipeline[0].medians_
    assert medians.index.dtype.storage == "pyarrow"
    pipeline[0].more_ = pd.Series(["a", None], dtype="string[pyarrow]")
    skdeploy.save(pipeline, frame, frame["width"], tmp_path / "m.bin")
    code = (
        f"import sys; sys.modules['pyarrow'] = None; sys.path.insert(0, {str(ROOT)!r}); import joblib; "
        "first = joblib.load('m.bin')[0]; print(list(first.medians_.index), first.more_.isna().sum())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "['width', 'height'] 1"
    assert pipeline[0].medians_ is medians


def test_the_version_is_the_pipelines_digest(
    fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """The same pipeline has the same version, also when it is saved from a loaded file."""
    pipeline, frame, target = fitted
    first = skdeploy.save(pipeline, frame, target, tmp_path / "m.bin")
    again = skdeploy.save(pipeline, frame, target, tmp_path / "n.bin", name="other")
    assert first.version == again.version
    assert len(first.version) == 12
    assert skdeploy.save(pipeline, frame, target, tmp_path / "o.bin", version="v7").version == "v7"


def test_columns_say_what_was_found_out(
    fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """Types come from dtypes; nulls and unseen categories from trying the pipeline."""
    pipeline, frame, target = fitted
    passport = skdeploy.save(pipeline, frame, target, tmp_path / "m.bin", descriptions={"age": "years"})
    size, kind, age = passport.schema.columns
    assert (size.type, size.nullable) == ("float", True)
    assert (kind.type, kind.nullable, kind.unknown) == ("str", False, "refuse")
    assert kind.categories == ["ash", "elm", "oak"]
    assert (age.type, age.nullable, age.description) == ("int", False, "years")
    assert (age.minimum, age.maximum) == (1, 8)


def test_golden_records_hold_nulls(fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path) -> None:
    """A column that had nulls has one in the proof."""
    pipeline, frame, target = fitted
    golden = skdeploy.save(pipeline, frame, target, tmp_path / "m.bin").golden
    assert None in golden.cells[0]
    assert not golden.synthetic


def test_synthetic_golden_records_are_no_rows(
    fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """golden="synthetic" keeps every real combination of values out of the file."""
    pipeline, frame, target = fitted
    passport = skdeploy.save(pipeline, frame, target, tmp_path / "m.bin", golden="synthetic")
    sizes = {cell for cell in passport.golden.cells[0] if cell is not None}
    assert len(passport.golden.predictions) > 100
    assert not sizes & set(frame["size"])
    assert skdeploy.load(tmp_path / "m.bin").passport.golden.synthetic


def test_overrides_say_what_dtypes_do_not(tmp_path: Path) -> None:
    """A whole number that pandas stored as float because of nulls is an "int?"."""
    frame = small_frame().assign(size=lambda f: f["size"].round())
    pipeline = small_pipeline(LinearRegression()).fit(frame, frame["age"])
    passport = skdeploy.save(pipeline, frame, frame["age"], tmp_path / "m.bin", columns={"size": "int?"})
    assert (passport.schema.columns[0].type, passport.schema.columns[0].nullable) == ("int", True)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"size": "int?"}, "'size' cannot hold values of the type int"),
        ({"age": "int?"}, "raises on one"),
        ({"age": "integer"}, "one of int, float"),
        ({"height": "int"}, "no column 'height'"),
    ],
)
def test_a_wrong_override_is_refused(
    columns: dict[str, str], says: str, fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """An override that data or pipeline contradict is an error that says so."""
    pipeline, frame, target = fitted
    with pytest.raises(SaveError, match=says):
        skdeploy.save(pipeline, frame, target, tmp_path / "m.bin", columns=columns)
    assert not list(tmp_path.iterdir())


def test_a_failed_save_leaves_the_old_file(
    fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """The file is replaced only by a model that proved itself."""
    pipeline, frame, target = fitted
    path = tmp_path / "m.bin"
    skdeploy.save(pipeline, frame, target, path)
    before = path.read_bytes()
    with pytest.raises(SaveError):
        skdeploy.save(pipeline, frame.drop(columns="age"), target, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_said_at_once(
    fitted: tuple[Pipeline, pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """Before any work, and as SaveError."""
    pipeline, frame, target = fitted
    with pytest.raises(SaveError, match="no folder"):
        skdeploy.save(pipeline, frame, target, tmp_path / "none" / "m.bin")


def test_integers_that_may_be_null_are_scored_together(tmp_path: Path) -> None:
    """Where doubles answer the same, a null in an integer column costs no call of its own."""
    frame = pd.DataFrame({f"n{i}": np.arange(60) % (i + 2) for i in range(6)})
    trees = HistGradientBoostingRegressor(max_iter=3).fit(frame, frame["n1"])
    passport = skdeploy.save(trees, frame, frame["n1"], tmp_path / "m.bin")
    assert {column.dtype for column in passport.schema.columns} == {"float64"}
    assert {column.type for column in passport.schema.columns} == {"int"}


@pytest.mark.parametrize("container", ["dicts", "array"])
def test_strictness_reaches_every_container(container: str, tmp_path: Path) -> None:
    """SKDEPLOY_STRICT_CATEGORIES refuses an unseen text wherever an encoder shows what it learned."""
    texts = ["ash", "elm"] * 20
    inputs: dict[str, tuple[Any, Any, str]] = {
        "dicts": (DictVectorizer(), [{"kind": text} for text in texts], "kind"),
        "array": (OneHotEncoder(handle_unknown="ignore"), np.array(texts, dtype=object)[:, None], "x0"),
    }
    encoder, X, name = inputs[container]
    pipeline = make_pipeline(encoder, LinearRegression()).fit(X, np.arange(40.0))
    skdeploy.save(pipeline, X, None, tmp_path / "m.bin")
    schema = skdeploy.load(tmp_path / "m.bin").schema
    assert not RecordReader(schema).read([{name: "fir"}]).bad
    assert RecordReader(schema, strict=True).read([{name: "fir"}]).bad


class Wavering(LinearRegression):  # type: ignore[misc]
    """Predicts something else each time."""

    def predict(self, X: Any) -> Any:
        return super().predict(X) + np.random.default_rng().normal(size=len(X))


def test_what_depends_on_chance_is_refused_with_that_reason(tmp_path: Path) -> None:
    """Saving it again would not help, and the message does not say so."""
    frame = pd.DataFrame({"a": np.arange(20.0)})
    pipeline = Wavering().fit(frame, frame["a"])
    with pytest.raises(SaveError, match=r"Golden record 0 predicts .* depend on chance") as caught:
        skdeploy.save(pipeline, frame, None, tmp_path / "m.bin", quiet=True)
    assert "Save the model again" not in str(caught.value)
