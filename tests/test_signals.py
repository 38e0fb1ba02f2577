"""The commands are told to end while they start, twice, and as process 1 of a container."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.live import ROOT, children, wait_until

# Told to stop, it goes on.
STUBBORN = """
import logging, time
from skdeploy.signals import leave_when_told, told_to_stop
logging.basicConfig()
leave_when_told(5)
with told_to_stop(lambda: None):
    print("up", flush=True)
    time.sleep(60)
"""


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether the process has a handler of its own for the signal."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (number - 1) & 1)


def started(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("streaming.consume", 0),
        ("streaming.consume_kinesis", 0),
        ("streaming.replay", 0),
        ("batch.schedule", 0),
        ("batch.score", 143),
    ],
)
def test_who_has_not_begun_leaves_at_once(module: str, code: int, number: signal.Signals) -> None:
    """The handler is there before the long imports: process 1 of a container would not hear without it."""
    with started([sys.executable, "-m", module]) as process:
        # Python itself has one for SIGINT.
        wait_until(lambda: catches(process.pid, signal.SIGTERM), "it has a handler")
        process.send_signal(number)
        said, _ = process.communicate(timeout=20)
    # Whoever had begun would have found its settings missing.
    assert (process.returncode, said) == (code, "")


def test_a_second_signal_ends_at_once() -> None:
    """The first one leaves time to end, which a process may use wrongly."""
    with started([sys.executable, "-c", STUBBORN]) as process:
        told_twice(process, process.pid)
        assert process.wait(10) == -signal.SIGTERM


@pytest.mark.heavy
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes a process 1")
def test_a_second_signal_ends_process_1_at_once() -> None:
    """A container's process 1 has to do so itself."""
    command = ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", STUBBORN]
    with started(command) as process:
        wait_until(lambda: bool(children(process.pid)), "it is forked")
        told_twice(process, children(process.pid)[0])
        assert process.wait(10) == 128 + signal.SIGTERM


def told_twice(process: subprocess.Popen[str], pid: int) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    os.kill(pid, signal.SIGTERM)
    assert "Told to stop by SIGTERM" in process.stdout.readline()
    os.kill(pid, signal.SIGTERM)
