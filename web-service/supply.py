"""What is in the image, as CycloneDX, and its known holes: `make sbom`, `make audit`.

Runs in .venv-audit, beside cyclonedx-py and pip-audit; needs nothing else but Pipfile.lock.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# Pipfile.lock's names of `packages` and `mlflow`, which the Dockerfile installs.
CATEGORIES = ("default", "mlflow")
VULNERABLE, UNKNOWN = 1, 2


def requirements(lock: dict[str, Any]) -> str:
    """A line per locked package of the image: name, version, marker, SHA-256 digests; sorted by name."""
    packages = {name: package for category in CATEGORIES for name, package in lock[category].items()}
    return "".join(_line(name, packages[name]) for name in sorted(packages))


def _line(name: str, package: dict[str, Any]) -> str:
    marker = f" ; {package['markers']}" if "markers" in package else ""
    hashes = "".join(f" --hash={digest}" for digest in sorted(package["hashes"]))
    return f"{name}{package['version']}{marker}{hashes}\n"


def verdict(answer: str, error: str) -> tuple[int, str]:
    """Exit code and text for what pip-audit said.

    answer   its standard output: JSON, or nothing if it failed
    error    its standard error

    A package that was not looked up counts as unknown: pip-audit itself would end with 0.
    """
    try:
        found = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        reason = (error.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return UNKNOWN, f"Nothing is known: no service of advisories could be asked.\n{reason}"
    holes = [
        f"{one['name']} {one['version']}: {hole['id']}" for one in found for hole in one.get("vulns", [])
    ]
    missing = [f"{one['name']}: {one['skip_reason']}" for one in found if "skip_reason" in one]
    if holes:
        return VULNERABLE, "\n".join(["Known vulnerabilities:", *holes, f"Not looked up: {len(missing)}."])
    if missing or not found:
        return UNKNOWN, "\n".join([f"Nothing is known of {len(missing)} packages:", *missing])
    return 0, f"No known vulnerabilities in {len(found)} packages."


def _program(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / name
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603


def _sbom(listed: str) -> int:
    target = ROOT / "dist" / "sbom.json"
    target.parent.mkdir(exist_ok=True)
    project = str(ROOT / "pyproject.toml")
    options = ("--pyproject", project, "--output-reproducible", "--validate", "-o", str(target))
    done = _program("cyclonedx-py", "requirements", *options, listed)
    print(done.stderr.strip() if done.returncode else target)
    return done.returncode


def _audit(listed: str, arguments: Sequence[str]) -> int:
    options = ("--disable-pip", "--require-hashes", "--progress-spinner", "off", "-f", "json", "-r", listed)
    done = _program("pip-audit", *options, *arguments)
    code, text = verdict(done.stdout, done.stderr)
    print(text)
    return code


def main(arguments: Sequence[str]) -> int:
    """`sbom`, or `audit` with pip-audit's own options behind it; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text(requirements(json.loads((ROOT / "Pipfile.lock").read_text())))
        return _sbom(str(listed)) if arguments[0] == "sbom" else _audit(str(listed), arguments[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
