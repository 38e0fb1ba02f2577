"""The documents' commands and answers, run."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import joblib
import pytest

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.web import create_app

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(language: str, text: str = README) -> list[str]:
    """The fenced code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def curls(text: str) -> list[tuple[str, str, str]]:
    """(path and query, body, answer) of each console block's curl commands."""
    found = []
    for block in blocks("console", text):
        for command in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            match = re.search(
                r"curl .*?localhost:9696(\S*?)'?\s.*?-d '(.*?)'\n(.*)", command.replace("\\\n", ""), re.DOTALL
            )
            if match:
                found.append((match[1], match[2], match[3].strip()))
    return found


def close(answer: Any, documented: Any) -> bool:
    """Equal, numbers to one part in a hundred thousand."""
    if isinstance(documented, float):
        return bool(answer == pytest.approx(documented, rel=1e-5))
    if isinstance(documented, dict):
        return set(answer) == set(documented) and all(close(answer[k], documented[k]) for k in documented)
    if isinstance(documented, list):
        return len(answer) == len(documented) and all(map(close, answer, documented))
    return bool(answer == documented)


@pytest.mark.parametrize("document", ["README.md", "web-service/README.md"])
def test_every_documented_answer_is_the_real_one(document: str) -> None:
    """Each curl command of the document, posted to the committed model, gives what it shows."""
    client = create_app(skdeploy.load(ROOT / "model.bin"), WebSettings.from_env({})).test_client()
    found = curls((ROOT / document).read_text())
    assert found
    for path, body, documented in found:
        answer = client.post(path, data=body, content_type="application/json")
        assert close(answer.json, json.loads(documented)), answer.text


def test_the_three_lines_save_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's Python blocks run, in order, and leave a model that loads."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), namespace)
    assert skdeploy.load(tmp_path / "other.bin").passport.name == "iris"


def test_the_readme_states_the_committed_models_scores() -> None:
    """MAE and R2 of the model and its baselines are those in the passport."""
    metrics = joblib.load(ROOT / "model.bin").passport_["metrics"]
    for name in ("", "route_mean_", "distance_only_"):
        scores = f"| {metrics[f'{name}test_mae_minutes']:.2f} | {metrics[f'{name}test_r2']:.4f} |"
        assert scores in README
    for name, words in (("route_mean", "the mean by route"), ("distance_only", "the line")):
        below = 100 * (1 - metrics["test_mae_minutes"] / metrics[f"{name}_test_mae_minutes"])
        assert f"{below:.0f} % below {words}" in README


@pytest.mark.parametrize(
    "document", [*ROOT.glob("*.md"), *ROOT.glob("*/README.md"), *ROOT.glob("docs/*.md")], ids=str
)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link and picture of the documents exists."""
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text()):
        if "://" not in target:
            assert (document.parent / target).exists(), f"{document}: {target}"


def test_every_verb_is_helped() -> None:
    """`make help` lists what the README tells to run."""
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for verb in set(re.findall(r"`make ([a-z-]+)", README)):
        assert f"make {verb}" in listed
