"""From the setting AUDIT to a model that is not unpickled, through every door."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import joblib
import pytest

from skdeploy.errors import UnreadableModel
from skdeploy.settings import Settings
from skdeploy.source.load import load_from_settings
from tests.live import GUNICORN, ROOT, free_port

DOORS = {
    "web": GUNICORN,
    "batch": ("-m", "batch.score", "--interval", "daily", "--at", "2026-03-01"),
    "kafka": ("-m", "streaming.consume", "--topics", "a", "--output", "b", "--group", "g"),
    "kinesis": ("-m", "streaming.consume_kinesis", "--stream", "a", "--output", "b", "--table", "places"),
    "lambda": ("-c", "import streaming.lambda_function"),
}


class _Writes:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "x")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A file that leaves `ran` beside it when it is unpickled."""
    path = tmp_path / "model.bin"
    joblib.dump(_Writes(tmp_path / "ran"), path)
    return path


def test_what_fails_the_audit_is_not_unpickled(model: Path) -> None:
    """With AUDIT=1 the file's code does not run, and the error names what it would import."""
    settings = Settings.from_env({"MODEL_URI": str(model), "AUDIT": "1"})
    with pytest.raises(UnreadableModel, match=r"io\.open"):
        load_from_settings(settings)
    assert not model.with_name("ran").exists()


@pytest.mark.parametrize("audit", ["1", "0"])
@pytest.mark.parametrize("door", DOORS)
def test_no_door_starts_with_it(model: Path, door: str, audit: str) -> None:
    """Its command ends and says why. Without the setting the code runs, so the test can fail."""
    settings = {
        "MODEL_URI": str(model),
        "AUDIT": audit,
        "PORT": str(free_port()),
        "METRICS_PORT": "0",
        "INPUT_URL": f"sqlite:///{model.with_name('trees.db')}",
        "INPUT_TABLE": "trees",
        "OUTPUT_TABLE": "predictions",
        "KEY_COLUMNS": "id",
        "TIME_COLUMN": "at",
        "OUTPUT_STREAM": "b",
        "DEAD_LETTER_STREAM": "c",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    ended = subprocess.run(
        [sys.executable, *DOORS[door]],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode != 0
    assert ("it would import io.open" in ended.stdout + ended.stderr) == (audit == "1")
    assert model.with_name("ran").exists() == (audit == "0")
