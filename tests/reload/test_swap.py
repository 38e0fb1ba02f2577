"""What a worker takes over of what was published, and what it tells of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import skdeploy
from skdeploy.errors import SettingsError
from skdeploy.model import Model
from skdeploy.reload import ModelSwap, SourcePoller
from skdeploy.source import Source
from tests.following import publish, saved, state_in
from tests.stores import sha256


def test_it_tells_of_each_other_model_whether_it_was_taken(regressor_file: Path, tmp_path: Path) -> None:
    """Nothing of the model that is served anyway, then a refusal, then a success, once each."""
    path = Path(shutil.copy(regressor_file, tmp_path / "served.bin"))
    source, serves = Source(uri=str(path)), skdeploy.load(path)
    state = state_in(tmp_path / "state")
    poller = SourcePoller(source, state, engine="sklearn", interval=1, served=(serves.digest, None))
    told: list[bool] = []
    taken: list[Model] = []

    def apply(model: Model) -> None:
        if not told:
            raise SettingsError("SKDEPLOY_ID_FIELD is a column of the model.")
        taken.append(model)

    model_swap = ModelSwap(source, state, model=serves, apply=apply, on_swap=told.append)
    model_swap.catch_up()
    assert told == []
    passport = saved(path, 2.0)
    poller.poll()
    for _ in range(3):
        model_swap.catch_up()
    assert told == [False, True]
    assert [model.passport.version for model in taken] == [passport.version]


@pytest.fixture
def kept(regressor_file: Path, tmp_path: Path) -> Kept:
    return Kept(regressor_file, tmp_path)


class Kept:
    """A swap for a file, in whose folder any model can be published under any record."""

    def __init__(self, regressor_file: Path, tmp_path: Path) -> None:
        self.path = Path(shutil.copy(regressor_file, tmp_path / "served.bin"))
        self.other = tmp_path / "other.bin"
        self.version = saved(self.other, 3.0).version
        self.state = state_in(tmp_path / "state")
        self.taken: list[str] = []

    def publish(self, **fields: Any) -> None:
        """Publish the other model, as if it came from the file; `fields` of the record differ."""
        publish(self.state, Source(uri=str(self.path)), self.other, **fields)

    def catch_up(self, sha256: str | None = None) -> list[str]:
        """The versions that a new worker takes over."""
        swap = ModelSwap(
            Source(uri=str(self.path), sha256=sha256),
            self.state,
            model=skdeploy.load(self.path),
            apply=lambda model: self.taken.append(model.passport.version),
        )
        swap.catch_up()
        return self.taken


def test_a_model_of_the_configured_digest_is_taken(kept: Kept) -> None:
    """And of any digest where none is configured."""
    kept.publish()
    assert kept.catch_up(sha256(kept.other.read_bytes())) == [kept.version]
    assert kept.catch_up() == [kept.version] * 2


def test_a_model_of_another_digest_is_ignored(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """SKDEPLOY_MODEL_SHA256 has the last word over what a folder holds, and the log says so."""
    kept.publish()
    assert kept.catch_up(sha256(kept.path.read_bytes())) == []
    assert "is ignored: it has the SHA-256" in caplog.text


def test_a_record_that_lies_about_the_digest_does_not_help(kept: Kept) -> None:
    """The bytes that would be unpickled have the digest that was configured, or are refused."""
    configured = "f" * 64
    kept.publish(digest=configured)
    assert kept.catch_up(configured) == []
    (worker,) = kept.state.workers()
    assert worker.failure is not None
    assert "DigestMismatch" in worker.failure


def test_a_model_of_another_source_is_ignored(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """Of another URI, or of the same name at another server."""
    kept.publish(address="file:///elsewhere.bin")
    assert kept.catch_up() == []
    assert "it came from file:///elsewhere.bin" in caplog.text


def test_an_unverified_model_is_ignored(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """What a run with SKDEPLOY_ALLOW_UNVERIFIED=1 left is not for one without it."""
    kept.publish(verified=False)
    assert kept.catch_up() == []
    assert "unverified" in caplog.text


def test_a_model_whose_bytes_were_changed_is_refused(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """They are compared with the digest that was published."""
    kept.publish()
    for file in kept.state.folder.glob("*.model"):
        file.write_bytes(kept.path.read_bytes())
    assert kept.catch_up() == []
    assert "DigestMismatch" in caplog.text


def test_a_run_begins_without_what_another_left(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    """It serves what its source names now, and the log says that something was there."""
    kept.publish()
    kept.state.begin()
    assert kept.catch_up() == []
    assert "the model of an earlier run" in caplog.text
