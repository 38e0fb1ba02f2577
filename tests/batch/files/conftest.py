"""Places for files: a folder of this machine, and a real S3 server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.servers.s3 import S3
from tests.stores import enter, running_s3


@pytest.fixture(scope="session")
def s3_of_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 server for all tests of this folder."""
    with running_s3(tmp_path_factory.mktemp("s3")) as s3:
        yield s3


@pytest.fixture
def s3(s3_of_files: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, with the environment in which it is found."""
    enter(monkeypatch, s3_of_files.environment)
    return s3_of_files


Place = Callable[[str], str]


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.heavy)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """The URL of a part of a place that the test has for itself."""
    if request.param == "folder":
        return lambda part: str(tmp_path / part)
    bucket = request.getfixturevalue("s3").bucket
    return lambda part: f"s3://{bucket}/{tmp_path.name}/{part}"


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    """The same, of a folder alone."""
    return lambda part: str(tmp_path / part)
