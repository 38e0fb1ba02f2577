"""The source poller's polls, one by one, at a file of this machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import skdeploy
from skdeploy.reload import PublishedState, SourcePoller
from skdeploy.source import Fetched, Source, Target, fetch
from skdeploy.writing import write
from tests.following import state_in


@pytest.fixture
def model_file(regressor_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(regressor_file, tmp_path / "served.bin"))


def poller_of(path: Path, folder: Path, sha256: str | None = None) -> tuple[SourcePoller, PublishedState]:
    source = Source(uri=str(path), sha256=sha256)
    state = state_in(folder / "state")
    served = (skdeploy.load(path).digest, None)
    return SourcePoller(source, state, engine="sklearn", interval=1, served=served), state


def failure(state: PublishedState) -> str | None:
    poll = state.last_poll()
    assert poll is not None
    return poll.failure


def test_a_refusal_is_said_once_and_in_the_same_words(
    model_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Polls that see the refused file again neither load it nor log it; GET / keeps the reason."""
    poller, state = poller_of(model_file, tmp_path)
    good = model_file.read_bytes()
    write(model_file, good[: len(good) // 2])
    reasons = []
    for _ in range(4):
        assert not poller.poll()
        reasons.append(failure(state))
    assert reasons[0] is not None
    assert "cannot be unpickled" in reasons[0]
    assert reasons == reasons[:1] * 4
    assert caplog.text.count("The model stays as it is: ") == 1
    write(model_file, good)
    assert not poller.poll()
    assert failure(state) is None


def test_a_file_with_another_digest_is_fetched_once(
    model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays another file until it changes: a large one is not downloaded at every poll."""
    fetched = []

    def counting(source: Source, target: Target) -> Fetched:
        fetched.append(target.token)
        return fetch(source, target)

    monkeypatch.setattr("skdeploy.reload.poller.fetch", counting)
    digest = skdeploy.load(model_file).digest
    poller, state = poller_of(model_file, tmp_path, sha256=digest)
    write(model_file, b"another file")
    for _ in range(3):
        assert not poller.poll()
        assert "has the SHA-256" in str(failure(state))
    assert len(fetched) == 1


def test_a_folder_that_cannot_be_written_does_not_end_the_poller(
    model_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a full disk: the log says so, and the next poll notes how it went."""
    poller, state = poller_of(model_file, tmp_path)
    (tmp_path / "state" / "poll.json").mkdir()
    assert not poller.poll()
    assert "SKDEPLOY_STATE_DIR cannot be written: " in caplog.text
    (tmp_path / "state" / "poll.json").rmdir()
    poller.poll()
    assert state.last_poll() is not None
