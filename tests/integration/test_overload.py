"""More requests than can be answered: who is refused, how, and who is not."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import skdeploy
from tests.conftest import small_frame, small_pipeline
from tests.live import Service, served
from tests.own_transformers import slowly

pytestmark = pytest.mark.heavy

# `slowly` sleeps on more than 200 records.
SLOW = json.dumps([{"size": 1.0, "kind": "oak", "age": 3}] * 201).encode()


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes a second for 201 records, each call alone."""
    frame = small_frame()
    target = frame["age"] * 2.5
    pipeline = make_pipeline(FunctionTransformer(slowly), small_pipeline(LinearRegression()))
    path = tmp_path_factory.mktemp("slow") / "slow.bin"
    skdeploy.save(pipeline.fit(frame, target), frame, target, path)
    return path


def settings(model_file: Path, **more: str) -> dict[str, str]:
    return {
        "MODEL_URI": str(model_file),
        "ENGINE": "sklearn",
        "WORKERS": "1",
        "THREADS": "2",
        "SLOW_SECONDS": "1",
        "BATCH_RECORDS": "0",
        **more,
    }


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Iterator[Service]:
    with served(tmp_path_factory.mktemp("crowded"), **settings(model_file, MAX_WAITING="3")) as service:
        yield service


def crowd(service: Service, clients: int) -> list[tuple[int, dict[str, str], Any, float]]:
    """Status, headers, body and seconds of as many requests at once."""
    answers: list[tuple[int, dict[str, str], Any, float]] = []

    def ask() -> None:
        began = time.monotonic()
        connection = service.connection()
        connection.request("POST", "/predict", SLOW)
        response = connection.getresponse()
        content = json.loads(response.read())
        headers = {name.lower(): value for name, value in response.getheaders()}
        answers.append((response.status, headers, content, time.monotonic() - began))
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.robustness("load", "12 clients at once where 2 are scored and 3 may wait")
def test_who_is_one_too_many_is_told_so_at_once(crowded: Service, fact: Callable[..., None]) -> None:
    """Two are scored, three wait, the others have 503 with Retry-After before those are done."""
    answers = crowd(crowded, 12)
    assert Counter(status for status, *_ in answers) == {200: 5, 503: 7}
    for status, headers, content, seconds in answers:
        if status == 503:
            assert headers["retry-after"] == "1"
            assert content["type"] == "urn:skdeploy:problem:overloaded"
            assert seconds < 0.8
    slowest = max(seconds for status, *_, seconds in answers if status == 503)
    fact(f"7 refused within {slowest * 1000:.0f} ms", 5, 0)


@pytest.mark.parametrize(
    ("clients", "paths"), [(4, ["/health", "/metrics"]), (12, ["/health", "/metrics", "/ready"])]
)
def test_probes_are_answered_in_the_crowd(crowded: Service, clients: int, paths: list[str]) -> None:
    """/health and /metrics never wait for who waits; /ready not where it would be one too many."""
    crowding = threading.Thread(target=crowd, args=(crowded, clients))
    crowding.start()
    time.sleep(0.2)
    began = time.monotonic()
    assert {crowded.get(path)[0] for path in paths} == {200}
    assert time.monotonic() - began < 0.8
    crowding.join()


@pytest.mark.robustness("load", "6 clients at once, each prediction a second, REQUEST_TIMEOUT=1.5")
def test_who_waited_too_long_is_told_so(tmp_path: Path, model_file: Path, fact: Callable[..., None]) -> None:
    """Of six at once, two are scored in time, two more after a second; the last came too late."""
    with served(tmp_path, **settings(model_file, REQUEST_TIMEOUT="1.5", MAX_WAITING="0")) as service:
        answers = crowd(service, 6)
    assert Counter(status for status, *_ in answers) == {200: 4, 503: 2}
    late = next(answer for answer in answers if answer[0] == 503)
    assert (late[1]["retry-after"], late[2]["type"]) == ("1", "urn:skdeploy:problem:timed-out")
    fact("2 refused once their time was over", 4, 0)


def test_who_was_refused_and_asks_again_at_once_is_let_rest(crowded: Service) -> None:
    """On a connection that is kept open, the next request is looked at a quarter of a second later."""
    crowding = threading.Thread(target=crowd, args=(crowded, 12))
    crowding.start()
    time.sleep(0.2)
    small = json.dumps({"size": 1.0, "kind": "oak", "age": 3}).encode()
    connection = crowded.connection()
    times = []
    for _ in range(2):
        began = time.monotonic()
        connection.request("POST", "/predict", small)
        response = connection.getresponse()
        times.append((response.status, time.monotonic() - began))
        response.read()
    crowding.join()
    connection.close()
    assert times[0][0] == 503
    assert times[0][1] < 0.2
    assert times[1][1] > 0.15
