"""Why a worker ended, as far as the main process can know."""

from __future__ import annotations

from pathlib import Path

import pytest

from skdeploy.web.deaths import Deaths, say_farewell


@pytest.mark.parametrize(("code", "reason"), [(0, None), (1, "exit")])
def test_a_worker_that_ends_by_itself_says_how(tmp_path: Path, code: int, reason: str | None) -> None:
    """With 0 it was told to; another code is a death."""
    deaths = Deaths(tmp_path)
    say_farewell(tmp_path, 7, code)
    assert deaths.reason(7, timed_out=False) == reason
    assert not [*tmp_path.iterdir()]


def test_a_worker_that_says_nothing_was_killed(tmp_path: Path) -> None:
    """By whom, the kernel's count of kills for want of memory and gunicorn's time-out tell."""
    counts = (tmp_path / "missing", tmp_path / "memory.events")
    counts[1].write_text("oom 0\noom_kill 1\n")
    deaths = Deaths(tmp_path, counts)
    assert deaths.reason(7, timed_out=False) == "killed"
    assert deaths.reason(7, timed_out=True) == "timeout"
    counts[1].write_text("oom 1\noom_kill 2\n")
    assert deaths.reason(7, timed_out=False) == "out_of_memory"
    assert deaths.reason(7, timed_out=False) == "killed"
