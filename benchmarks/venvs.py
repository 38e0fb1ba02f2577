"""An environment per server in .venvs/, made anew when what is to be in it changes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import BenchmarkError
from benchmarks.servers import PEERS, ROOT

_FOLDER = Path(__file__).parent / ".venvs"


def python(name: str) -> Path:
    """The environment's interpreter."""
    return _FOLDER / name / "bin" / "python"


def install(name: str) -> None:
    """Make the environment `name` unless it is there. BenchmarkError if pip fails."""
    folder, wanted = _FOLDER / name, requirements(name)
    stamp = folder / "requirements.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    listed = folder / "wanted.txt"
    listed.write_text(wanted)
    pip = [str(python(name)), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    # The lock is complete; a resolver that had its own mind would not install the lock.
    options = ["--no-deps"] if _locked(name) else []
    done = subprocess.run([*pip, *options, "--only-binary=:all:", "-r", listed], check=False)
    if done.returncode:
        raise BenchmarkError(f"the environment of {name} could not be installed: see pip's words above")
    listed.rename(stamp)


def requirements(name: str) -> str:
    """What is in the environment `name`, in pip's format."""
    return _lock() + _own(name) if _locked(name) else _own(name)


def _own(name: str) -> str:
    listed = PEERS / name / "requirements.txt"
    return listed.read_text() if listed.exists() else ""


def _locked(name: str) -> bool:
    return name in ("skdeploy", "granian")


def _lock() -> str:
    packages = json.loads((ROOT / "Pipfile.lock").read_text())["default"]
    lines = []
    for package, pinned in packages.items():
        marker = f" ; {pinned['markers']}" if "markers" in pinned else ""
        lines.append(f"{package}{pinned['version']}{marker}\n")
    return "".join(lines)


def megabytes(name: str) -> float:
    """What the environment occupies on the disk, in MB (10**6 bytes), pip and bytecode included."""
    files = (path for path in (_FOLDER / name).rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_blocks * 512 for path in files) / 1e6


def versions(name: str) -> dict[str, str]:
    """The versions of what the environment's own requirements name; the lock's are in the lock."""
    words = [line.split("==")[0] for line in _own(name).splitlines() if "==" in line]
    code = (
        "import importlib.metadata as m, json, sys;"
        "print(json.dumps({name: m.version(name) for name in sys.argv[1:]}))"
    )
    done = subprocess.run([python(name), "-c", code, *words], capture_output=True, text=True, check=True)
    found: dict[str, str] = json.loads(done.stdout)
    return found
