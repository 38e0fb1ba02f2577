"""What the ledger of files relies on: whole files, conditions, locks."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import pytest

from skdeploy.batch.files import is_files
from skdeploy.batch.files.s3 import S3Storage
from skdeploy.batch.files.storage import Conflict, Storage, open_storage
from skdeploy.errors import InputError, IntervalHeld, OutputError, SettingsError
from tests.batch.files.conftest import Place
from tests.stores import closed_server, refusing_server


def opened(place: Place) -> Storage:
    return open_storage(place("there"), "SKDEPLOY_OUTPUT_URL", OutputError)


def temporary(folder: Path, content: bytes) -> Path:
    """A file that is to be put somewhere, on the same file system."""
    folder.mkdir(exist_ok=True)
    path = folder / "temporary"
    path.write_bytes(content)
    return path


def test_files_are_listed_by_the_beginning_of_their_names(place: Place, tmp_path: Path) -> None:
    """At any depth, with their sizes; folders one below another."""
    storage = opened(place)
    assert list(storage.files("")) == []
    assert storage.folders("") == []
    for name in ("a/b/one", "a/b/two", "a/c", "d"):
        storage.keep(name, temporary(tmp_path / "temporary", name.encode()))
    assert [tuple(file) for file in storage.files("a/")] == [("a/b/one", 7), ("a/b/two", 7), ("a/c", 3)]
    assert [file.name for file in storage.files("a/b/t")] == ["a/b/two"]
    assert storage.folders("") == ["a"]
    assert storage.folders("a/") == ["b"]


def test_a_file_is_kept_unless_it_is_there(place: Place, tmp_path: Path) -> None:
    """Of the same size it is left alone, for its name follows from its content; half of it is replaced."""
    storage = opened(place)
    for content, expected in (
        (b"half", b"half"),
        (b"whole file", b"whole file"),
        (b"WHOLE FILE", b"whole file"),
    ):
        storage.keep("x/part", temporary(tmp_path / "temporary", content))
        found = storage.read("x/part")
        assert found is not None
        assert found[0] == expected
    storage.remove("x/part")
    storage.remove("x/part")
    assert storage.read("x/part") is None


def test_only_what_was_read_is_replaced(place: Place) -> None:
    """A second file, another tag, a tag of a file that is gone: each is a conflict, and changes nothing."""
    storage = opened(place)
    with pytest.raises(Conflict):
        storage.replace("x/m.json", b"0", '"00000000000000000000000000000000"')
    assert storage.read("x/m.json") is None
    first = storage.replace("x/m.json", b"1", None)
    with pytest.raises(Conflict):
        storage.replace("x/m.json", b"2", None)
    second = storage.replace("x/m.json", b"3", first)
    with pytest.raises(Conflict):
        storage.replace("x/m.json", b"4", first)
    assert storage.read("x/m.json") == (b"3", second)
    storage.require_conditions("x/m.json", b"3")
    assert storage.read("x/m.json") == (b"3", second)


def test_of_many_that_replace_at_once_one_does(place: Place) -> None:
    """Each of eight threads has its turn to be first; only one of them is."""
    storage = opened(place)
    tag = None
    for turn in range(3):
        won: list[str] = []

        def attempt(number: int, tag: str | None = tag, turn: int = turn, won: list[str] = won) -> None:
            with contextlib.suppress(Conflict):
                won.append(storage.replace("m.json", f"{turn} {number}".encode(), tag))

        threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (tag,) = won


def test_a_folder_is_held_by_one(tmp_path: Path) -> None:
    """A second run is told at once; after the first it gets through."""
    first, second = (open_storage(f"file://{tmp_path}", "SKDEPLOY_OUTPUT_URL", OutputError) for _ in range(2))
    with first.held("a/_lock"):
        with pytest.raises(IntervalHeld, match="Another run is writing"), second.held("a/_lock"):
            pass
        with second.held("b/_lock"):
            pass
    with second.held("a/_lock"):
        pass


def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    """The variable, the folder, and what the system says."""
    (tmp_path / "file").write_text("")
    storage = open_storage(str(tmp_path / "file" / "folder"), "SKDEPLOY_OUTPUT_URL", OutputError)
    with pytest.raises(
        OutputError, match=r"SKDEPLOY_OUTPUT_URL: .*folder cannot be written: Not a directory"
    ):
        storage.replace("m.json", b"", None)
    with pytest.raises(OutputError, match="Not a directory"), storage.held("_lock"):
        pass


def test_what_names_files() -> None:
    """Paths, file:// and s3://; everything else is a database's."""
    assert all(
        map(is_files, ("data", "/data/x.parquet", "data/*.parquet", "file:///data", "s3://bucket/data"))
    )
    assert not any(map(is_files, ("sqlite:///file", "postgresql+psycopg://u:p@h/d", "duckdb:///x")))
    with pytest.raises(SettingsError, match="names no bucket"):
        open_storage("s3://", "SKDEPLOY_OUTPUT_URL", OutputError)
    with pytest.raises(SettingsError, match="has the scheme gs://"):
        open_storage("gs://bucket", "SKDEPLOY_OUTPUT_URL", OutputError)


@pytest.mark.heavy
def test_what_is_wrong_with_s3_is_said(s3: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """No bucket, wrong credentials, nobody there, another server: each names the variable and the place."""
    with pytest.raises(InputError, match=r"SKDEPLOY_INPUT_URL: s3://nowhere/: S3 at .* said NoSuchBucket"):
        list(open_storage("s3://nowhere", "SKDEPLOY_INPUT_URL", InputError).files(""))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    with pytest.raises(OutputError, match=r"SignatureDoesNotMatch.* Correct AWS_ACCESS_KEY_ID") as caught:
        open_storage("s3://mlflow", "SKDEPLOY_OUTPUT_URL", OutputError).replace("x", b"", None)
    assert "wrong-secret" not in str(caught.value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with refusing_server() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        with pytest.raises(OutputError, match="did not answer, or broke off"):
            open_storage("s3://mlflow", "SKDEPLOY_OUTPUT_URL", OutputError).read("x")
    with closed_server(403) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        with pytest.raises(OutputError, match="said 403"):
            open_storage("s3://mlflow", "SKDEPLOY_OUTPUT_URL", OutputError).read("x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "no url")
    with pytest.raises(OutputError, match="not configured right"):
        open_storage("s3://mlflow", "SKDEPLOY_OUTPUT_URL", OutputError)


class Forgetful(S3Storage):
    """A store that ignores conditions, as some do."""

    def replace(self, name: str, content: bytes, tag: str | None) -> str:
        del tag
        there = self.read(name)
        return super().replace(name, content, there and there[1])


@pytest.mark.heavy
def test_a_store_without_conditions_is_refused(s3: object) -> None:
    """Two runs could write one interval there: it says so before anything is written."""
    storage = Forgetful("mlflow", "forgetful", "SKDEPLOY_OUTPUT_URL", OutputError)
    storage.replace("_columns.json", b"{}", None)
    with pytest.raises(OutputError, match="does not honour conditional writes"):
        storage.require_conditions("_columns.json", b"{}")
