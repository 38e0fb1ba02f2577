"""An alias of a real MLflow registry moves, and the service follows it; its servers die, and it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import skdeploy
from examples.servers.mlflow_server import MlflowServer, mlflow_server
from examples.servers.s3 import S3
from skdeploy.saving.mlflow import Logged
from tests import stores
from tests.following import RECORD, about, asking, failure, saved, serves
from tests.live import Service, served, wait_until

pytestmark = pytest.mark.heavy

ALIAS = "champion"
MOVES = 20


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with stores.running_s3(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def server(s3: S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), s3, proxied=False) as mlflow:
        yield mlflow


@pytest.fixture
def mlflow(server: MlflowServer, monkeypatch: pytest.MonkeyPatch) -> MlflowServer:
    """The server, in whose environment the test and its service run."""
    stores.enter(monkeypatch, server.environment)
    return server


def promoted(path: Path, factor: float) -> tuple[Logged, str]:
    """A new champion that predicts `factor` times the age: as registered, and its passport's version."""
    passport = saved(path, factor)
    return skdeploy.log_model(path, name="ages", alias=ALIAS), passport.version


@pytest.fixture
def following(tmp_path: Path, mlflow: MlflowServer) -> Iterator[Service]:
    """Two workers that follow the alias; its first version predicts the age itself."""
    _, version = promoted(tmp_path / "first.bin", 1.0)
    settings = {
        "SKDEPLOY_MODEL_URI": f"models:/ages@{ALIAS}",
        "SKDEPLOY_MODEL_CACHE": str(tmp_path / "cache"),
        "WEB_CONCURRENCY": "2",
        "SKDEPLOY_WATCH_SECONDS": "0.2",
    }
    with served(tmp_path, **mlflow.environment, **settings) as service:
        wait_until(lambda: len(about(service)["workers"]) == 2, "both workers say what they serve")
        serves(service, version)
        yield service


def test_twenty_moves_under_load(following: Service, tmp_path: Path) -> None:
    """No request fails at more than 200 a second, and each answer's version made its prediction."""
    made = {about(following)["model"]["version"]: 1.0}
    with asking(following, 4) as asked:
        for move in range(MOVES):
            logged, version = promoted(tmp_path / "next.bin", 2.0 + move)
            made[version] = 2.0 + move
            serves(following, version)
            registered = {worker["registry_version"] for worker in about(following)["workers"]}
            assert registered == {logged.version}
    assert not asked.failed
    assert asked.answers.total() / asked.seconds > 200
    assert dict(asked.answers.keys()) == {version: made[version] for version, _ in asked.answers}
    assert len(asked.answers) > MOVES // 2


def test_an_outage_changes_nothing(following: Service, mlflow: MlflowServer, tmp_path: Path) -> None:
    """With the tracking server killed the model stays, GET / and the log say why; then it follows again."""
    before = about(following)["model"]["version"]
    mlflow.process.kill()
    wait_until(lambda: "tracking server" in failure(following), "it says so", 40)
    assert following.post(RECORD)[0] == 200
    assert about(following)["model"]["version"] == before
    for secret in (value for name, value in mlflow.environment.items() if "SECRET" in name or "PASS" in name):
        assert secret not in following.log()
        assert secret not in json.dumps(about(following))
    mlflow.process.start()
    wait_until(lambda: failure(following) == "None", "all is well again", 40)
    serves(following, promoted(tmp_path / "next.bin", 50.0)[1])
