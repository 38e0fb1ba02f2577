"""skdeploy.load(path).predict: in Python, what the pipeline predicts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import polars
import pytest
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.tree import DecisionTreeClassifier

import skdeploy
from skdeploy.errors import InvalidRecord
from tests.command import command
from tests.conftest import small_frame, small_pipeline
from tests.live import ROOT

FRAME = small_frame()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pipeline, Path]:
    """A pipeline on texts, numbers and nulls, and its file."""
    pipeline = small_pipeline(LinearRegression()).fit(FRAME, FRAME["age"] * 2.5)
    path = tmp_path_factory.mktemp("saved") / "model.bin"
    skdeploy.save(pipeline, FRAME, None, path, quiet=True)
    return pipeline, path


@pytest.mark.parametrize("engine", ["sklearn", "auto"])
def test_frames_and_dicts_are_predicted(saved: tuple[Pipeline, Path], engine: str) -> None:
    """A DataFrame, a list of dicts or one dict; an array comes back, as from the pipeline."""
    pipeline, path = saved
    model, expected = skdeploy.load(path, engine=engine), pipeline.predict(FRAME)
    records = FRAME.to_dict("records")
    for inputs in (FRAME, FRAME.set_index("age", drop=False)[::1], records, polars.DataFrame(records)):
        got = model.predict(inputs)
        assert isinstance(got, np.ndarray)
        assert got == pytest.approx(expected)
    assert model.predict(records[1]).shape == (1,)
    assert model.predict(records[1]) == pytest.approx(expected[1:2])


def test_several_labels_are_an_array(tmp_path: Path) -> None:
    """Of two dimensions, with the library's labels."""
    X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0]})
    tree = DecisionTreeClassifier().fit(X, [["x", "u"], ["x", "v"], ["y", "v"], ["y", "u"]])
    skdeploy.save(tree, X, None, tmp_path / "m.bin", quiet=True)
    assert skdeploy.load(tmp_path / "m.bin").predict(X).tolist() == tree.predict(X).tolist()


def test_bad_cells_are_shown(saved: tuple[Pipeline, Path]) -> None:
    """The exception names record and column, what was expected and what came."""
    record = FRAME.to_dict("records")[0]
    with pytest.raises(InvalidRecord, match="2 bad cells in 1 record") as caught:
        skdeploy.load(saved[1]).predict([record, record | {"age": 2.5, "kind": "fir"}])
    assert "record 1, column 'age': expected integer, got number 2.5" in caught.value.__notes__
    with pytest.raises(InvalidRecord):
        skdeploy.load(saved[1]).predict(FRAME.drop(columns="age"))


def test_an_exported_model_predicts_without_pandas(saved: tuple[Pipeline, Path], tmp_path: Path) -> None:
    """Dicts need neither pandas nor scikit-learn."""
    pipeline, path = saved
    command("export", str(path), str(tmp_path / "model.skdeploy"))
    record, exported = FRAME[1:2].to_dict("records")[0], str(tmp_path / "model.skdeploy")
    code = (
        "import sys; sys.modules['pandas'] = sys.modules['sklearn'] = None; import skdeploy; "
        f"print(skdeploy.load({exported!r}).predict({record!r})[0])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(done.stdout) == pytest.approx(pipeline.predict(FRAME[1:2])[0])


def test_dicts_may_lack_what_dicts_of_training_lacked(tmp_path: Path) -> None:
    """Keys that training data did not always have; over HTTP they are sent as null."""
    records = [{"city": "LA"} if i % 2 else {"city": "NY", "age": i} for i in range(60)]
    pipeline = make_pipeline(DictVectorizer(), Ridge()).fit(records, np.arange(60))
    saved = skdeploy.save(pipeline, records, None, tmp_path / "model.bin", quiet=True)
    assert "accepted, training lacked the key" in str(saved)
    predicted = skdeploy.load(tmp_path / "model.bin").predict(records)
    assert predicted == pytest.approx(pipeline.predict(records))


def test_what_is_no_records_is_said(saved: tuple[Pipeline, Path]) -> None:
    """An array, or one row of a frame, has lost the names of its columns."""
    model = skdeploy.load(saved[1])
    with pytest.raises(TypeError, match=r"not ndarray: the model has the columns .*X\.iloc\[\[0\]\]"):
        model.predict(np.zeros((3, 2)))
    assert len(model.predict([])) == 0
