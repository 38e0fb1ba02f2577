"""A real Prometheus with the shipped rules scrapes a service and a consumer, and evaluates all queries."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import start_http_server

from skdeploy.stream.kafka.metrics import Metrics
from tests.live import ROOT, Service, free_port, wait_until
from tests.operating.metric_names import WEB, named
from tests.operating.test_monitoring import QUERIES
from tests.operating.traffic import ask_all, visited

pytestmark = pytest.mark.heavy
RULES = ROOT / "web-service" / "monitoring" / "alerts.yml"
OF_WEB = [query for query in QUERIES if {name for name, _ in named(query)} <= {*WEB, "up"}]


def _asked(url: str, path: str, **query: str) -> Any:
    try:
        with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


def _scrapes(url: str) -> int:
    query = 'count_over_time(skdeploy_workers{job="skdeploy"}[10m])'
    found = (_asked(url, "/api/v1/query", query=query) or {}).get("result")
    return int(found[0]["value"][1]) if found else 0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    with visited(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """The address of a Prometheus that has scraped a service twice, and a consumer's registry."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian: apt-get install prometheus)")
    folder: Path = tmp_path_factory.mktemp("prometheus")
    consumer, port = free_port(), free_port()
    server, thread = start_http_server(consumer, "127.0.0.1", Metrics().registry)
    jobs = [
        {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}
        for name, target in (("skdeploy-stream", consumer), ("skdeploy", service.port))
    ]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration = {"global": every, "rule_files": [str(RULES)], "scrape_configs": jobs}
    (folder / "p.yml").write_text(yaml.safe_dump(configuration))
    options = (f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, f"--config.file={folder}/p.yml", *options], stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        up = 'up{job="skdeploy-stream"} == 1'
        wait_until(lambda: bool((_asked(url, "/api/v1/query", query=up) or {}).get("result")), "a scrape")
        wait_until(lambda: _scrapes(url) >= 2, "two scrapes of the service")
        ask_all(service)
        before = _scrapes(url)
        wait_until(lambda: _scrapes(url) >= before + 3, "three more")
        yield url
    finally:
        process.terminate()
        process.wait(20)
        server.shutdown()
        server.server_close()
        thread.join()


def test_every_rule_is_evaluated(prometheus: str) -> None:
    """No rule has an error, and each has been looked at."""

    def healthy() -> bool:
        groups = _asked(prometheus, "/api/v1/rules")["groups"]
        return all(rule["health"] == "ok" for group in groups for rule in group["rules"])

    wait_until(healthy, "all rules are evaluated")


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_of_the_dashboard_is_understood(prometheus: str, query: str) -> None:
    """Prometheus answers each, if only with nothing: there is no batch job here."""
    text = query.replace("$__rate_interval", "1m")
    assert _asked(prometheus, "/api/v1/query", query=text) is not None


def test_the_events_of_a_consumer_are_seen(prometheus: str) -> None:
    """A series of the consumer's registry is there, with the job's name that the rules want."""
    found = _asked(prometheus, "/api/v1/query", query="skdeploy_stream_events_total")["result"]
    assert [one["metric"]["job"] for one in found] == ["skdeploy-stream"]


@pytest.mark.parametrize("query", OF_WEB)
def test_every_query_about_the_web_service_finds_something(prometheus: str, query: str) -> None:
    """Traffic made series for each: the names, labels and functions are those of the real output."""
    text = query.replace("$__rate_interval", "1m")
    assert _asked(prometheus, "/api/v1/query", query=text)["result"]
