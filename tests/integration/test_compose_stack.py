"""web-service-mlflow/compose.yaml's services, run one by one by a real engine.

What `docker compose` would do is done here by hand: the engine that these tests start has no such
plugin, and where no image can be pulled there is no PostgreSQL, for which SQLite stands in.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from examples.mlflow_demo import FLIGHT
from tests.integration.docker_engine import Container, Docker
from tests.live import ROOT, wait_until

pytestmark = pytest.mark.heavy
FOLDER = ROOT / "web-service-mlflow"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
NAME = "skdeploy-test-stack"


def variables(path: Path) -> dict[str, str]:
    """The assignments of a file of variables."""
    lines = path.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def servers(docker: Docker, base: str) -> Generator[str]:
    """The image of the tracking server and of the S3 server."""
    dockerfile = FOLDER / COMPOSE["services"]["mlflow"]["build"]["dockerfile"]
    docker.build(f"{NAME}-servers", FOLDER, f"--build-arg=BASE={base}", f"--file={dockerfile}")
    yield f"{NAME}-servers"
    docker.run("rmi", "--force", f"{NAME}-servers")


@pytest.fixture(scope="module")
def network(docker: Docker) -> Generator[str]:
    docker.run("network", "create", NAME)
    yield NAME
    docker.run("network", "rm", NAME)


def substituted(value: str) -> str:
    """With the variables of .env.example in it, as compose would put them."""
    env = variables(FOLDER / ".env.example")
    return re.sub(r"\$\{([A-Z0-9_]+)[^}]*\}", lambda match: env[match[1]], value)


def options(name: str) -> Iterator[str]:
    """What compose.yaml says of a service, as options of `docker run`."""
    service: dict[str, Any] = COMPOSE["services"][name]
    environment = dict(service.get("environment", {}))
    if "env_file" in service:
        environment |= variables(FOLDER / service["env_file"])
    yield from (f"--env={key}={substituted(str(value))}" for key, value in environment.items())
    yield from (f"--volume={NAME}-{volume}" for volume in service.get("volumes", []))
    yield from (f"--tmpfs={path}" for path in service.get("tmpfs", []))
    yield from (f"--cap-drop={name}" for name in service.get("cap_drop", []))
    yield from (f"--security-opt={option}" for option in service.get("security_opt", []))
    yield from ["--read-only"] if service.get("read_only") else []
    if check := service.get("healthcheck"):
        yield f"--health-cmd={shlex.join(check['test'][1:])}"
        yield "--health-interval=1s"
        yield f"--health-timeout={check['timeout']}"


@contextlib.contextmanager
def running(
    docker: Docker, network: str, name: str, image: str, *more: str, port: int
) -> Generator[Container]:
    """A service's container, once it is healthy, under its own name in the network."""
    command = COMPOSE["services"][name].get("command", [])
    place = (f"--network={network}", f"--network-alias={name}")
    with docker.container(*place, *options(name), *more, image, *command, port=port) as container:
        wait_until(lambda: is_healthy(container), f"{name} is healthy", 120)
        yield container


def is_healthy(container: Container) -> bool:
    """Whether its health check says so; AssertionError if it has ended."""
    assert container.state("Running") == "true", container.log()
    return container.state("Health.Status") == "healthy"


@pytest.fixture(scope="module")
def tracking_server(docker: Docker, network: str, servers: str) -> Generator[str]:
    """The address of the tracking server, with S3 behind it; volumes go in the end."""
    sqlite = "--env=MLFLOW_BACKEND_STORE_URI=sqlite:////data/mlflow.db"
    try:
        with (
            running(docker, network, "s3", servers, port=8333),
            running(docker, network, "mlflow", servers, sqlite, port=5000) as mlflow,
        ):
            yield f"http://{mlflow.address}"
    finally:
        docker.run("volume", "rm", "--force", *(f"{NAME}-{volume}" for volume in COMPOSE["volumes"]))


def test_a_model_goes_from_train_to_the_service(
    docker: Docker, network: str, image: str, tracking_server: str, tmp_path: Path
) -> None:
    """Trained on this machine, kept in the S3 container, served by the image, as the README says.

    And once more from the cache's volume, when the registry cannot be reached.
    """
    subprocess.run(
        [sys.executable, "train.py", "--mlflow", "--promote", "--quiet", "--out", tmp_path / "model.bin"],
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": tracking_server, "MLFLOW_DISABLE_TELEMETRY": "true"},
        check=True,
        timeout=120,
    )
    with running(docker, network, "service", image, port=9696) as service:
        first = predicted(service)
    # The same address, at which nobody answers: under another one it would be another registry.
    unreachable = "--add-host=mlflow:127.0.0.1"
    with running(docker, network, "service", image, unreachable, port=9696) as service:
        assert predicted(service) == first
        assert requests.get(f"http://{service.address}/", timeout=10).json()["source"]["from_cache"]


def predicted(service: Container) -> Any:
    """The service's answer to a flight to Los Angeles, which takes five to six hours."""
    answer = requests.post(f"http://{service.address}/predict", json=FLIGHT, timeout=10)
    assert answer.status_code == 200, answer.text
    assert 290 < answer.json()["prediction"] < 380
    return answer.json()
