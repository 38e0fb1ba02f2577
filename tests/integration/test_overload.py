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
from tests.own_transformers import always_slowly

pytestmark = pytest.mark.heavy

# Seconds that each call of the model takes.
CALL = 0.4
RECORD = json.dumps({"size": 1.0, "kind": "oak", "age": 3}).encode()


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes its time for each call."""
    frame = small_frame()
    target = frame["age"] * 2.5
    pipeline = make_pipeline(FunctionTransformer(always_slowly), small_pipeline(LinearRegression()))
    path = tmp_path_factory.mktemp("slow") / "slow.bin"
    skdeploy.save(pipeline.fit(frame, target), frame, target, path)
    return path


def settings(model_file: Path, **more: str) -> dict[str, str]:
    return {
        "SKDEPLOY_MODEL_URI": str(model_file),
        "SKDEPLOY_ENGINE": "sklearn",
        "WEB_CONCURRENCY": "1",
        "SKDEPLOY_THREADS": "2",
        "SLOW_SECONDS": str(CALL),
        "SKDEPLOY_BATCH_RECORDS": "0",
        **more,
    }


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, model_file: Path) -> Iterator[Service]:
    with served(
        tmp_path_factory.mktemp("crowded"), **settings(model_file, SKDEPLOY_MAX_WAITING="3")
    ) as service:
        yield service


def crowd(service: Service, clients: int) -> list[tuple[int, dict[str, str], Any, float]]:
    """Status, headers, body and seconds of as many requests at once."""
    answers: list[tuple[int, dict[str, str], Any, float]] = []

    def ask() -> None:
        began = time.monotonic()
        connection = service.connection()
        connection.request("POST", "/predict", RECORD)
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


@pytest.mark.robustness("load", "12 clients at once where 1 is scored and 3 may wait")
def test_requests_beyond_the_limit_are_refused_at_once(crowded: Service, fact: Callable[..., None]) -> None:
    """One is scored, three wait, the others have 503 with Retry-After before the first one is done."""
    answers = crowd(crowded, 12)
    assert Counter(status for status, *_ in answers) == {200: 4, 503: 8}
    for status, headers, content, seconds in answers:
        if status == 503:
            assert headers["retry-after"] == "1"
            assert content["type"] == "urn:skdeploy:problem:overloaded"
            assert seconds < CALL * 0.9
    slowest = max(seconds for status, *_, seconds in answers if status == 503)
    fact(f"8 refused within {slowest * 1000:.0f} ms", 4, 0)


@pytest.mark.parametrize("clients", [2, 12])
def test_probes_are_answered_in_the_crowd(crowded: Service, clients: int) -> None:
    """/health and /metrics wait for nobody; /ready predicts a record itself, and is never refused."""
    crowding = threading.Thread(target=crowd, args=(crowded, clients))
    crowding.start()
    time.sleep(CALL / 4)
    began = time.monotonic()
    assert {crowded.get(path)[0] for path in ("/health", "/metrics")} == {200}
    assert time.monotonic() - began < CALL / 2
    assert crowded.get("/ready")[0] == 200
    assert time.monotonic() - began < CALL * 3
    crowding.join()


@pytest.mark.robustness("load", "6 clients at once, each prediction 0.4 s, SKDEPLOY_REQUEST_TIMEOUT=0.6")
def test_requests_that_waited_too_long_are_refused(
    tmp_path: Path, model_file: Path, fact: Callable[..., None]
) -> None:
    """Of six at once, one is scored at once and one after the first; the others came too late."""
    with served(
        tmp_path, **settings(model_file, SKDEPLOY_REQUEST_TIMEOUT="0.6", SKDEPLOY_MAX_WAITING="0")
    ) as service:
        answers = crowd(service, 6)
    assert Counter(status for status, *_ in answers) == {200: 2, 503: 4}
    late = next(answer for answer in answers if answer[0] == 503)
    assert (late[1]["retry-after"], late[2]["type"]) == ("1", "urn:skdeploy:problem:timed-out")
    fact("4 refused once their time was over", 2, 0)


def test_a_refused_client_that_asks_again_at_once_is_let_rest(crowded: Service) -> None:
    """On a connection that is kept open, the next request is looked at a quarter of a second later."""
    crowding = threading.Thread(target=crowd, args=(crowded, 12))
    crowding.start()
    time.sleep(CALL / 2)
    connection = crowded.connection()
    times = []
    for _ in range(2):
        began = time.monotonic()
        connection.request("POST", "/predict", RECORD)
        response = connection.getresponse()
        times.append((response.status, time.monotonic() - began))
        response.read()
    crowding.join()
    connection.close()
    assert times[0][0] == 503
    assert times[0][1] < 0.2
    assert times[1][1] > 0.15


def test_requests_that_gather_are_one_call(tmp_path: Path, model_file: Path) -> None:
    """Without SKDEPLOY_BATCH_RECORDS=0 twelve at once take two or three calls, and none is refused."""
    with served(tmp_path, **settings(model_file, SKDEPLOY_BATCH_RECORDS="1000")) as service:
        began = time.monotonic()
        answers = crowd(service, 12)
        assert time.monotonic() - began < CALL * 5
    assert {status for status, *_ in answers} == {200}
