"""What a backend does: post flights to the service, use the predictions, read the refusals.

pytest test_predict.py        starts a service of its own, or asks the one at SERVICE_URL
python test_predict.py        posts one flight to SERVICE_URL (http://127.0.0.1:9696) and prints the answer
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import requests

FLIGHT: dict[str, Any] = {
    "origin": "JFK",
    "dest": "LAX",
    "carrier": "DL",
    "month": 11,
    "weekday": 4,
    "hour": 18,
    "distance": 2475,
    "temp": 48.0,
    "dewp": 33.1,
    "humid": 56.4,
    "wind_dir": 250,
    "wind_speed": 12.7,
    "pressure": None,
}


def predict(url: str, flights: Any, **query: str) -> requests.Response:
    """The service's answer for one flight (a dict) or several (a list of dicts)."""
    return requests.post(f"{url}/predict", json=flights, params=query, timeout=10)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The service's address."""
    if "SERVICE_URL" in os.environ:
        yield os.environ["SERVICE_URL"]
        return
    from tests.live import served

    with served(tmp_path_factory.mktemp("service")) as service:
        yield service.url


def test_one_flight(url: str) -> None:
    """One flight gets one prediction: across the country takes five to seven hours."""
    response = predict(url, FLIGHT)
    assert response.status_code == 200
    answer = response.json()
    assert 300 < answer["prediction"] < 420
    assert set(answer["model"]) == {"name", "version"}


def test_many_flights(url: str) -> None:
    """A list gets a list in the same order, each flight with the id that it came with."""
    boston = FLIGHT | {"dest": "BOS", "distance": 187}
    response = predict(url, [FLIGHT | {"id": "DL 421"}, boston | {"id": "B6 18"}])
    assert response.status_code == 200
    far, near = response.json()["predictions"]
    assert (far["id"], near["id"]) == ("DL 421", "B6 18")
    assert near["prediction"] < 60 < far["prediction"]


def test_bad_flights(url: str) -> None:
    """Flights that do not fit are refused, every bad cell named."""
    no_carrier = {name: value for name, value in FLIGHT.items() if name != "carrier"}
    response = predict(url, [FLIGHT | {"distance": "2475", "hour": 18.5}, no_carrier])
    assert response.status_code == 422
    assert response.headers["Content-Type"] == "application/problem+json"
    errors = response.json()["errors"]
    assert {(error["record"], error["column"], error["code"], error["got"]) for error in errors} == {
        (0, "distance", "type", 'string "2475"'),
        (0, "hour", "type", "number 18.5"),
        (1, "carrier", "missing", "nothing: the column is missing"),
    }


def test_some_bad_flights(url: str) -> None:
    """With errors=partial the good flights are answered beside the bad ones."""
    response = predict(url, [FLIGHT, FLIGHT | {"month": None}], errors="partial")
    assert response.status_code == 200
    good, bad = response.json()["predictions"]
    assert 300 < good["prediction"] < 420
    assert bad["index"] == 1
    assert bad["error"]["errors"][0]["column"] == "month"


if __name__ == "__main__":
    print(predict(os.environ.get("SERVICE_URL", "http://127.0.0.1:9696"), FLIGHT).json())
