"""Exported models: a graph and a passport in place of a pickle."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skdeploy
from skdeploy.errors import (
    DigestMismatch,
    ExportError,
    ModelUnavailable,
    ProofFailed,
    SourceError,
    UnreadableModel,
)
from skdeploy.model.exported import load_exported
from skdeploy.model.exporting import export
from skdeploy.schema import RecordReader
from skdeploy.scoring import Scorer
from tests import pipelines
from tests.command import command
from tests.conftest import small_frame, small_pipeline

ROOT = Path(__file__).parents[2]

EXPORTED = [
    pipelines.mixed_regression,
    pipelines.one_hot_refuses_with_string_labels,
    pipelines.one_hot_nan_is_a_category,
    pipelines.one_hot_none_is_a_category,
    pipelines.one_hot_of_integers_and_booleans,
    pipelines.ordinal_with_values_for_unknown_and_missing,
    pipelines.target_encoder,
    pipelines.booleans_with_boolean_labels,
    pipelines.nullable_integers,
    pipelines.categories_one_hot,
    pipelines.array_of_doubles,
    pipelines.float32_columns,
    pipelines.names_of_all_kinds,
    pipelines.clusters,
]


def exported(path: Path, folder: Path) -> Any:
    """The model of the file, exported and loaded from the folder."""
    content = path.read_bytes()
    export(content, folder, digest=hashlib.sha256(content).hexdigest(), where=str(path), version="0")
    return skdeploy.load(folder)


@pytest.mark.parametrize("make", EXPORTED, ids=lambda make: make.__name__)
def test_it_predicts_what_the_pipeline_does(make: Callable[[], pipelines.Fitted], tmp_path: Path) -> None:
    """Values, labels and probabilities of whole tables and of lone records are the compiled model's own."""
    pipeline, X, y = make()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    compiled = skdeploy.load(tmp_path / "model.bin", engine="onnx")
    got = exported(tmp_path / "model.bin", tmp_path / "out")
    proba = compiled.passport.output.probabilities
    golden = compiled.passport.golden
    records = [dict(zip(compiled.schema.names, row, strict=True)) for row in zip(*golden.cells, strict=True)]
    table = RecordReader(got.schema).read(records).table
    for some in (table, table.rows([0])):
        mine, its = (Scorer(model).predict(some, proba=proba) for model in (got, compiled))
        assert (mine.values, mine.probabilities) == (its.values, its.probabilities)
    assert (got.passport, got.digest) == (compiled.passport, compiled.digest)


@pytest.fixture
def folder(regressor_file: Path, tmp_path: Path) -> Path:
    """The small regression model, exported."""
    exported(regressor_file, tmp_path / "out")
    return tmp_path / "out"


def test_it_names_the_file_that_it_came_from(folder: Path, regressor_file: Path) -> None:
    """The digest is the model file's, so that predictions name one model wherever they were made."""
    digest = hashlib.sha256(regressor_file.read_bytes()).hexdigest()
    model = skdeploy.load(folder, sha256=digest)
    assert (model.digest, model.engine.name) == (digest, "onnx")
    assert model.origin is not None
    with pytest.raises(DigestMismatch, match="SKDEPLOY_MODEL_SHA256 says 0000"):
        skdeploy.load(folder, sha256="0" * 64)


def test_the_same_model_makes_the_same_bytes(regressor_file: Path, tmp_path: Path) -> None:
    """Two processes that hash texts differently write the same files, over others as well."""
    for seed, name in [("1", "one"), ("2", "two")]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "passport.json").write_text("old")
        subprocess.run(
            [sys.executable, "-m", "skdeploy", "export", str(regressor_file), str(tmp_path / name)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            check=True,
            capture_output=True,
        )
    for name in ("model.onnx", "passport.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["model.onnx", "passport.json"]


def test_another_graph_is_refused(folder: Path) -> None:
    """model.onnx is compared with passport.json before anything runs it."""
    graph = folder / "model.onnx"
    graph.write_bytes(graph.read_bytes() + b"\0")
    with pytest.raises(DigestMismatch, match=r"model\.onnx"):
        skdeploy.load(folder)


def test_another_prediction_is_refused(folder: Path) -> None:
    """Golden records that predict something else than the passport says are named."""
    document = json.loads((folder / "passport.json").read_bytes())
    document["passport"]["golden"]["predictions"][2] += 0.01
    (folder / "passport.json").write_text(json.dumps(document))
    with pytest.raises(ProofFailed, match=r"Golden record 2 predicts .* Export it again"):
        skdeploy.load(folder)


def test_a_prediction_within_the_tolerance_of_engines_is_taken(folder: Path) -> None:
    """The graph is compared as compiled engines are, whatever is installed beside it."""
    document = json.loads((folder / "passport.json").read_bytes())
    document["passport"]["golden"]["predictions"][2] *= 1 + 1e-7
    (folder / "passport.json").write_text(json.dumps(document))
    assert skdeploy.load(folder).engine.name == "onnx"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda plain: plain.update(format=2), "format 2"),
        (lambda plain: plain.pop("features"), "features"),
        (lambda plain: plain["features"].append({}), "kind"),
        (lambda plain: plain["features"].pop(), "cannot be run|do not predict"),
        (lambda plain: plain["passport"].update(format=9), "format 9"),
    ],
)
def test_a_damaged_document_is_refused(folder: Path, damage: Callable[[Any], None], said: str) -> None:
    """What is missing or of another format is said, with the remedy."""
    plain = json.loads((folder / "passport.json").read_bytes())
    damage(plain)
    (folder / "passport.json").write_text(json.dumps(plain))
    with pytest.raises(ModelUnavailable, match=said):
        skdeploy.load(folder)


