"""A real service after requests that had every outcome that its callers can bring about."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator
from pathlib import Path

from sklearn.linear_model import LinearRegression

import skdeploy
from tests.conftest import small_frame, small_pipeline
from tests.following import serves
from tests.live import Service, served

GOOD = {"size": 11.5, "kind": "elm", "age": 3}
# Its prediction is more than a double holds.
UNSCORABLE = GOOD | {"size": 1e308}
BAD = GOOD | {"kind": "baobab"}


def _saved(path: Path, factor: float) -> str:
    frame = small_frame()
    target = frame["size"].fillna(10) * factor + frame["age"]
    return skdeploy.save(
        small_pipeline(LinearRegression()).fit(frame, target), frame, target, path, name="trees"
    ).version


@contextlib.contextmanager
def fresh(folder: Path) -> Generator[Service]:
    """A service with two workers that nobody has asked anything."""
    path = folder / "model.bin"
    _saved(path, 25.0)
    with served(folder, SKDEPLOY_MODEL_URI=str(path), WEB_CONCURRENCY="2") as service:
        yield service


@contextlib.contextmanager
def visited(folder: Path) -> Generator[Service]:
    """A service with two workers that has taken another model and was asked once by `ask_all`."""
    path = folder / "model.bin"
    _saved(path, 25.0)
    with served(
        folder, SKDEPLOY_MODEL_URI=str(path), WEB_CONCURRENCY="2", SKDEPLOY_WATCH_SECONDS="0.2"
    ) as service:
        version = _saved(path, 50.0)
        serves(service, version)
        ask_all(service)
        yield service


def ask_all(service: Service) -> None:
    """A request of each outcome: predicted, rejected, unscorable, no JSON, no such page, a probe."""
    bodies = ([GOOD] * 600, GOOD, BAD, UNSCORABLE)
    statuses = [service.post(json.dumps(body).encode())[0] for body in bodies]
    statuses += [service.post(b"no JSON")[0], service.get("/nothing")[0], service.get("/ready")[0]]
    assert statuses == [200, 200, 422, 500, 400, 404, 200]
