"""No door ignores SKDEPLOY_WATCH_SECONDS: it follows its source, or refuses the setting by its name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from skdeploy.batch import command as batch
from skdeploy.batch.spark import command as spark
from skdeploy.errors import SettingsError
from skdeploy.stream.awslambda import open_handler
from skdeploy.stream.kinesis import command as kinesis
from tests.live import ROOT

INPUT = {
    "SKDEPLOY_WATCH_SECONDS": "1",
    "SKDEPLOY_INPUT_URL": "sqlite:///none.db",
    "SKDEPLOY_KEY_COLUMNS": "id",
    "SKDEPLOY_TIME_COLUMN": "at",
}
STREAMS = {
    "SKDEPLOY_WATCH_SECONDS": "1",
    "SKDEPLOY_INPUT_STREAM": "in",
    "SKDEPLOY_OUTPUT_STREAM": "out",
    "SKDEPLOY_DEAD_LETTER_STREAM": "dead",
    "SKDEPLOY_CHECKPOINT_TABLE": "places",
}
INTERVAL = ["--interval", "daily", "--at", "2026-03-01"]


@pytest.mark.parametrize(
    "door",
    [
        lambda: batch.main(INTERVAL, INPUT),
        lambda: spark.main(INTERVAL, INPUT),
        lambda: kinesis.main([], STREAMS),
    ],
    ids=["batch", "spark", "kinesis"],
)
def test_a_door_that_keeps_its_model_refuses_it(
    door: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it loads the model, with the exit code of a wrong setting."""
    assert door() == 2
    assert "SKDEPLOY_WATCH_SECONDS is set, but" in capsys.readouterr().err


def test_a_lambda_function_refuses_it() -> None:
    """It cannot start."""
    with pytest.raises(SettingsError, match="SKDEPLOY_WATCH_SECONDS is set, but a Lambda function"):
        open_handler(STREAMS)


@pytest.mark.parametrize(
    ("variable", "value"), [("SKDEPLOY_WATCH_SECONDS", "1"), ("SKDEPLOY_ADMIN_TOKEN", "a token")]
)
def test_an_application_without_a_source_poller_refuses_it(variable: str, value: str, tmp_path: Path) -> None:
    """Plain gunicorn and Flask's own server start no process that polls."""
    environ = {**os.environ, variable: value, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", "import predict"]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{variable} is set, but nothing polls the source here" in done.stderr
    assert "skdeploy serve" in done.stderr