def test_a_cut_document_and_a_missing_graph_are_refused(folder: Path) -> None:
    """Neither half a document nor a document alone is a model."""
    (folder / "model.onnx").unlink()
    with pytest.raises(UnreadableModel, match=r"model\.onnx cannot be read"):
        load_exported(folder)
    (folder / "model.onnx").write_bytes(b"")
    document = folder / "passport.json"
    document.write_bytes(document.read_bytes()[:99])
    with pytest.raises(UnreadableModel, match="damaged"):
        load_exported(folder)


def test_a_record_for_scikit_learn_alone_takes_nothing_from_its_neighbours(tmp_path: Path) -> None:
    """A number beyond a single's range, in a graph that has one, is unscorable; the others are scored."""
    frame = pd.DataFrame({"a": np.linspace(0.5, 90.5, 80).astype("float32").astype(float)})
    pipeline = make_pipeline(RandomForestRegressor(3, random_state=0)).fit(frame, frame["a"] * 2)
    skdeploy.save(pipeline, frame, frame["a"] * 2, tmp_path / "model.bin")
    model = exported(tmp_path / "model.bin", tmp_path / "out")
    table = RecordReader(model.schema).read([{"a": 1.0}, {"a": 1e300}, {"a": 2.0}]).table
    got = Scorer(model).predict(table)
    assert got.unscorable == {1: "only scikit-learn can score it, which an exported model does without"}
    assert got.values[1] is None
    assert [got.values[0], got.values[2]] == Scorer(model).predict(table.rows([0, 2])).values


def test_a_pipeline_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    """The reason is given, and the container as the remedy; nothing is written."""
    frame = small_frame()[["age"]]
    pipeline = make_pipeline(FunctionTransformer(np.sinc), LinearRegression()).fit(frame, frame["age"])
    skdeploy.save(pipeline, frame, frame["age"], tmp_path / "model.bin")
    with pytest.raises(ExportError, match=r"cannot be exported: .*cannot be compiled.*container"):
        exported(tmp_path / "model.bin", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_text_vectorizer_is_refused(tmp_path: Path) -> None:
    """Its analyzer is scikit-learn's code."""
    pipeline, X, y = pipelines.tfidf_on_a_column()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    with pytest.raises(ExportError, match=r"analyzer.*container"):
        exported(tmp_path / "model.bin", tmp_path / "out")


def test_a_model_without_passport_is_refused(tmp_path: Path) -> None:
    """Nothing would prove it where it is loaded."""
    frame = small_frame()
    joblib.dump(small_pipeline(LinearRegression()).fit(frame, frame["age"]), tmp_path / "model.bin")
    with pytest.raises(ExportError, match="no passport"):
        exported(tmp_path / "model.bin", tmp_path / "out")


def test_the_command_exports_and_says_what(regressor_file: Path, tmp_path: Path) -> None:
    """`export` writes the folder, which the doctor finds well; a model that is not there ends in 3."""
    assert "golden records predict" in command("export", str(regressor_file), str(tmp_path / "out")).stdout
    assert command("doctor", str(tmp_path / "out")).stdout.startswith("ok    model: Model(tree")
    missing = command("export", "none.bin", str(tmp_path / "no"))
    assert missing.exit_code == 3
    assert "There is no model" in missing.stderr


def test_scikit_learn_cannot_be_asked_for(folder: Path, tmp_path: Path) -> None:
    """SKDEPLOY_ENGINE=sklearn refuses an exported model; a folder that is none is called so."""
    with pytest.raises(ModelUnavailable, match="no scikit-learn"):
        skdeploy.load(folder, engine="sklearn")
    with pytest.raises(SourceError, match="is a folder"):
        skdeploy.load(tmp_path)
