"""Folders for temporary files: removed by who made them, or after their death by who comes next."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from skdeploy.batch.files.scratch import scratch_folder

DIE = """
import os, sys
from pathlib import Path
from skdeploy.batch.files.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "large").write_text("x")
    os.kill(os.getpid(), 9)
"""


def test_a_folder_goes_when_it_is_done_with(tmp_path: Path) -> None:
    """With all that is in it, after an error too; and its parent, if nothing else is there."""

    def fail() -> None:
        with scratch_folder(tmp_path / "parent") as folder:
            (folder / "file").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_folders_of_the_dead_are_removed_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    """A process that is killed leaves its folder to the next one."""
    (tmp_path / "skdeploy-batch-file").write_text("no folder")
    with scratch_folder(tmp_path) as living:
        subprocess.run([sys.executable, "-c", DIE, str(tmp_path)], check=False)
        (dead,) = set(tmp_path.glob("*/large"))
        with scratch_folder(tmp_path) as other:
            assert living.is_dir()
            assert other.is_dir()
            assert not dead.exists()
            assert not dead.parent.exists()
