"""The image's target that scores tables, run by a real Docker engine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.batch.jobs import Database, records
from tests.integration.docker_engine import Docker
from tests.live import ROOT

pytestmark = pytest.mark.heavy
IMAGE = "skdeploy-test-batch"
# What the target adds to the web service's image, measured 236 MB: pyarrow, SQLAlchemy, and drivers.
MOST_ADDED_MB = 265


@pytest.fixture(scope="module")
def batch_image(docker: Docker, base: str, image: str) -> Generator[str]:
    """The target, built behind the web service's layers."""
    docker.build(IMAGE, ROOT, f"--build-arg=BASE={base}", "--target=batch")
    yield IMAGE
    docker.run("rmi", "--force", IMAGE)


def test_an_interval_is_scored_in_a_container(
    docker: Docker, batch_image: str, tmp_path: Path, regressor_file: Path
) -> None:
    """As somebody who may write to a mounted folder alone, it leaves what the command line here leaves."""
    shutil.copy(regressor_file, tmp_path / "tree.bin")
    for place in (tmp_path / "there.db", tmp_path / "here.db"):
        Database(f"sqlite:///{place}", tmp_path / "tree.bin").fill(records(60))
    for path in (tmp_path, *tmp_path.iterdir()):
        path.chmod(0o777)
    here = Database(f"sqlite:///{tmp_path / 'here.db'}", tmp_path / "tree.bin")
    arguments = ("--interval", "daily", "--backfill", "2026-03-01", "2026-03-03")
    assert here.score(*arguments).code == 0

    settings = here.environment(
        SKDEPLOY_INPUT_URL="sqlite:////data/there.db", SKDEPLOY_MODEL_URI="/data/tree.bin"
    )
    ours = (
        "SKDEPLOY_MODEL_URI",
        "SKDEPLOY_INPUT_URL",
        "SKDEPLOY_INPUT_TABLE",
        "SKDEPLOY_KEY_COLUMNS",
        "SKDEPLOY_TIME_COLUMN",
        "SKDEPLOY_EVENT_TZ",
    )
    options = [f"--env={name}={settings[name]}" for name in ours]
    said = docker.run(
        "run", "--rm", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", f"--volume={tmp_path}:/data",
        *options, batch_image, "batch.score", *arguments,
    )  # fmt: skip
    assert json.loads(said.splitlines()[-1])["rows"]["predicted"] == 60
    there = Database(f"sqlite:///{tmp_path / 'there.db'}", tmp_path / "tree.bin")
    assert [row[2:4] for row in there.predictions()] == [
        pytest.approx(row[2:4], rel=1e-5) for row in here.predictions()
    ]


def test_nothing_is_run_by_chance(docker: Docker, batch_image: str) -> None:
    """Without a command it explains itself."""
    assert "--backfill" in docker.run("run", "--rm", batch_image)


def test_the_target_is_small(docker: Docker, batch_image: str, image: str) -> None:
    """It adds what tables need, and nothing twice."""
    sizes = [int(docker.run("image", "inspect", "--format={{.Size}}", name)) for name in (batch_image, image)]
    assert (sizes[0] - sizes[1]) / 10**6 <= MOST_ADDED_MB
