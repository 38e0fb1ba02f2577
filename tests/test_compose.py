"""web-service-mlflow/compose.yaml: what it names exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from skdeploy.config import DECLARED, WebSettings

FOLDER = Path(__file__).parents[1] / "web-service-mlflow"
TEXT = (FOLDER / "compose.yaml").read_text()
FOREIGN = re.compile(r"(MLFLOW|AWS|POSTGRES)_[A-Z0-9_]+")


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load(TEXT)


def variables(name: str) -> dict[str, str]:
    """The assignments of a file of variables."""
    lines = (FOLDER / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_every_variable_is_one_of_ours_or_of_the_servers(compose: Any) -> None:
    """Nothing is set that nobody reads."""
    named = set(variables("settings.env"))
    for service in compose["services"].values():
        named |= set(service.get("environment", {}))
    assert {name for name in named - set(DECLARED) if not FOREIGN.fullmatch(name)} == set()


def test_the_service_reads_its_settings() -> None:
    """settings.env is accepted, and names a cache, without which a registry that is down is an outage."""
    settings = WebSettings.from_env(variables("settings.env"))
    assert settings.model_uri == "models:/flight-air-time@champion"
    assert settings.model_cache


def test_the_cache_is_a_volume(compose: Any) -> None:
    """SKDEPLOY_MODEL_CACHE is where the volume is mounted, in a folder that the image makes for it."""
    cache = variables("settings.env")["SKDEPLOY_MODEL_CACHE"]
    assert f"model-cache:{cache}" in compose["services"]["service"]["volumes"]
    assert cache in (FOLDER.parent / "Dockerfile").read_text()


def test_no_secret_is_in_the_file() -> None:
    """Secrets come from .env, for which .env.example has a line each; git ignores .env."""
    used = set(re.findall(r"\$\{([A-Z0-9_]+)", TEXT))
    example = variables(".env.example")
    assert used == set(example)
    assert not any(value in TEXT for value in example.values())
    assert ".env" in (FOLDER.parent / ".gitignore").read_text().splitlines()


def test_every_service_waits_until_what_it_needs_is_healthy(compose: Any) -> None:
    """What is depended on has a health check, and is waited for."""
    services = compose["services"]
    for service in services.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert services[needed]["healthcheck"]["test"]


def test_what_is_published_is_published_here_alone(compose: Any) -> None:
    """The tracking server has no login: no port is open to other machines."""
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_volume_is_declared_and_every_build_has_its_file(compose: Any) -> None:
    """Named volumes stand in the list; Dockerfiles exist."""
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in compose["volumes"]
        build = service.get("build")
        if isinstance(build, dict):
            assert (FOLDER / build["context"] / build["dockerfile"]).is_file()
        elif build:
            assert (FOLDER / build / "Dockerfile").is_file()


def test_the_servers_image_uses_the_makefiles_pipenv() -> None:
    """PIPENV_VERSION is one number in the Makefile and here."""
    dockerfile, makefile = (
        re.search(r"PIPENV_VERSION\s*:?=\s*(\S+)", path.read_text())
        for path in (FOLDER / "servers.Dockerfile", FOLDER.parent / "Makefile")
    )
    assert dockerfile is not None
    assert makefile is not None
    assert dockerfile[1] == makefile[1]
