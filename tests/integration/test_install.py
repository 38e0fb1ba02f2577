"""The package installed into somebody's own environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.live import ROOT


def test_pip_install_gives_the_three_lines(tmp_path: Path) -> None:
    """`pip install .` makes save and load importable from anywhere, typed, with one command."""
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(ROOT)]
    subprocess.run(pip, check=True, cwd=tmp_path)
    installed = {path.name for path in target.iterdir()}
    assert installed == {"bin", "skdeploy", f"skdeploy-{_version(target)}.dist-info"}
    assert [path.name for path in (target / "bin").iterdir()] == ["skdeploy"]
    assert (target / "skdeploy" / "py.typed").exists()
    code = "import skdeploy; print(skdeploy.__file__, skdeploy.save.__name__, skdeploy.load.__name__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(target / "skdeploy" / "__init__.py"), "save", "load"]


def _version(target: Path) -> str:
    return next(target.glob("skdeploy-*.dist-info")).name.removeprefix("skdeploy-").removesuffix(".dist-info")
