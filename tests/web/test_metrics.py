"""What one process says at /metrics, of requests that were really made."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from skdeploy.config import WebSettings
from skdeploy.errors import CELL_CODES
from skdeploy.model import Model
from skdeploy.web import create_app
from skdeploy.web.context import CONTEXT, RequestContext
from skdeploy.web.metrics import OTHER_METHOD, RECORD, UNKNOWN, Metrics
from skdeploy.web.routes import OTHER, ROUTES
from skdeploy.web.serving import Slot
from tests.web.contexts import asked

GOOD = {"size": 11.5, "kind": "elm", "age": 3}


@pytest.fixture
def client(regressor: Model) -> FlaskClient:
    return create_app(regressor, WebSettings.from_env({})).test_client()


def samples(client: FlaskClient, name: str) -> dict[tuple[str, ...], float]:
    """The values of a sample that are not 0, by those of its labels in order of the labels' names."""
    return {labels: value for labels, value in exposed(client, name).items() if value}


def exposed(client: FlaskClient, name: str) -> dict[tuple[str, ...], float]:
    """The same of all."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        tuple(value for _, value in sorted(one.labels.items())): one.value
        for family in families
        for one in family.samples
        if one.name == f"skdeploy_{name}"
    }


def test_requests_are_counted_by_route_method_and_status(client: FlaskClient) -> None:
    """Each request once; the scrape itself is counted for the next one."""
    client.post("/predict", json=GOOD)
    client.post("/predict", json=GOOD)
    client.post("/predict", data=b"no JSON")
    client.post("/predict", json={})
    client.get("/predict")
    client.get("/health")
    assert samples(client, "requests_total") == {
        ("POST", "/predict", "200"): 2,
        ("POST", "/predict", "400"): 1,
        ("POST", "/predict", "422"): 1,
        ("GET", "/predict", "405"): 1,
        ("GET", "/health", "200"): 1,
    }
    assert samples(client, "requests_total")["GET", "/metrics", "200"] == 1


def test_what_callers_invent_shares_a_label(client: FlaskClient) -> None:
    """Paths and methods that there are not make one series, not one each."""
    for i in range(3):
        client.get(f"/invented/{i}")
        client.open("/predict", method=f"INVENTED{i}")
    counted = samples(client, "requests_total")
    assert counted == {("GET", OTHER.path, "404"): 3, (OTHER_METHOD, "/predict", "405"): 3}


def test_phases_are_those_that_were_reached(client: FlaskClient) -> None:
    """A refused record is parsed, but neither predicted nor encoded; a body that is no JSON is none of it."""
    client.post("/predict", json=GOOD)
    client.post("/predict", json={})
    client.post("/predict", data=b"no JSON")
    counts = samples(client, "phase_duration_seconds_count")
    assert counts == {("parse",): 2, ("predict",): 1, ("encode",): 1}
    assert samples(client, "request_duration_seconds_count")["/predict",] == 3
    assert 0 < samples(client, "request_duration_seconds_sum")["/predict",] < 60


def test_records_are_counted_by_what_became_of_them(client: FlaskClient) -> None:
    """With errors=partial some of a list are predicted, and the others rejected."""
    client.post("/predict?errors=partial", json=[GOOD, GOOD, GOOD | {"age": "3"}])
    assert samples(client, "records_total") == {("predicted",): 2, ("rejected",): 1}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"size": 1.0, "kind": "elm"}, "age"),
    "null": (GOOD | {"age": None}, "age"),
    "unknown_column": (GOOD | {"invented": 1}, UNKNOWN),
    "category": (GOOD | {"kind": "baobab"}, "kind"),
    "range": (GOOD | {"age": 2**63}, "age"),
    "precision": (GOOD | {"size": 2**53 + 1}, "size"),
    "type": (GOOD | {"size": "11.5"}, "size"),
}


@pytest.mark.parametrize("reason", CELL_CODES)
def test_bad_cells_are_counted_by_column_and_reason(client: FlaskClient, reason: str) -> None:
    """Every reason that there is, by a record that has it."""
    record, column = BAD[reason]
    assert client.post("/predict", json=record).status_code == 422
    assert samples(client, "rejected_cells_total") == {(column, reason): 1}


def test_requests_that_fail_are_counted_from_0(client: FlaskClient) -> None:
    """Whatever is asked, and however it is answered, adds to a counter that was there before."""
    started = {*exposed(client, "requests_total")}
    for path in ("/predict", "/health", "/ready", "/metrics", "/", "/openapi.json", "/docs", "/invented"):
        for method in ("GET", "HEAD", "POST", "PUT", "OPTIONS", "INVENTED"):
            client.open(path, method=method, data=b"no JSON")
    client.post("/predict", json={})
    client.post("/predict", json=GOOD, headers={"Content-Type": "text/csv"})
    assert {*exposed(client, "requests_total")} == started
    assert {("POST", "/predict", "500"), ("POST", "/predict", "503"), ("POST", "/predict", "401")} <= started


def test_counters_stand_at_0_from_the_start(client: FlaskClient) -> None:
    """A first failure is an increase, whatever fails first."""
    for name, values in (
        ("records_total", ("predicted", "rejected", "unscorable", "unanswered")),
        ("model_reloads_total", ("ok", "failed")),
        ("worker_deaths_total", ("exit", "killed", "out_of_memory", "timeout")),
        ("phase_duration_seconds_count", ("parse", "predict", "encode")),
        ("request_duration_seconds_count", ("/predict",)),
    ):
        found = exposed(client, name)
        found.pop(("/metrics",), None)
        assert found == {(value,): 0 for value in values}
    cells = exposed(client, "rejected_cells_total")
    assert set(cells.values()) == {0}
    assert {("kind", "category"), ("age", "range"), (UNKNOWN, "unknown_column"), (RECORD, "type")} <= {*cells}


def test_the_edges_of_durations_are_at_most_a_quarter_apart(client: FlaskClient) -> None:
    """From 0.1 ms to 30 s."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    edges = [
        float(one.labels["le"])
        for family in families
        for one in family.samples
        if one.name == "skdeploy_request_duration_seconds_bucket"
    ][:-1]
    assert (edges[0], edges[-1] >= 30) == (0.0001, True)
    assert all(after <= before * 1.2501 for before, after in pairwise(edges))


