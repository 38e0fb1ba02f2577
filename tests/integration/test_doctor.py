"""The doctor, asked about real servers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

import skdeploy
from examples.servers.mlflow_server import MlflowServer, mlflow_server
from examples.servers.s3 import S3
from skdeploy.mlflow_variables import DIGEST_TAG
from tests import stores
from tests.command import command

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory, regressor_file: Path) -> Iterator[S3]:
    """A store with a good model, one that nobody vouches for, and an empty object."""
    content = regressor_file.read_bytes()
    with stores.running_s3(tmp_path_factory.mktemp("s3")) as server:
        stores.put(server, "tree.bin", content, digest=stores.sha256(content))
        stores.put(server, "bare.bin", content)
        stores.put(server, "empty.bin", b"")
        yield server


@pytest.fixture(scope="module")
def mlflow(s3: S3, tmp_path_factory: pytest.TempPathFactory, regressor_file: Path) -> Iterator[MlflowServer]:
    """A registry with a promoted model, and one without a tag."""
    with (
        mlflow_server(tmp_path_factory.mktemp("mlflow"), s3) as server,
        pytest.MonkeyPatch.context() as monkeypatch,
    ):
        stores.enter(monkeypatch, server.environment)
        skdeploy.log_model(regressor_file, name="tree", alias="champion")
        bare = skdeploy.log_model(regressor_file, name="bare", alias="champion")
        from mlflow import MlflowClient

        MlflowClient(server.uri).delete_model_version_tag("bare", bare.version, DIGEST_TAG)
        yield server


class Doctor(Protocol):
    def __call__(self, uri: str, environment: Mapping[str, str]) -> tuple[int, list[str]]: ...


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Doctor:
    """Exit code and lines of `skdeploy doctor` in an environment."""

    def ask(uri: str, environment: Mapping[str, str]) -> tuple[int, list[str]]:
        for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_", "MODEL_"))]:
            monkeypatch.delenv(name)
        stores.enter(monkeypatch, environment)
        with stores.within(30):
            done = command("doctor", uri)
        for secret in ("geheim", "AKIAXYZ"):
            assert secret not in done.output + caplog.text
        return done.exit_code, done.stdout.splitlines()

    return ask


def test_a_good_object_is_well(s3: S3, doctor: Doctor) -> None:
    """Every part on the way to the model is ok."""
    code, lines = doctor(f"s3://{s3.bucket}/tree.bin", s3.environment)
    assert code == 0
    assert [line.split(":")[0].removeprefix("ok    ") for line in lines] == [
        *("boto3", "endpoint", "credentials", "region", "bucket", "permission", "key"),
        *("download", "digest", "model"),
    ]
    assert lines[2] == "ok    credentials: env has some"


@pytest.mark.parametrize(
    ("key", "changed", "part", "remedy"),
    [
        ("tree.bin", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials", "AWS_PROFILE"),
        ("tree.bin", {"AWS_SECRET_ACCESS_KEY": "geheim-xyz"}, "credentials", "AWS_SECRET_ACCESS_KEY"),
        ("tree.bin", {"AWS_ACCESS_KEY_ID": "AKIAXYZ"}, "credentials", "AWS_ACCESS_KEY_ID"),
        ("tree.bin", {"AWS_PROFILE": "nobody"}, "credentials", "AWS_PROFILE"),
        ("tree.bin", {"AWS_ENDPOINT_URL_S3": "nonsense"}, "endpoint", "AWS_ENDPOINT_URL_S3"),
        ("tree.bin", {"AWS_DEFAULT_REGION": "no such region"}, "region", "AWS_REGION"),
        ("none.bin", {}, "key", "aws s3 ls"),
        ("empty.bin", {}, "key", "Upload"),
        ("bare.bin", {}, "digest", "SKDEPLOY_ALLOW_UNVERIFIED=1"),
        ("tree.bin", {"SKDEPLOY_MODEL_SHA256": "0" * 64}, "digest", "0" * 64),
    ],
)
def test_the_wrong_part_of_s3_is_named(
    s3: S3, doctor: Doctor, key: str, changed: dict[str, str], part: str, remedy: str
) -> None:
    """Credentials, endpoint, region, key or digest: the one that is wrong comes last, with its remedy."""
    code, lines = doctor(f"s3://{s3.bucket}/{key}", {**s3.environment, **changed})
    assert code == 3
    wrong = [index for index, line in enumerate(lines) if line.startswith("WRONG")]
    assert lines[wrong[0]].startswith(f"WRONG {part}: ")
    assert remedy in " ".join(lines[wrong[0] :])
    assert all(line.startswith("ok") for line in lines[: wrong[0]])


def test_a_missing_bucket_is_named(s3: S3, doctor: Doctor) -> None:
    """What came before it is ok."""
    code, lines = doctor("s3://no-such-bucket/m.bin", s3.environment)
    assert code == 3
    assert lines[4].startswith("WRONG bucket: ")


def test_an_unreachable_store_is_named(doctor: Doctor) -> None:
    """The endpoint that did not answer, well before the default client would give up."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    with stores.refusing_server() as endpoint, stores.within(20):
        code, lines = doctor("s3://bucket/m.bin", {**keys, "AWS_ENDPOINT_URL_S3": endpoint})
    assert code == 3
    assert lines[1].startswith(f"WRONG endpoint: S3 at {endpoint}: it did not answer")


