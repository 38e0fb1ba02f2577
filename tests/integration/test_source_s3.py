"""Models in a real S3 server, and every way in which that can go wrong."""

from __future__ import annotations

import dataclasses
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest

import skdeploy
from examples.servers.s3 import S3
from skdeploy.errors import (
    DigestMismatch,
    ModelUnavailable,
    SourceError,
    SourceUnreachable,
    UnreadableModel,
    UnverifiedModel,
)
from skdeploy.source import Source, fetch, resolve
from tests import stores
from tests.live import served, started

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with stores.running_s3(tmp_path_factory.mktemp("s3")) as s3:
        yield s3


@pytest.fixture
def s3(server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    stores.enter(monkeypatch, server.environment)
    return server


@pytest.fixture
def model_file(s3: S3, regressor_file: Path) -> bytes:
    """A model's bytes, which are at models/tree.bin with their digest."""
    content = regressor_file.read_bytes()
    stores.put(s3, "models/tree.bin", content, digest=stores.sha256(content))
    return content


@pytest.fixture
def down(s3: S3) -> Iterator[S3]:
    """The server, killed; it runs again after the test."""
    s3.process.kill()
    yield s3
    stores.restart(s3)


def uri(s3: S3, key: str = "models/tree.bin") -> str:
    return f"s3://{s3.bucket}/{key}"


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_an_object_is_a_model(s3: S3, model_file: bytes) -> None:
    """The digest in the object's metadata is compared; the model says where it came from."""
    model = skdeploy.load(uri(s3))
    assert model.digest == stores.sha256(model_file)
    assert model.origin is not None
    assert (model.origin.uri, model.origin.from_cache) == (uri(s3), None)
    assert not model.notes


def test_a_file_that_nobody_vouches_for_is_not_loaded(s3: S3, regressor_file: Path) -> None:
    """Without a digest nothing is unpickled, unless it is given or waived; waived, the model says so."""
    content = regressor_file.read_bytes()
    stores.put(s3, "bare.bin", content)
    with pytest.raises(UnverifiedModel, match="SKDEPLOY_ALLOW_UNVERIFIED=1"):
        skdeploy.load(uri(s3, "bare.bin"))
    assert not skdeploy.load(uri(s3, "bare.bin"), stores.sha256(content)).notes
    model = skdeploy.load(uri(s3, "bare.bin"), allow_unverified=True)
    assert "digest was not known" in model.notes[0]


@pytest.mark.parametrize("given", [True, False], ids=["SKDEPLOY_MODEL_SHA256", "metadata"])
def test_another_file_is_refused_before_unpickling(s3: S3, tmp_path: Path, given: bool) -> None:
    """A digest that differs stops the file before any of it runs."""
    bomb, fuse = pickle.dumps(Bomb(tmp_path / "fuse")), tmp_path / "fuse"
    stores.put(s3, "bomb.bin", bomb, digest=None if given else "0" * 64)
    with pytest.raises(DigestMismatch, match="SKDEPLOY_MODEL_SHA256" if given else "metadata"):
        skdeploy.load(uri(s3, "bomb.bin"), "0" * 64 if given else None)
    assert not fuse.exists()
    with pytest.raises(UnreadableModel):
        skdeploy.load(uri(s3, "bomb.bin"), stores.sha256(bomb))
    assert fuse.exists(), "the bomb does not work"


def test_a_folder_that_mlflow_wrote_is_a_model(s3: S3, regressor_file: Path) -> None:
    """The folder's model.pkl is found, whether the URI ends in a slash or not."""
    content = regressor_file.read_bytes()
    stores.put(s3, "mlflow/tree/model.pkl", content, digest=stores.sha256(content))
    for key in ("mlflow/tree", "mlflow/tree/"):
        assert skdeploy.load(uri(s3, key)).digest == stores.sha256(content)


def test_skops_files_are_read_and_strangers_named(s3: S3, tmp_path: Path, regressor_file: Path) -> None:
    """A type that skops does not know is refused by name, and loads once it is trusted."""
    import skops.io

    content = skops.io.dumps(joblib.load(regressor_file))
    stores.put(s3, "mlflow/skops/model.skops", content, digest=stores.sha256(content))
    unknown = tuple(skops.io.get_untrusted_types(data=content))
    if unknown:
        with pytest.raises(UnreadableModel, match=unknown[0]):
            skdeploy.load(uri(s3, "mlflow/skops"))
    model = skdeploy.load(uri(s3, "mlflow/skops"), trusted=unknown)
    assert model.passport.golden.predictions, "the passport did not survive"


def test_a_replaced_object_has_another_token(s3: S3, model_file: bytes) -> None:
    """resolve tells without a download that the object is another, and what was resolved is not mixed up."""
    source = Source(uri=uri(s3))
    before = resolve(source)
    assert resolve(source).token == before.token
    stores.put(s3, "models/tree.bin", b"another")
    assert resolve(source).token != before.token
    with pytest.raises(SourceUnreachable, match="replaced while it was read"):
        fetch(source, before)


@pytest.mark.parametrize(
    ("variable", "value", "part"),
    [
        ("AWS_SECRET_ACCESS_KEY", "wrong-secret-4711", "credentials"),
        ("AWS_ACCESS_KEY_ID", "wrong-key-4711", "credentials"),
        ("AWS_ACCESS_KEY_ID", "", "credentials"),
        ("AWS_ENDPOINT_URL_S3", "nonsense", "endpoint"),
    ],
)
def test_wrong_access_is_named_and_not_shown(
    s3: S3, model_file: bytes, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, part: str
) -> None:
    """The error says which part is wrong; no credential is in it."""
    if value:
        monkeypatch.setenv(variable, value)
    else:
        monkeypatch.delenv(variable)
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(SourceError) as caught:
        skdeploy.load(uri(s3))
    assert caught.value.part == part
    assert "4711" not in str(caught.value)
    assert s3.secret_key not in str(caught.value)


def test_a_missing_key_or_bucket_is_named(s3: S3) -> None:
    """A wrong URI is no outage."""
    for where, part in ((uri(s3, "none.bin"), "key"), ("s3://no-such-bucket/m.bin", "bucket")):
        with pytest.raises(SourceError) as caught:
            skdeploy.load(where)
        assert caught.value.part == part
        assert not isinstance(caught.value, SourceUnreachable)


def test_a_cut_download_is_no_model(s3: S3, model_file: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that breaks off in the middle of the file is said to, and counts as an outage."""
    with stores.cut_connection(s3.endpoint, after=len(model_file) // 2) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        with pytest.raises(SourceUnreachable, match="broke off"):
            skdeploy.load(uri(s3))


def test_a_silent_server_is_given_up_soon(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing is asked twice, and not a third time for 3 seconds."""
    with stores.silent_server() as endpoint, stores.within(9):
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        with pytest.raises(SourceUnreachable, match=endpoint):
            skdeploy.load(uri(s3))


def test_an_outage_is_bridged_by_the_last_good_model(
    s3: S3, model_file: bytes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """With the server down, the model that loaded last is served again, and says why."""
    before = skdeploy.load(uri(s3), cache=tmp_path)
    request.getfixturevalue("down")
    with stores.within(10):
        after = skdeploy.load(uri(s3), cache=tmp_path)
    assert after.digest == before.digest
    assert after.origin is not None
    assert "did not answer" in (after.origin.from_cache or "")
    assert any("comes from the cache" in note for note in after.notes)
    with pytest.raises(SourceUnreachable, match="not SKDEPLOY_MODEL_SHA256"):
        skdeploy.load(uri(s3), "0" * 64, cache=tmp_path)


def test_a_damaged_cache_is_not_loaded(
    s3: S3, model_file: bytes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A copy that was cut is never unpickled: with the server down there is no model then."""
    skdeploy.load(uri(s3), cache=tmp_path)
    (copy,) = tmp_path.glob("*.model")
    copy.write_bytes(model_file[:-1])
    request.getfixturevalue("down")
    with pytest.raises(SourceUnreachable, match="no good copy"):
        skdeploy.load(uri(s3), cache=tmp_path)


def test_an_unproved_model_is_not_the_last_good_one(s3: S3, regressor_file: Path, tmp_path: Path) -> None:
    """A model that fails its golden records is refused, and not cached."""
    pipeline = joblib.load(regressor_file)
    pipeline.passport_["golden"]["predictions"][3] += 1
    joblib.dump(pipeline, tmp_path / "bad.bin")
    content = (tmp_path / "bad.bin").read_bytes()
    stores.put(s3, "bad.bin", content, digest=stores.sha256(content))
    with pytest.raises(ModelUnavailable, match="Golden record 3"):
        skdeploy.load(uri(s3, "bad.bin"), cache=tmp_path / "cache")
    assert not [*(tmp_path / "cache").iterdir()]


def test_a_service_starts_without_its_store(s3: S3, model_file: bytes, tmp_path: Path) -> None:
    """Store down: the service starts from its cache within 10 s, says so, and shows no credential."""
    settings = {
        "SKDEPLOY_MODEL_URI": uri(s3),
        "SKDEPLOY_MODEL_CACHE": str(tmp_path / "cache"),
        "SKDEPLOY_LOG_LEVEL": "debug",
    }
    with served(tmp_path, **settings) as service:
        page = json.loads(service.get("/")[1])
        assert page["source"]["from_cache"] is None
        assert page["source"]["stale"] is False
        first = service.log()
    s3.process.kill()
    try:
        with served(tmp_path, **settings) as service:
            page = json.loads(service.get("/")[1])
            assert b"skdeploy_model_stale 1.0" in service.get("/metrics")[1]
            second = service.log()
        assert s3.endpoint in page["source"]["from_cache"]
        assert page["source"]["stale"] is True
        assert page["model"]["sha256"] == stores.sha256(model_file)
        assert "It comes from the cache" in second
        with stores.within(10), started(tmp_path, **settings | {"SKDEPLOY_MODEL_CACHE": ""}) as service:
            assert service.wait() != 0
            third = service.log()
        assert f"The service does not start: S3 at {s3.endpoint}: it did not answer" in third
    finally:
        stores.restart(s3)
    for shown in (first, second, third, json.dumps(page)):
        assert s3.secret_key not in shown
        assert s3.access_key not in shown


def test_an_uncacheable_model_is_served_all_the_same(
    s3: S3, model_file: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache that cannot be written is a warning, no failure."""
    (tmp_path / "file").touch()
    assert skdeploy.load(uri(s3), cache=tmp_path / "file").digest == stores.sha256(model_file)
    assert "is not cached" in caplog.text


def test_the_last_unverified_model_needs_its_waiver_again(
    s3: S3, regressor_file: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What was loaded unverified comes out of the cache only where that is still allowed."""
    stores.put(s3, "bare.bin", regressor_file.read_bytes())
    source = Source(uri=uri(s3, "bare.bin"), cache=tmp_path, allow_unverified=True)
    skdeploy.source.load_from(source)
    request.getfixturevalue("down")
    assert skdeploy.source.load_from(source).notes
    with pytest.raises(SourceUnreachable, match="unverified"):
        skdeploy.source.load_from(dataclasses.replace(source, allow_unverified=False))
