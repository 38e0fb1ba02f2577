"""What a model was made with, so that a difference can be named when a proof fails."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from skdeploy.version import __version__

_PACKAGES = ("scikit-learn", "numpy", "scipy", "pandas", "joblib")


def installed() -> dict[str, str]:
    """Versions of python and the packages that predictions depend on, and the processor."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"processor": _processor()}


def versions() -> dict[str, str]:
    """The same and skdeploy's own, for a model's file."""
    return {"skdeploy": __version__, **installed()}


def differences(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """`["scikit-learn 1.8.0 there, 1.9.1 here", ...]`, for what the passport names."""
    return [
        f"{name} {value} there, {here.get(name, 'none')} here"
        for name, value in recorded.items()
        if here.get(name) != value
    ]


def ways_out(recorded: Mapping[str, str], here: Mapping[str, str]) -> str:
    """What was made with other versions, and what to do: sentences; "" if nothing was."""
    other = {name: version for name, version in recorded.items() if here.get(name) != version}
    if not other:
        return ""
    pins = " ".join(f"'{name}=={other[name]}'" for name in _PACKAGES if name in other)
    wanted = [f"Python {other['python']}"] if "python" in other else []
    wanted += [f"pip install {pins}"] if pins else []
    what = f"It was made with other versions: {', '.join(differences(other, here))}."
    if not wanted:
        return f"{what} Train it again here."
    there = f"an environment with {' and '.join(wanted)}"
    return f"{what} Either serve it with its own, in {there}, or train it again with those that are here."


def _processor() -> str:
    """The processor's model: vector units of different width round differently."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
