"""A folder from which models are unpickled: what other users could have written is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from skdeploy.errors import SettingsError
from skdeploy.trusted_folder import TrustedFolder, Untrusted

STRANGER = 65534


@pytest.fixture
def folder(tmp_path: Path) -> TrustedFolder:
    """It holds the file `name`."""
    made = TrustedFolder(tmp_path / "folder", "SKDEPLOY_STATE_DIR")
    made.make()
    made.write("name", b"content")
    return made


def give_away(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    os.chown(path, STRANGER, STRANGER)


def require_refusal(folder: TrustedFolder, match: str) -> None:
    with pytest.raises(Untrusted, match=match):
        folder.read("name")
    with pytest.raises(
        SettingsError, match=rf"SKDEPLOY_STATE_DIR: .*{match}.*let this user alone.*SKDEPLOY_STATE_DIR=.*/own"
    ):
        folder.make()


def test_what_was_written_is_read(folder: TrustedFolder) -> None:
    """By this user alone."""
    assert folder.read("name") == b"content"
    assert folder.path.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_everybody_may_write_is_refused(folder: TrustedFolder) -> None:
    """At the start, and at each reading, for its mode may have changed meanwhile."""
    folder.path.chmod(0o777)
    require_refusal(folder, "may be written by every user")


def test_a_folder_of_another_user_is_refused(folder: TrustedFolder) -> None:
    """Its owner may let anybody write there."""
    give_away(folder.path)
    require_refusal(folder, f"belongs to user {STRANGER}")


def test_a_folder_of_a_group_is_warned_of(folder: TrustedFolder, caplog: pytest.LogCaptureFixture) -> None:
    """Kubernetes makes volumes writable by the pod's group."""
    folder.make()
    assert not caplog.text
    folder.path.chmod(0o2770)
    folder.make()
    assert "SKDEPLOY_STATE_DIR: the group of" in caplog.text
    assert folder.read("name") == b"content"


def test_a_file_that_others_could_have_written_is_refused(folder: TrustedFolder) -> None:
    """By its mode, or by its owner."""
    path = folder.path / "name"
    path.chmod(0o606)
    with pytest.raises(Untrusted, match="every user: remove it"):
        folder.read("name")
    path.chmod(0o600)
    give_away(path)
    with pytest.raises(Untrusted, match=f"belongs to user {STRANGER}.*: remove it"):
        folder.read("name")


def test_links_and_pipes_in_it_are_not_followed(folder: TrustedFolder, tmp_path: Path) -> None:
    """A link to a file of ours elsewhere; a pipe, which would keep the reader waiting."""
    (tmp_path / "elsewhere").write_bytes(b"other")
    (folder.path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        folder.read("link")
    os.mkfifo(folder.path / "pipe", 0o600)
    with pytest.raises(Untrusted, match="not a regular file"):
        folder.read("pipe")


def test_a_file_replaces_a_link(folder: TrustedFolder, tmp_path: Path) -> None:
    """What is written does not go where a planted link points."""
    (tmp_path / "elsewhere").write_bytes(b"other")
    (folder.path / "link").symlink_to(tmp_path / "elsewhere")
    folder.write("link", b"ours")
    assert folder.read("link") == b"ours"
    assert (tmp_path / "elsewhere").read_bytes() == b"other"
