"""`make mlflow-demo`, run as a newcomer runs it, and interrupted as one does."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.servers.process import ServerNotInstalled, program
from tests.live import ROOT, wait_until

pytestmark = pytest.mark.heavy


@contextlib.contextmanager
def demo(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The demo's process; all that it starts has `folder` in its command line or environment."""
    try:
        program("weed")
    except ServerNotInstalled as error:
        pytest.skip(str(error))
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "examples.mlflow_demo"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def processes_of(folder: Path) -> list[str]:
    """The command lines of the processes that name `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in (path / "environ").read_bytes() + (path / "cmdline").read_bytes():
                found.append((path / "cmdline").read_text())
    return found


def test_the_demo_shows_the_version_change(tmp_path: Path) -> None:
    """Within minutes, two predictions of two versions; nothing is left behind."""
    with demo(tmp_path) as process:
        code = process.wait(480)
    output = (tmp_path / "output").read_text()
    assert code == 0, output
    answers = re.findall(
        r'{"prediction": [\d.]+, "model": {"name": "flight-air-time", "version": "(\w+)"}}', output
    )
    assert len(set(answers)) == 2, output
    assert f"from the version {answers[0]} to {answers[1]}" in output
    assert processes_of(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["output"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, or SIGTERM, while it trains: both servers and the training end with it."""
    with demo(tmp_path) as process:
        wait_until(lambda: any("train.py" in each for each in processes_of(tmp_path)), "it trains", 180)
        assert len(processes_of(tmp_path)) >= 4
        process.send_signal(number)
        assert process.wait(60) != 0
    assert processes_of(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["output"]
