"""`make sbom` and `make audit`: all that is locked is listed; what is not known is not called safe."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
from typing import Any

import pytest

from tests.live import ROOT

_PATH = ROOT / "web-service" / "supply.py"
PYTHON = ROOT / ".venv-audit" / "bin" / "python"
LOCK = json.loads((ROOT / "Pipfile.lock").read_text())


@pytest.fixture(scope="module")
def supply() -> Any:
    spec = importlib.util.spec_from_file_location("supply", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_list_is_of_what_the_image_installs(supply: Any) -> None:
    """The lock's categories are those of the Dockerfile's first pipenv command."""
    (named,) = re.findall(r'--categories "([^"]+)" >', (ROOT / "Dockerfile").read_text())
    assert named.replace("packages", "default").split() == list(supply.CATEGORIES)


def test_holes_are_named(supply: Any) -> None:
    """A vulnerable package is an exit code of 1 and a line with the advisory."""
    found = [{"name": "flask", "version": "3.1.0", "vulns": [{"id": "PYSEC-1"}]}]
    code, text = supply.verdict(json.dumps({"dependencies": found}), "")
    assert code == supply.VULNERABLE
    assert "flask 3.1.0: PYSEC-1" in text


@pytest.mark.parametrize(
    "answer",
    [
        "",
        '{"dependencies": []}',
        '{"dependencies": [{"name": "flask", "skip_reason": "not found"}]}',
    ],
    ids=["no service", "nothing asked", "not looked up"],
)
def test_what_is_not_known_is_not_called_safe(supply: Any, answer: str) -> None:
    """Without an answer for every package the exit code is 2, and no text says that there are none."""
    code, text = supply.verdict(answer, "ConnectionError: no such host")
    assert code == supply.UNKNOWN
    assert "Nothing is known" in text
    assert "No known" not in text


def test_all_looked_up_and_nothing_found(supply: Any) -> None:
    """Only then the exit code is 0."""
    found = [{"name": "flask", "version": "3.1.0", "vulns": []}]
    assert supply.verdict(json.dumps({"dependencies": found}), "")[0] == 0


@pytest.mark.heavy
def test_the_sbom_lists_every_locked_package_and_is_the_same_again(supply: Any) -> None:
    """CycloneDX' own validator accepts it; each package has its version and its digests."""
    if not PYTHON.exists():
        pytest.skip("cyclonedx-bom is not installed: run make .venv-audit/done")
    made = []
    for _ in range(2):
        subprocess.run([PYTHON, _PATH, "sbom"], check=True, capture_output=True)
        made.append((ROOT / "dist" / "sbom.json").read_bytes())
    assert made[0] == made[1]
    listed = {
        one["name"]: ("==" + one["version"], {h["content"] for h in one["externalReferences"][0]["hashes"]})
        for one in json.loads(made[0])["components"]
    }
    locked = {name: package for category in supply.CATEGORIES for name, package in LOCK[category].items()}
    assert listed == {
        name: (package["version"], {digest.removeprefix("sha256:") for digest in package["hashes"]})
        for name, package in locked.items()
    }
