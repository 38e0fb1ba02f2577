"""Models in a real MLflow registry, its artifacts in a real S3 server, and the outage of either."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import joblib
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline

import skdeploy
from examples.servers.mlflow_server import MlflowServer, mlflow_server
from examples.servers.s3 import S3
from skdeploy.errors import (
    DigestMismatch,
    ModelUnavailable,
    SettingsError,
    SourceError,
    SourceUnreachable,
    UnreadableModel,
    UnverifiedModel,
)
from skdeploy.mlflow_variables import DIGEST_TAG
from skdeploy.saving.mlflow import Logged
from skdeploy.source import Source, resolve
from tests import stores
from tests.live import served, started

pytestmark = pytest.mark.heavy

ALIAS = "champion"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with stores.running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module", params=[True, False], ids=["proxied", "direct"])
def server(
    request: pytest.FixtureRequest, s3: S3, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), s3, proxied=request.param) as mlflow:
        yield mlflow


@pytest.fixture(scope="module")
def promoted(server: MlflowServer, regressor_file: Path) -> Logged:
    """A model in the registry, promoted as train.py does."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        stores.enter(monkeypatch, server.environment)
        return skdeploy.log_model(regressor_file, name="tree", alias=ALIAS)


@pytest.fixture
def mlflow(server: MlflowServer, promoted: Logged, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """The server with a promoted model, in whose environment the test runs."""
    stores.enter(monkeypatch, server.environment)
    return server


def client(server: MlflowServer) -> object:
    from mlflow import MlflowClient

    return MlflowClient(server.uri)


def test_an_alias_a_version_and_a_run_are_models(mlflow: MlflowServer, promoted: Logged) -> None:
    """All three lead to the same file, whose digest the version's tag vouches for; a run has none."""
    by_alias, by_version = skdeploy.load(promoted.uri), skdeploy.load(f"models:/tree/{promoted.version}")
    assert by_alias.digest == by_version.digest == promoted.sha256
    assert by_alias.passport.name == "tree"
    assert by_alias.origin is not None
    assert (by_alias.origin.version, by_alias.origin.from_cache) == (promoted.version, None)
    run = f"runs:/{promoted.run_id}/model"
    assert skdeploy.load(run, promoted.sha256).digest == promoted.sha256
    with pytest.raises(UnverifiedModel, match="SKDEPLOY_ALLOW_UNVERIFIED"):
        skdeploy.load(run)


WITHOUT_SKLEARN = """
import sys
for name in ("sklearn", "scipy", "joblib", "skl2onnx", "onnx"):
    sys.modules[name] = None
import skdeploy
model = skdeploy.load(sys.argv[1])
print(model.engine.name, model.digest, model.file_digest, model.origin.verified)
"""


def test_the_exported_model_lies_beside_the_pickle(mlflow: MlflowServer, promoted: Logged) -> None:
    """One version holds both: where scikit-learn is missing the exported one is taken, by its own digest."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SKLEARN, promoted.uri], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["onnx", promoted.sha256, promoted.exported_sha256, "True"], done.stderr


def test_what_cannot_be_exported_is_logged_alone(mlflow: MlflowServer, tmp_path: Path) -> None:
    """The reason is told, and the version has one digest."""
    texts = ["good", "bad", "good good", "bad bad"]
    pipeline = make_pipeline(TfidfVectorizer(), LinearRegression()).fit(texts, [1.0, 0.0, 1.0, 0.0])
    skdeploy.save(pipeline, texts, None, tmp_path / "model.bin", name="texts")
    logged = skdeploy.log_model(tmp_path / "model.bin")
    assert logged.exported_sha256 is None
    assert "cannot be exported" in (logged.not_exported or "")
    assert skdeploy.load(logged.uri).digest == logged.sha256


def test_a_fixed_digest_and_a_moving_alias_do_not_go_together() -> None:
    """The contradiction is a wrong setting, whatever the registry says."""
    with pytest.raises(SettingsError, match="an alias moves"):
        skdeploy.load("models:/tree@champion", "0" * 64)


def test_the_tag_decides(mlflow: MlflowServer, regressor_file: Path) -> None:
    """A version without the tag is refused unless waived; with another digest in it, always."""
    logged = skdeploy.log_model(regressor_file, name="tagged", alias=ALIAS)
    registry = client(mlflow)
    token = resolve(Source(uri=logged.uri)).token
    registry.delete_model_version_tag("tagged", logged.version, DIGEST_TAG)  # type: ignore[attr-defined]
    with pytest.raises(UnverifiedModel, match=f"models:/tagged/{logged.version}"):
        skdeploy.load(logged.uri)
    assert skdeploy.load(logged.uri, allow_unverified=True).notes
    registry.set_model_version_tag("tagged", logged.version, DIGEST_TAG, "0" * 64)  # type: ignore[attr-defined]
    assert resolve(Source(uri=logged.uri)).token != token
    with pytest.raises(DigestMismatch, match=DIGEST_TAG):
        skdeploy.load(logged.uri, allow_unverified=True)


def test_a_moved_alias_has_another_token(mlflow: MlflowServer, regressor_file: Path) -> None:
    """resolve tells that the alias points to another version; the next load takes it."""
    first = skdeploy.log_model(regressor_file, name="moving", alias=ALIAS)
    source = Source(uri=first.uri)
    before = resolve(source)
    assert resolve(source).token == before.token
    second = skdeploy.log_model(regressor_file, name="moving", alias=ALIAS)
    assert resolve(source).token != before.token
    assert resolve(source).version == second.version


def test_a_skops_model_is_loaded_with_its_passport(mlflow: MlflowServer, regressor_file: Path) -> None:
    """MLflow 3's own format works; types that skops does not know are named."""
    import skops.io

    unknown = tuple(skops.io.get_untrusted_types(data=skops.io.dumps(joblib.load(regressor_file))))
    logged = skdeploy.log_model(
        regressor_file, name="skops", alias=ALIAS, serialization_format="skops", skops_trusted_types=unknown
    )
    model = skdeploy.load(logged.uri, trusted=unknown)
    assert model.passport.golden.predictions
    if unknown:
        with pytest.raises(UnreadableModel, match="SKDEPLOY_SKOPS_TRUSTED"):
            skdeploy.load(logged.uri)


@pytest.mark.parametrize(
    ("uri", "part"),
    [
        ("models:/tree@nobody", "alias"),
        ("models:/nothing@champion", "registered model"),
        ("models:/tree/99", "version"),
        (f"runs:/{'a' * 32}/model", "run"),
    ],
)
def test_what_is_not_there_is_named(mlflow: MlflowServer, uri: str, part: str) -> None:
    """The part that is missing, and no talk of an outage."""
    with pytest.raises(SourceError) as caught:
        skdeploy.load(uri)
    assert caught.value.part == part
    assert not isinstance(caught.value, SourceUnreachable)


def test_an_unproved_version_is_refused(mlflow: MlflowServer, regressor_file: Path, tmp_path: Path) -> None:
    """A version with the right digest that fails its golden records is refused, and not cached."""
    pipeline = joblib.load(regressor_file)
    pipeline.passport_["golden"]["predictions"][3] += 1
    joblib.dump(pipeline, tmp_path / "model.pkl")
    registry = client(mlflow)
    import mlflow as mlflow_client

    with mlflow_client.start_run() as run:
        mlflow_client.log_artifact(str(tmp_path / "model.pkl"), "bad")
    registry.create_registered_model("bad")  # type: ignore[attr-defined]
    version = registry.create_model_version(  # type: ignore[attr-defined]
        "bad",
        f"{run.info.artifact_uri}/bad",
        run.info.run_id,
        tags={DIGEST_TAG: stores.sha256((tmp_path / "model.pkl").read_bytes())},
    )
    with pytest.raises(ModelUnavailable, match="Golden record 3"):
        skdeploy.load(f"models:/bad/{version.version}", cache=tmp_path / "cache")
    assert not [*(tmp_path / "cache").iterdir()]


def test_the_registry_down_is_bridged(mlflow: MlflowServer, promoted: Logged, tmp_path: Path) -> None:
    """Tracking server killed: the last good model within 10 s; without one it refuses, naming it."""
    skdeploy.load(promoted.uri, cache=tmp_path)
    mlflow.process.kill()
    try:
        with stores.within(10):
            model = skdeploy.load(promoted.uri, cache=tmp_path)
        with stores.within(10), pytest.raises(SourceUnreachable, match=mlflow.uri):
            skdeploy.load(promoted.uri)
    finally:
        mlflow.process.start()
    assert model.digest == promoted.sha256
    assert model.origin is not None
    assert model.origin.version == promoted.version
    assert mlflow.uri in (model.origin.from_cache or "")


def test_the_store_down_is_bridged(
    mlflow: MlflowServer, s3: S3, regressor_file: Path, tmp_path: Path
) -> None:
    """S3 killed: a version that the cache has is current; for another one the last good one serves."""
    first = skdeploy.log_model(regressor_file, name="bridged", alias=ALIAS)
    skdeploy.load(first.uri, cache=tmp_path)
    other = joblib.load(regressor_file)
    other.passport_["name"] = "other"
    joblib.dump(other, tmp_path / "other.bin")
    second = skdeploy.log_model(tmp_path / "other.bin", name="bridged")
    s3.process.kill()
    try:
        with stores.within(10):
            current = skdeploy.load(first.uri, cache=tmp_path)
        client(mlflow).set_registered_model_alias("bridged", ALIAS, second.version)  # type: ignore[attr-defined]
        with stores.within(10):
            old = skdeploy.load(first.uri, cache=tmp_path)
        with stores.within(10), pytest.raises(SourceUnreachable):
            skdeploy.load(first.uri)
    finally:
        stores.restart(s3)
    assert current.origin is not None
    assert current.origin.from_cache is None
    assert old.origin is not None
    assert (old.origin.version, bool(old.origin.from_cache)) == (first.version, True)
    assert skdeploy.load(first.uri, cache=tmp_path).digest == second.sha256


def test_a_cut_download_is_no_model(
    mlflow: MlflowServer, promoted: Logged, s3: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that breaks off within the file counts as an outage, with proxied artifacts too."""
    proxied = "AWS_ENDPOINT_URL_S3" not in mlflow.environment
    variable = "MLFLOW_TRACKING_URI" if proxied else "MLFLOW_S3_ENDPOINT_URL"
    with stores.cut_connection(mlflow.uri if proxied else s3.endpoint, after=3000) as relay:
        monkeypatch.setenv(variable, relay)
        with pytest.raises(SourceUnreachable):
            skdeploy.load(promoted.uri)


def test_a_silent_server_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and says nothing costs no more than 10 seconds; credentials are not shown."""
    with stores.silent_server() as address:
        stores.enter(monkeypatch, {"MLFLOW_TRACKING_URI": address.replace("//", "//anna:geheim4711@")})
        with stores.within(10), pytest.raises(SourceUnreachable, match=address) as caught:
            skdeploy.load("models:/tree@champion")
    assert "4711" not in str(caught.value)


def test_the_environment_is_left_as_it_was(mlflow: MlflowServer, promoted: Logged) -> None:
    """MLflow's patience is set for the call alone; what the operator has set stays."""
    import os

    before = dict(os.environ)
    skdeploy.load(promoted.uri)
    assert dict(os.environ) == before


def test_a_missing_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MLFLOW_TRACKING_URI the message names it, and nothing is created in the working folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SourceError, match="MLFLOW_TRACKING_URI"):
        skdeploy.load("models:/tree@champion")


def test_a_service_starts_without_registry_and_store(
    mlflow: MlflowServer, promoted: Logged, s3: S3, tmp_path: Path
) -> None:
    """Both killed: the service starts from its cache within 10 s and says so; without one it refuses."""
    settings = {
        "SKDEPLOY_MODEL_URI": promoted.uri,
        "SKDEPLOY_MODEL_CACHE": str(tmp_path / "cache"),
        "SKDEPLOY_LOG_LEVEL": "debug",
    }
    with served(tmp_path, **settings) as service:
        assert json.loads(service.get("/")[1])["source"]["version"] == promoted.version
        shown = service.log()
    mlflow.process.kill()
    s3.process.kill()
    try:
        with served(tmp_path, **settings) as service:
            page = json.loads(service.get("/")[1])
            assert service.post(b"[]")[0] == 422
            log = service.log()
        with stores.within(10), started(tmp_path, **settings | {"SKDEPLOY_MODEL_CACHE": ""}) as service:
            assert service.wait() != 0
            refusal = service.log()
    finally:
        stores.restart(s3)
        mlflow.process.start()
    assert page["source"]["version"] == promoted.version
    assert mlflow.uri in page["source"]["from_cache"]
    assert "It comes from the cache" in log
    assert f"The service does not start: The tracking server at {mlflow.uri}" in refusal
    assert s3.secret_key not in shown + log + refusal + json.dumps(page)