def test_a_promoted_model_is_well(mlflow: MlflowServer, doctor: Doctor) -> None:
    """Every part on the way to the model is ok, and the tag vouches for the digest."""
    code, lines = doctor("models:/tree@champion", mlflow.environment)
    assert code == 0
    assert [line.split(":")[0].removeprefix("ok    ") for line in lines] == [
        *("mlflow-skinny", "tracking URI", "tracking server", "credentials", "registered model", "alias"),
        *("download", "digest", "model"),
    ]
    assert DIGEST_TAG in lines[-2]


@pytest.mark.parametrize(
    ("uri", "changed", "part", "remedy"),
    [
        ("models:/tree@champion", {"MLFLOW_TRACKING_URI": ""}, "tracking URI", "http://"),
        ("models:/tree@nobody", {}, "alias", "it has: champion"),
        ("models:/nothing@champion", {}, "registered model", "SKDEPLOY_MODEL_URI"),
        ("models:/tree/99", {}, "version", "SKDEPLOY_MODEL_URI"),
        ("models:/bare@champion", {}, "digest", "SKDEPLOY_ALLOW_UNVERIFIED=1"),
        (f"runs:/{'a' * 32}/model", {}, "run", "SKDEPLOY_MODEL_URI"),
    ],
)
def test_the_wrong_part_of_the_registry_is_named(
    mlflow: MlflowServer, doctor: Doctor, uri: str, changed: dict[str, str], part: str, remedy: str
) -> None:
    """Address, model, alias, version or tag: the one that is wrong comes last, with its remedy."""
    code, lines = doctor(uri, {**mlflow.environment, **changed})
    assert code == 3
    wrong = [index for index, line in enumerate(lines) if line.startswith("WRONG")]
    assert lines[wrong[0]].startswith(f"WRONG {part}: ")
    assert remedy in " ".join(lines[wrong[0] :])


def test_an_unreachable_registry_is_named(doctor: Doctor) -> None:
    """Well before MLflow would give up, and without the password in the address."""
    with stores.refusing_server() as address, stores.within(20):
        there = address.replace("//", "//anna:geheim-xyz@")
        code, lines = doctor("models:/tree@champion", {"MLFLOW_TRACKING_URI": there})
    assert code == 3
    assert lines[2].startswith(f"WRONG tracking server: The tracking server at {address}: it did not answer")


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_lets_nobody_in_is_named(doctor: Doctor, status: int) -> None:
    """A login that is wrong or missing is no outage of the network."""
    with stores.closed_server(status) as address:
        code, lines = doctor(
            "models:/tree@champion", {"MLFLOW_TRACKING_URI": address, "MLFLOW_TRACKING_TOKEN": "geheim-xyz"}
        )
    assert code == 3
    assert lines[-2].startswith("WRONG credentials: ")
    assert "MLFLOW_TRACKING_TOKEN" in lines[-1]
