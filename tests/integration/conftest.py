"""The image, built once for all tests that run it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.web import create_app
from tests.integration.docker_engine import Docker, NoEngine, base_image, engine
from tests.live import ROOT
from tests.wire import GOOD

IMAGE = "skdeploy-test"


@pytest.fixture(scope="session")
def docker() -> Generator[Docker]:
    """A client whose engine answers."""
    try:
        with engine() as found:
            yield found
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def base(docker: Docker) -> str:
    """What the image is built on."""
    try:
        return base_image(docker)
    except NoEngine as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def image(docker: Docker, base: str) -> Generator[str]:
    """The image, as `make image` builds it, but for its base and name."""
    docker.build(IMAGE, ROOT, f"--build-arg=BASE={base}")
    yield IMAGE
    docker.run("rmi", "--force", IMAGE)


@pytest.fixture(scope="session")
def slim_image(docker: Docker, base: str, image: str) -> Generator[str]:
    """The image of an exported model, made from model.bin; `image` has built most of it."""
    tag = f"{image}-slim"
    docker.build(tag, ROOT, f"--build-arg=BASE={base}", "--target=slim", "--build-arg=MODEL=model.bin")
    yield tag
    docker.run("rmi", "--force", tag)


@pytest.fixture(scope="session")
def expected() -> bytes:
    """The answer to GOOD, from the application itself."""
    app = create_app(skdeploy.load(ROOT / "model.bin"), WebSettings.from_env({}))
    answer: bytes = app.test_client().post("/predict", data=GOOD).data
    return answer
