"""Files that are replaced whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skdeploy.writing import write


@pytest.mark.parametrize(("mode", "expected"), [(0o666, 0o644), (0o600, 0o600)])
def test_the_new_file_has_its_own_permissions(tmp_path: Path, mode: int, expected: int) -> None:
    """Those that were asked for, less the umask, whatever the old file's were."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    before = os.umask(0o022)
    try:
        write(path, b"new", mode)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == expected
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """And nothing beside it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match="directory"):
        write(folder, b"new")
    assert list(tmp_path.iterdir()) == [folder]
