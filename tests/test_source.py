from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import joblib
import pytest

import skdeploy
from skdeploy.errors import DigestMismatch, ModelUnavailable, SettingsError, UnreadableModel


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_wrong_digest_is_refused_before_unpickling(tmp_path: Path) -> None:
    """Nothing of the file runs if its SHA-256 is another; with the right one it does."""
    fuse = tmp_path / "exploded"
    path = tmp_path / "model.bin"
    path.write_bytes(pickle.dumps(Bomb(fuse)))
    with pytest.raises(DigestMismatch, match="0" * 64):
        skdeploy.load(path, "0" * 64)
    assert not fuse.exists()
    with pytest.raises(UnreadableModel):
        skdeploy.load(path, hashlib.sha256(path.read_bytes()).hexdigest().upper())
    assert fuse.exists()


def test_the_right_digest_is_told(regressor_file: Path) -> None:
    """The model knows the digest of the file that it came from."""
    digest = hashlib.sha256(regressor_file.read_bytes()).hexdigest()
    assert skdeploy.load(regressor_file, digest).digest == digest


def test_a_file_uri_is_a_path(regressor_file: Path) -> None:
    """file:// works; other schemes are named as a wrong setting."""
    assert skdeploy.load(regressor_file.as_uri()).passport.name == "tree"
    with pytest.raises(SettingsError, match="gopher"):
        skdeploy.load("gopher://models/1")


def test_a_missing_or_unreadable_file_is_said_to_be(tmp_path: Path) -> None:
    """The message names the path and what to do."""
    with pytest.raises(ModelUnavailable, match=r"no model at .*none\.bin"):
        skdeploy.load(tmp_path / "none.bin")
    with pytest.raises(ModelUnavailable, match="directory"):
        skdeploy.load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x05."])
def test_what_is_no_pickle_is_said_to_be(content: bytes, tmp_path: Path) -> None:
    """Damaged files do not end in a traceback of pickle's."""
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(UnreadableModel, match="cannot be unpickled"):
        skdeploy.load(tmp_path / "model.bin")


def test_a_pickle_of_something_else_is_refused(tmp_path: Path) -> None:
    """A dict is no pipeline."""
    joblib.dump({"a": 1}, tmp_path / "model.bin")
    with pytest.raises(UnreadableModel, match="holds a dict"):
        skdeploy.load(tmp_path / "model.bin")


def test_a_missing_module_is_named(tmp_path: Path) -> None:
    """The user's own package must be there; the message says which."""
    (tmp_path / "model.bin").write_bytes(b"cmy_transformers.deep\nScaler\n.")
    with pytest.raises(UnreadableModel, match="needs the module 'my_transformers'"):
        skdeploy.load(tmp_path / "model.bin")


def test_a_class_of_the_training_script_is_explained(tmp_path: Path) -> None:
    """What was defined in __main__ of another process cannot be had here."""
    (tmp_path / "model.bin").write_bytes(b"c__main__\nMyScaler\n.")
    with pytest.raises(UnreadableModel, match="move it to a module"):
        skdeploy.load(tmp_path / "model.bin")
