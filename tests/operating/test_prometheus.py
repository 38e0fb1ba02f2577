"""A real Prometheus with the shipped rules scrapes a service and a consumer, and evaluates all queries."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from prometheus_client import start_http_server

from examples.servers.prometheus import Prometheus, prometheus
from skdeploy.stream.kafka.metrics import Metrics
from tests.live import ROOT, Service, free_port, wait_until
from tests.operating.metric_names import WEB, named
from tests.operating.test_monitoring import QUERIES
from tests.operating.traffic import UNSCORABLE, ask_all, fresh, visited

pytestmark = pytest.mark.heavy
RULES = ROOT / "web-service" / "monitoring" / "alerts.yml"
OF_WEB = [query for query in QUERIES if {name for name, _ in named(query)} <= {*WEB, "up"}]


def _scrapes(asked: Prometheus) -> float:
    return asked.number('count_over_time(skdeploy_workers{job="skdeploy"}[10m])')


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    with visited(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def asked(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Generator[Prometheus]:
    """A Prometheus that has scraped a service several times, and a consumer's registry."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    consumer = free_port()
    server, thread = start_http_server(consumer, "127.0.0.1", Metrics().registry)
    jobs = {"skdeploy-stream": consumer, "skdeploy": service.port}
    try:
        with prometheus(tmp_path_factory.mktemp("prometheus"), jobs, [RULES]) as running:
            wait_until(lambda: bool(running.ask('up{job="skdeploy-stream"} == 1')), "a scrape")
            wait_until(lambda: _scrapes(running) >= 2, "two scrapes of the service")
            ask_all(service)
            before = _scrapes(running)
            wait_until(lambda: _scrapes(running) >= before + 3, "three more")
            yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_every_rule_is_evaluated(asked: Prometheus) -> None:
    """No rule has an error, and each has been looked at."""

    def healthy() -> bool:
        groups = asked.get("/api/v1/rules")["groups"]
        return all(rule["health"] == "ok" for group in groups for rule in group["rules"])

    wait_until(healthy, "all rules are evaluated")


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_dashboard_is_understood(asked: Prometheus, query: str) -> None:
    """Prometheus answers each, if only with nothing: there is no batch job here."""
    text = query.replace("$__rate_interval", "1m")
    asked.ask(text)


def test_the_events_of_a_consumer_are_seen(asked: Prometheus) -> None:
    """A series of the consumer's registry is there, with the job's name that the rules want."""
    found = asked.ask("skdeploy_stream_events_total")
    assert [one["metric"]["job"] for one in found] == ["skdeploy-stream"]


@pytest.mark.parametrize("query", OF_WEB)
def test_every_query_about_the_web_service_finds_something(asked: Prometheus, query: str) -> None:
    """Traffic made series for each: the names, labels and functions are those of the real output."""
    text = query.replace("$__rate_interval", "1m")
    assert asked.ask(text)


def test_a_first_failure_raises_its_alert(tmp_path: Path) -> None:
    """The first worker that is killed, and the first record without a prediction: both alerts fire."""
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    with fresh(tmp_path) as service, prometheus(tmp_path, {"skdeploy": service.port}, [RULES]) as asked:
        wait_until(lambda: _scrapes(asked) >= 2, "two scrapes")
        os.kill(service.workers()[0], signal.SIGKILL)
        assert service.post(json.dumps(UNSCORABLE).encode())[0] == 500

        def firing() -> set[str]:
            alerts = asked.get("/api/v1/alerts")["alerts"]
            return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

        wait_until(
            lambda: firing() >= {"SkdeployWorkersDying", "SkdeployUnscorable"}, lambda: f"{firing()}", 40
        )
