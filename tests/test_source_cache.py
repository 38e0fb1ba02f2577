from __future__ import annotations

import os
from pathlib import Path

import pytest

from skdeploy.source.cache import KEPT, Cache, Record
from tests.stores import sha256


def record(content: bytes, address: str = "s3://b/k at https://s3") -> Record:
    return Record(
        address=address,
        digest=sha256(content),
        where="s3://b/k",
        name="k",
        version="3",
        fetched="2026-01-01T00:00:00+00:00",
        verified=True,
    )


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    """The record by its address and the file by its digest; nothing by others."""
    cache = Cache(tmp_path)
    cache.put(record(b"model"), b"model")
    assert cache.record("s3://b/k at https://s3") == record(b"model")
    assert cache.content(sha256(b"model")) == b"model"
    assert cache.record("s3://b/k at https://other") is None
    assert cache.content(sha256(b"other")) is None


def test_only_its_owner_can_write_there(tmp_path: Path) -> None:
    """Pickles are loaded from the folder: nobody else may enter it, or change a file."""
    cache = Cache(tmp_path / "new")
    cache.make()
    cache.put(record(b"model"), b"model")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "new").iterdir())


def test_a_record_of_another_address_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One that was put in the place of another is ignored, and the log says so."""
    cache = Cache(tmp_path)
    cache.put(record(b"model"), b"model")
    (mine,) = tmp_path.glob("*.json")
    cache.put(record(b"other", "s3://b/k at https://other"), b"other")
    (other,) = {*tmp_path.glob("*.json")} - {mine}
    other.replace(mine)
    assert cache.record("s3://b/k at https://s3") is None
    assert "is of s3://b/k at https://other" in caplog.text


@pytest.mark.parametrize("damage", [b"", b"mode", b"modem", b"model and more"])
def test_a_damaged_file_is_never_given(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that was cut or changed counts as not there, is said to be damaged, and can be replaced."""
    cache = Cache(tmp_path)
    cache.put(record(b"model"), b"model")
    (tmp_path / f"{sha256(b'model')}.model").write_bytes(damage)
    assert cache.content(sha256(b"model")) is None
    assert "damaged" in caplog.text
    cache.put(record(b"model"), b"model")
    assert cache.content(sha256(b"model")) == b"model"


@pytest.mark.parametrize("damage", [b"", b"{}", b"[1]", b'{"address": 1}', b"\xff"])
def test_a_damaged_record_counts_as_none(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be read is said, and not used."""
    cache = Cache(tmp_path)
    cache.put(record(b"model"), b"model")
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(damage)
    assert cache.record("s3://b/k at https://s3") is None
    assert "cannot be read" in caplog.text


def test_a_digest_that_is_a_path_leads_nowhere(tmp_path: Path) -> None:
    """A record that was tampered with cannot point out of the cache."""
    (tmp_path / "secret").write_bytes(b"x")
    (tmp_path / "cache").mkdir()
    assert Cache(tmp_path / "cache").content("../../secret") is None


def test_the_longest_unused_models_are_removed(tmp_path: Path) -> None:
    """The cache is bounded; a model that came again is not the oldest any more."""
    cache = Cache(tmp_path)
    contents = [f"model {number}".encode() for number in range(KEPT + 1)]
    for age, content in enumerate(contents[:KEPT]):
        cache.put(record(content), content)
        os.utime(tmp_path / f"{sha256(content)}.model", (age, age))
    cache.put(record(contents[0]), contents[0])
    cache.put(record(contents[KEPT]), contents[KEPT])
    kept = {path.stem for path in tmp_path.glob("*.model")}
    assert kept == {sha256(content) for content in (contents[0], *contents[2:])}


def test_nothing_partial_is_left_behind(tmp_path: Path) -> None:
    """A write that fails leaves what was there, and no rest of its own."""
    cache = Cache(tmp_path)
    cache.put(record(b"model"), b"model")
    target = tmp_path / f"{sha256(b'other')}.model"
    target.mkdir()
    with pytest.raises(OSError, match="directory"):
        cache.put(record(b"other"), b"other")
    assert {path.stem for path in tmp_path.glob("*.model")} == {sha256(b"model"), sha256(b"other")}
    assert cache.record("s3://b/k at https://s3") == record(b"model")
