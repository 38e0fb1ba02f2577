"""An exported model at every door, where neither scikit-learn, pandas nor joblib can be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import skdeploy
from skdeploy.model.exporting import export
from skdeploy.scoring import Scorer
from tests.batch.jobs import Database, records, statuses
from tests.live import ROOT, served
from tests.stores import sha256

# Python runs a module of this name when it starts.
SITE = """
import sys

MISSING = "sklearn pandas scipy joblib cloudpickle skl2onnx onnx threadpoolctl".split()

class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in MISSING:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing)
"""
TREE = {"size": 10.5, "kind": "ash", "age": 3}
ALL = ("--interval", "daily", "--backfill", "2026-03-01", "2026-03-03")


@pytest.fixture
def file(regressor_file: Path, tmp_path: Path) -> Path:
    """The small regression model, exported."""
    content = regressor_file.read_bytes()
    path = tmp_path / "model.skdeploy"
    path.write_bytes(export(content, digest=sha256(content), where="tree.bin")[0])
    return path


@pytest.fixture
def site(tmp_path: Path) -> str:
    """A PYTHONPATH with which those libraries cannot be imported."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SITE)
    return f"{tmp_path / 'site'}{os.pathsep}{ROOT}"


def expected(file: Path) -> float:
    """What the model predicts for TREE."""
    model = skdeploy.load(file)
    cells = [[TREE[name]] for name in model.schema.names]
    table = skdeploy.schema.Table(cells, 1)
    prediction: float = Scorer(model).predict(table).values[0]
    return prediction


def run(site: str, *arguments: str) -> str:
    """The standard output of a process without those libraries."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": site},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_pickle_is_refused_there(regressor_file: Path, site: str) -> None:
    """The libraries are missing indeed, and the message says what to do."""
    done = subprocess.run(
        [sys.executable, "-c", f"import skdeploy; skdeploy.load({str(regressor_file)!r})"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": site},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "is a pickle" in done.stderr
    assert "skdeploy export" in done.stderr


def test_the_service_serves_it(file: Path, site: str, tmp_path: Path) -> None:
    """gunicorn with its workers answers, and names the pickle's digest."""
    with served(tmp_path, SKDEPLOY_MODEL_URI=str(file), PYTHONPATH=site, WEB_CONCURRENCY="1") as service:
        status, body = service.post(json.dumps(TREE).encode())
        about = json.loads(service.get("/")[1])
    assert status == 200
    assert json.loads(body)["prediction"] == pytest.approx(expected(file))
    assert about["model"]["sha256"] == skdeploy.load(file).digest
    assert about["model"]["file_sha256"] == sha256(file.read_bytes())


def test_a_batch_job_scores_with_it(file: Path, site: str, tmp_path: Path) -> None:
    """A table of a database is scored."""
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", file, settings={"PYTHONPATH": site})
    database.fill(records(30, days=1))
    done = database.score("--interval", "daily", "--at", "2026-03-01")
    assert done.code == 0, done.stderr
    assert done.summary["rows"] == {"read": 30, "predicted": 30, "rejected": 0}


@pytest.mark.parametrize("door", ["stream.kafka", "stream.kinesis", "stream.awslambda"])
def test_events_are_scored_with_it(door: str, file: Path, site: str) -> None:
    """What each consumer imports, and calls for its events."""
    code = (
        f"import json, sys, skdeploy, skdeploy.{door}\n"
        "from skdeploy.stream import Event, Position, process\n"
        f"done = process(skdeploy.load({str(file)!r}), [Event(sys.argv[1].encode(), Position('t', 0, 1))])\n"
        "print(json.loads(done.predictions[0].value)['prediction'])"
    )
    assert float(run(site, "-c", code, json.dumps(TREE))) == pytest.approx(expected(file))


def test_the_doctor_finds_it_well(file: Path, site: str) -> None:
    """`skdeploy doctor` proves it."""
    assert "golden records predict" in run(site, "-m", "skdeploy", "doctor", str(file))


def test_a_job_that_changes_to_the_export_goes_on_as_the_same_model(
    regressor_file: Path, file: Path, tmp_path: Path
) -> None:
    """With the export's own digest configured its results replace the pickle's; without, they are its own."""
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file)
    database.fill(records(90))
    assert database.score_here(*ALL).code == 0
    pickle, own = sha256(regressor_file.read_bytes()), sha256(file.read_bytes())
    database.model = file
    verified = database.score_here(*ALL, "--reprocess", "all", SKDEPLOY_MODEL_SHA256=own)
    assert statuses(verified) == ["completed"] * 3
    assert verified.summary["model"]["sha256"] == pickle
    assert database.ledger("model_sha256") == [(pickle,)] * 3
    claimed = database.score_here(*ALL, "--reprocess", "all")
    assert claimed.summary["model"]["sha256"] == own
    assert f"exported from {pickle}" in claimed.stderr
    assert sorted(database.ledger("model_sha256")) == sorted([(pickle,)] * 3 + [(own,)] * 3)
