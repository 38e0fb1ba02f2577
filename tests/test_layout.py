"""What the layout promises, where import-linter does not look."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("numpy", "pandas", "sklearn", "scipy", "joblib", "flask", "gunicorn", "msgspec")
TOO_LARGE = ("pandas", "sklearn", "scipy", "joblib", "onnx", "skl2onnx", "pyarrow")


def imported(path: Path) -> set[str]:
    """The modules that a file imports, by their full names."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize(
    ("root", "allowed"),
    [
        ("predict.py", "skdeploy.web.wsgi"),
        (
            "train.py",
            "skdeploy(.passport|.errors)?|examples.flights(.baselines|.data|.plots|.pipeline|.tracking)?",
        ),
    ],
)
def test_composition_roots_import_what_they_wire(root: str, allowed: str) -> None:
    """import-linter cannot hold the root modules."""
    own = [name for name in imported(ROOT / root) if name.split(".")[0] in ("skdeploy", "examples", "tests")]
    strangers = [name for name in own if not re.fullmatch(rf"({allowed})(\.[A-Za-z_]+)?", name)]
    assert not strangers


def test_nothing_imports_a_composition_root() -> None:
    """Neither the package nor the example imports train, predict or the example's tests."""
    for folder in ("skdeploy", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not imported(path) & {"train", "predict", "tests"}, path


def test_importing_the_package_is_light() -> None:
    """`import skdeploy` imports nothing heavy; save and load come when they are used."""
    code = f"import sys, skdeploy; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_exported_model_needs_neither_pandas_nor_scikit_learn() -> None:
    """What scores events with an exported model imports nothing that is too large for Lambda's zip."""
    code = (
        "import sys, skdeploy.stream, skdeploy.source, skdeploy.config, skdeploy.model.exported\n"
        f"print([name for name in {TOO_LARGE} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_has_no_side_effect() -> None:
    """No module of the package starts a thread, opens a socket, or writes a file when imported.

    But for the service's configuration and application, which a server imports to run them.
    """
    code = """
import sys, threading, pkgutil, importlib, skdeploy, numpy, pandas, sklearn, flask
import gunicorn.workers.base, httptools, uvloop
events = []
sys.addaudithook(lambda event, args: events.append((event, args)))
for module in pkgutil.walk_packages(skdeploy.__path__, "skdeploy."):
    if module.name in ("skdeploy.gunicorn_conf", "skdeploy.server", "skdeploy.web.wsgi"):
        continue
    importlib.import_module(module.name)
opened = [args for event, args in events if event == "open" and "pycache" not in str(args[0])]
writes = [args for args in opened if args[1] not in (None, "r", "rb")]
assert not writes, writes
assert not [e for e, _ in events if e in ("socket.bind", "socket.connect", "subprocess.Popen")], events
assert threading.active_count() == 1
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_schema_needs_no_pandas() -> None:
    """Reading records works where neither pandas nor scikit-learn is installed."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['pandas', 'sklearn', 'numpy']))\n"
        "import skdeploy.schema"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_locks_name_no_package_index() -> None:
    """Where packages come from is the machine's business."""
    for folder in (ROOT, ROOT / "web-service-mlflow"):
        assert "://" not in (folder / "Pipfile.lock").read_text()
        assert "\n[[source]]" not in (folder / "Pipfile").read_text()


def test_the_extras_are_what_the_lock_serves_with() -> None:
    """`skdeploy[serve]` brings what the web service is locked with; `[slim]` has nothing for pickles."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = set(tomllib.loads((ROOT / "Pipfile").read_text())["packages"])

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[><\[]", requirement)[0] for requirement in requirements}

    base, extras = names(project["dependencies"]), project["optional-dependencies"]
    assert extras["serve"][0] == "skdeploy[slim]"
    assert base == {"msgspec", "numpy"}
    # click and numpy come with others; python-dateutil keeps the lock's categories together.
    locked = locked - {"python-dateutil"} | {"click", "numpy"}
    assert base | names(extras["slim"]) | names(extras["serve"][1:]) == locked
    assert not names(extras["slim"]) & {"scikit-learn", "pandas", "skl2onnx", "onnx", "joblib"}


def test_the_committed_model_is_small() -> None:
    """model.bin is at most 1 MB."""
    assert (ROOT / "model.bin").stat().st_size <= 1_000_000
