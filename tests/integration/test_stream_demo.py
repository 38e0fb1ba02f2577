"""`make stream-demo`, run as a newcomer runs it, for a few seconds."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import brokers
from tests.live import ROOT, children


def demo(temporary: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "examples.stream_demo", *arguments],
        cwd=ROOT,
        # Variables of a consumer that the user has set are not the demo's.
        env={"PATH": "", "TMPDIR": str(temporary), "SKDEPLOY_GROUP": "another", "SKDEPLOY_ENGINE": "none"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def require_sums(output: str) -> int:
    """The events in; they are as many as predictions and dead letters."""
    found = re.search(r"([\d,]+) events in = ([\d,]+) predictions \+ ([\d,]+) dead letters", output)
    assert found, output
    sent, predicted, dead = (int(number.replace(",", "")) for number in found.groups())
    assert sent == predicted + dead
    assert "no id came twice" in output
    return sent


def test_the_demo_counts_every_event(tmp_path: Path) -> None:
    """Predictions arrive with a rate; the sums add up; it ends by itself and leaves nothing."""
    process = demo(tmp_path, "--seconds", "3", "--rate", "300", "--bad", "0.05")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, output + errors
    assert require_sums(output) == 900
    assert re.search(r"^ +\d+/s +\d+ predictions .* minutes in the air", output, re.MULTILINE)
    assert re.search(r"invalid-record \d+, malformed-body \d+", output)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_it_with_its_sums(tmp_path: Path) -> None:
    """What was sent until then is waited for and counted, and no process is left."""
    process = demo(tmp_path, "--seconds", "100", "--rate", "300")
    assert process.stdout
    for line in process.stdout:
        if "minutes in the air" in line:
            break
    started = children(process.pid)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, output + errors
    assert 0 < require_sums(output) < 30_000
    assert len(started) == 4
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


@pytest.mark.heavy
def test_the_demo_runs_on_apache_kafka(tmp_path: Path) -> None:
    """The same against a broker that is given."""
    with brokers.running(tmp_path / "kafka", apache=True) as broker:
        process = demo(tmp_path, "--seconds", "3", "--bootstrap", broker.bootstrap)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, output + errors
    assert require_sums(output) == 1500
