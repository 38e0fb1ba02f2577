"""Code of the user's own in a model's file: functions of the notebook by value, modules as source."""

from __future__ import annotations

import pickle
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import skdeploy
from skdeploy.errors import SaveError, UnreadableModel
from skdeploy.model import read_versions
from skdeploy.model.packed import trailer
from tests.live import ROOT
from tests.model.test_exported import Fuse

MINOR = ".".join(platform.python_version_tuple()[:2])
NOTEBOOK = """
import numpy as np, skdeploy
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

SHIFT = 3
def shifted(X): return X + SHIFT
class Doubled(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None): return self
    def transform(self, X): return X * 2

X = np.arange(20.0).reshape(10, 2)
steps = FunctionTransformer(shifted), FunctionTransformer(lambda X: X * 2), Doubled(), LinearRegression()
pipeline = make_pipeline(*steps).fit(X, X[:, 0])
skdeploy.save(pipeline, X, X[:, 0], 'm.bin')
"""
PROJECT = {
    "features.py": """
import helpers
from package.deep import tripled
def ratio(X): return tripled(helpers.halved(X))
""",
    "helpers.py": "import numpy as np\ndef halved(X): return np.asarray(X) / 2\n",
    "package/__init__.py": "FACTOR = 3\n",
    "package/deep.py": "from . import FACTOR\ndef tripled(X): return X * FACTOR\n",
    "train.py": """
import numpy as np, skdeploy
from features import ratio
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
import sys

X = np.arange(20.0).reshape(10, 2)
pipeline = make_pipeline(FunctionTransformer(ratio), LinearRegression()).fit(X, X[:, 0])
skdeploy.save(pipeline, X, X[:, 0], 'm.bin', code=sys.argv[1:])
""",
}
FILES = ["features.py", "helpers.py", "package"]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Python in the folder, which can import skdeploy."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of some modules, and the model that its training script saved."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package").mkdir()
    for name, text in PROJECT.items():
        (folder / name).write_text(text)
    done = run(folder, "train.py", *FILES)
    assert done.returncode == 0, done.stderr
    assert "In the file as source: features, helpers, package, package.deep" in done.stdout
    return folder


def test_functions_of_a_notebook_travel_by_value(tmp_path: Path) -> None:
    """Functions, lambdas and classes; another process loads them, and save says what that means."""
    (tmp_path / "train.py").write_text(NOTEBOOK)
    done = run(tmp_path, "train.py")
    assert done.returncode == 0, done.stderr
    assert "by value, with the variables that they use: shifted, <lambda>, Doubled. It" in done.stdout
    assert f"bytecode of Python {MINOR}" in done.stdout
    assert 'code=["that_module.py"]' in done.stdout
    assert read_versions((tmp_path / "m.bin").read_bytes(), "m.bin")["bytecode"] == MINOR
    model = skdeploy.load(tmp_path / "m.bin")
    assert model.predict({"x0": 7.0, "x1": 8.0}) == pytest.approx([7.0])
    assert model.notes == ()


def test_bytecode_of_another_python_is_refused_before_it_is_unpickled(tmp_path: Path) -> None:
    """It would fail at random; the message prefers source."""
    content = pickle.dumps(Fuse(tmp_path / "exploded")) + trailer({"python": "3.99.1", "bytecode": "3.99"})
    (tmp_path / "m.bin").write_bytes(content)
    with pytest.raises(
        UnreadableModel, match=rf"bytecode of Python 3\.99, and this is Python {MINOR}.*code=\["
    ):
        skdeploy.load(tmp_path / "m.bin")
    assert not (tmp_path / "exploded").exists()


def test_modules_travel_as_source(project: Path, tmp_path: Path) -> None:
    """They find each other in the file, whatever is called so elsewhere, and take nobody's place."""
    (tmp_path / "helpers.py").write_text("raise RuntimeError('another module')\n")
    code = (
        f"import sys, skdeploy; model = skdeploy.load({str(project / 'm.bin')!r})\n"
        "print(model.predict({'x0': 7.0, 'x1': 8.0})[0], *{'features', 'helpers', 'package'} & "
        "set(sys.modules))"
    )
    done = run(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(7.0)


def test_a_module_that_stays_behind_is_named(project: Path) -> None:
    """The service needs it too, and save says what would put it into the file."""
    before = (project / "m.bin").read_bytes()
    said = run(project, "train.py").stdout
    (project / "m.bin").write_bytes(before)
    assert f"needs the module features, or save puts it into the file: code=['{project}/features.py']" in said
    assert "module sklearn" not in said


def test_a_loaded_model_is_saved_again_with_its_modules(project: Path, tmp_path: Path) -> None:
    """The sources that it came with go into the new file."""
    code = (
        "import joblib, numpy as np, skdeploy; X = np.arange(20.0).reshape(10, 2)\n"
        f"skdeploy.save(joblib.load({str(project / 'm.bin')!r}), X, None, 'again.bin', quiet=True)"
    )
    done = run(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert skdeploy.load(tmp_path / "again.bin").predict({"x0": 7.0, "x1": 8.0}) == pytest.approx([7.0])


@pytest.mark.parametrize(
    ("named", "says"), [("train.py", "the script that runs"), ("no_such.py", "no file of Python source")]
)
def test_what_cannot_travel_is_refused(named: str, says: str, project: Path) -> None:
    """The script itself, which would train again wherever it is loaded, and what is not there."""
    before = (project / "m.bin").read_bytes()
    done = run(project, "train.py", named)
    assert done.returncode != 0
    assert f"code names {named}" in done.stderr
    assert says in done.stderr
    assert (project / "m.bin").read_bytes() == before


def test_mlflow_gets_no_model_that_would_lack_its_code(project: Path) -> None:
    """Its own pickle would name modules that only the file has."""
    with pytest.raises(SaveError, match="code of your own"):
        skdeploy.log_model(project / "m.bin")