def test_good_records_of_a_refused_list_are_unanswered(client: FlaskClient) -> None:
    """A list is refused for one record: the others are neither predicted nor rejected."""
    assert client.post("/predict", json=[GOOD, GOOD, GOOD | {"age": "3"}]).status_code == 422
    assert samples(client, "records_total") == {("unanswered",): 2, ("rejected",): 1}


def test_a_record_that_is_none_has_no_column(client: FlaskClient) -> None:
    """An element of a list that is no object is a bad record, not a column that a caller named."""
    assert client.post("/predict", json=[GOOD, 7]).status_code == 422
    assert samples(client, "rejected_cells_total") == {(RECORD, "type"): 1}


def test_the_model_is_told(client: FlaskClient, regressor: Model) -> None:
    """Name, version, engine and the digest's start, and one worker."""
    passport = regressor.passport
    labels = (regressor.engine.name, passport.name, regressor.digest[:16], passport.version)
    assert samples(client, "model_info") == {labels: 1}
    assert samples(client, "workers") == {(): 1}


def test_requests_in_flight_are_a_mean_of_time(client: FlaskClient) -> None:
    """The scrape is in flight itself, and nobody else: between nobody and one."""
    assert 0 <= exposed(client, "requests_in_flight")[()] <= 1


def test_openmetrics_by_accept(client: FlaskClient) -> None:
    """Who asks for OpenMetrics gets it, with one end; others the older text."""
    client.post("/predict", json=GOOD)
    answer = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.content_type.startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
    assert answer.text.count("# EOF") == 1
    plain = client.get("/metrics")
    assert plain.content_type.startswith("text/plain")
    assert "# EOF" not in plain.text


def test_without_metrics_there_is_no_page(regressor: Model) -> None:
    """SKDEPLOY_METRICS=0: /metrics is 404, and predictions are answered."""
    client = create_app(regressor, WebSettings.from_env({"SKDEPLOY_METRICS": "0"})).test_client()
    assert client.get("/metrics").status_code == 404
    assert client.post("/predict", json=GOOD).status_code == 200


def test_a_worker_that_just_starts_is_passed_over(regressor: Model, tmp_path: Path) -> None:
    """Its file is empty before it is filled; the others' counts are told."""
    (tmp_path / "counter_1.db").touch()
    metrics = Metrics(Slot(regressor, WebSettings.from_env({})), tmp_path)
    assert b"skdeploy_" in metrics.render("text/plain")[0]


def waiting(path: str, *, shed: bool) -> RequestContext:
    """A request that came when too many waited, or that waited for ever itself."""
    context = asked({"REQUEST_METHOD": "GET", "PATH_INFO": path})
    context.shed, context.waited = shed, 1e9
    return context


def is_told_to_come_back(answer: Any, kind: str) -> None:
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.content_type == "application/problem+json"
    assert answer.json["type"].endswith(kind)


@pytest.mark.parametrize(("shed", "kind"), [(True, "overloaded"), (False, "timed-out")])
def test_who_cannot_be_answered_is_told_and_counted(client: FlaskClient, shed: bool, kind: str) -> None:
    """One too many, or one that waited for ever: 503 with Retry-After; probes are answered."""
    for route in ROUTES:
        environ = {CONTEXT: waiting(route.path, shed=shed)}
        if route.probe:
            assert client.get(route.path, environ_overrides=environ).status_code == 200
    environ = {CONTEXT: waiting("/predict", shed=shed)}
    is_told_to_come_back(client.post("/predict", json=GOOD, environ_overrides=environ), kind)
    assert samples(client, "requests_total")["GET", "/predict", "503"] == 1
    assert client.post("/predict", json=GOOD).status_code == 200
