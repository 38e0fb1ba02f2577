"""The zip for AWS Lambda, of the lock's own wheels, run as Lambda runs it."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import skdeploy
from benchmarks.cold_start import measure_zip
from skdeploy.model.exporting import export
from skdeploy.model.proof import golden_table
from skdeploy.packaging import MOST_BYTES, Target, build
from skdeploy.scoring import Scorer
from tests.stores import sha256

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]

CODE = """
import json, sys
sys.path.insert(0, "")
import skdeploy.source, skdeploy.stream
from skdeploy.stream import Event, Position
model = skdeploy.source.load("model.skdeploy")
bodies = json.load(sys.stdin)
events = [Event(body.encode(), Position("flights", 0, n)) for n, body in enumerate(bodies)]
done = skdeploy.stream.process(model, events)
missing = []
for name in ("sklearn", "pandas", "scipy", "joblib"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        missing.append(name)
try:
    skdeploy.source.load(sys.argv[1])
except skdeploy.errors.UnreadableModel as error:
    refusal = str(error)
json.dump([[json.loads(one.value) for one in done.predictions], missing, refusal], sys.stdout)
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zip of model.bin for this Python, unpacked in an empty folder."""
    folder = tmp_path_factory.mktemp("zip")
    content = (ROOT / "model.bin").read_bytes()
    model, _ = export(content, digest=sha256(content), where="model.bin")
    minor = ".".join(platform.python_version_tuple()[:2])
    sizes = build(model, folder / "lambda.zip", ROOT, Target(minor, (2, 34)))
    assert sizes.unpacked < MOST_BYTES
    with zipfile.ZipFile(folder / "lambda.zip") as archive:
        archive.extractall(folder / "task")
    return folder / "task"


def test_it_predicts_what_the_pipeline_does(unpacked: Path) -> None:
    """Without site-packages the events' predictions are the pipeline's; scikit-learn is not to be had."""
    model = skdeploy.load(ROOT / "model.bin", engine="sklearn")
    golden = model.passport.golden
    bodies = [
        json.dumps(dict(zip(model.schema.names, row, strict=True))) for row in zip(*golden.cells, strict=True)
    ]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", CODE, str(ROOT / "model.bin")],
        cwd=unpacked,
        input=json.dumps(bodies),
        capture_output=True,
        text=True,
        check=True,
    )
    predictions, missing, refusal = json.loads(done.stdout)
    expected = Scorer(model).predict(golden_table(model.passport)).values
    assert [one["prediction"] for one in predictions] == pytest.approx(expected, rel=1e-5)
    assert {one["model"]["sha256"] for one in predictions} == {model.digest}
    assert missing == ["sklearn", "pandas", "scipy", "joblib"]
    assert "is a pickle" in refusal


def test_a_cold_start_is_measured(unpacked: Path) -> None:
    """A fresh process imports, loads and predicts; its parts are less than the whole."""
    seconds = measure_zip(unpacked)
    assert 0 < seconds["import"] + seconds["load"] + seconds["predict"] < seconds["process"]
