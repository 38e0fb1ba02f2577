"""Models whose predictions tell them apart, a service that follows them, and clients that keep count."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from sklearn.linear_model import LinearRegression

import skdeploy
from skdeploy.model.handover import Handover
from skdeploy.passport import Passport
from skdeploy.reload import PublishedState
from skdeploy.source import Source, fetch, record_of
from tests.conftest import small_frame, small_pipeline
from tests.live import Service, wait_until

AGE = 3
RECORD = json.dumps({"size": 11.5, "kind": "elm", "age": AGE}).encode()


def saved(path: Path, factor: float) -> Passport:
    """A model whose prediction is `factor` times the age; `save` puts it in place in one step."""
    frame = small_frame()
    target = frame["age"] * factor
    pipeline = small_pipeline(LinearRegression()).fit(frame, target)
    return skdeploy.save(pipeline, frame, target, path, name="ages")


def state_in(folder: Path) -> PublishedState:
    """The state of a service that has just begun."""
    state = PublishedState(folder)
    state.make()
    state.begin()
    return state


def publish(state: PublishedState, source: Source, path: Path, **fields: Any) -> None:
    """Publish the model in `path` as if it came from `source`; `fields` of its record differ."""
    fetched = fetch(Source(uri=str(path)))
    handover, _ = Handover.of(
        fetched.content, digest=fetched.digest, name="m", where=str(path), engine="auto", trusted=()
    )
    state.publish(msgspec.structs.replace(record_of(source, fetched), **fields), handover)


def about(service: Service) -> dict[str, Any]:
    """What `GET /` says."""
    page: dict[str, Any] = json.loads(service.get("/")[1])
    return page


def failure(service: Service) -> str:
    """What went wrong in the last poll."""
    poll = about(service)["reload"]
    return str(poll["failure"]) if poll else ""


def versions(service: Service) -> set[str]:
    """The versions that the workers serve."""
    return {worker["version"] for worker in about(service)["workers"]}


def serves(service: Service, version: str) -> None:
    """Wait until every worker serves `version`."""
    wait_until(lambda: versions(service) == {version}, f"every worker serves {version}")


@dataclass
class Asked:
    """What clients were answered.

    answers   by version and factor, which is the prediction divided by the age
    failed    bodies of answers that are not 200
    seconds   how long they asked
    """

    answers: Counter[tuple[str, float]] = field(default_factory=Counter)
    failed: list[bytes] = field(default_factory=list)
    seconds: float = 0.0


@contextlib.contextmanager
def asking(service: Service, clients: int) -> Generator[Asked]:
    """Clients that post RECORD, each on one connection, while the block runs; one that fails stops."""
    asked, done = Asked(), threading.Event()

    def ask() -> None:
        with contextlib.closing(service.connection()) as connection:
            while not done.is_set():
                connection.request("POST", "/predict", RECORD)
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    asked.failed.append(body)
                    return
                answer = json.loads(body)
                asked.answers[answer["model"]["version"], round(answer["prediction"] / AGE, 6)] += 1

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    try:
        yield asked
    finally:
        asked.seconds = time.monotonic() - began
        done.set()
        for thread in threads:
            thread.join()
