"""web-service/compose.yaml, Prometheus' configuration and the dashboard: they name what is there."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from skdeploy.config import DECLARED, WebSettings
from tests.live import ROOT
from tests.operating.metric_names import LABELS, named
from tests.operating.test_alert_rules import RULES

FOLDER = ROOT / "web-service"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
PROMETHEUS = yaml.safe_load((FOLDER / "monitoring" / "prometheus.yml").read_text())
DASHBOARD = json.loads((FOLDER / "monitoring" / "grafana" / "json" / "skdeploy.json").read_text())
PANELS = {panel["title"]: panel for panel in DASHBOARD["panels"] if panel["type"] != "row"}
QUERIES = [target["expr"] for panel in PANELS.values() for target in panel["targets"]]


def grafana(name: str) -> Any:
    return yaml.safe_load((FOLDER / "monitoring" / "grafana" / name).read_text())


def test_images_are_pinned_and_ports_are_open_here_alone() -> None:
    """Another machine reaches nothing, and another day brings no other version."""
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        if name != "service":
            assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])


def test_nothing_may_write_but_to_its_volumes() -> None:
    """Each container is read-only, has no capability, and cannot gain one."""
    for service in SERVICES.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_what_is_mounted_is_there() -> None:
    """Files and folders exist; named volumes are declared."""
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (FOLDER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_each_waits_until_the_one_before_it_is_healthy() -> None:
    """What is waited for has a health check, in the file or in the image."""
    for service in SERVICES.values():
        for needed, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert needed == "service" or SERVICES[needed]["healthcheck"]["test"]
    assert re.search("^HEALTHCHECK --", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


def test_the_service_may_drain_and_its_variables_are_settings() -> None:
    """Docker waits longer than SKDEPLOY_GRACEFUL_TIMEOUT; nothing is set that nobody reads."""
    environment = SERVICES["service"].get("environment", {})
    settings = WebSettings.from_env(environment)
    assert set(environment) <= set(DECLARED)
    patience = int(SERVICES["service"]["stop_grace_period"].removesuffix("s"))
    assert patience > settings.graceful_timeout + settings.drain_delay


def test_prometheus_asks_the_service_and_grafana_asks_prometheus() -> None:
    """Names and ports of one file are those of the others."""
    targets = {one["job_name"]: one["static_configs"][0]["targets"] for one in PROMETHEUS["scrape_configs"]}
    assert targets == {"skdeploy": [f"service:{WebSettings.from_env({}).port}"]}
    (source,) = grafana("datasources/prometheus.yaml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert source["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]
    assert {panel["datasource"]["uid"] for panel in PANELS.values()} == {source["uid"]}
    (provider,) = grafana("dashboards/skdeploy.yaml")["providers"]
    assert f"./monitoring/grafana/json:{provider['options']['path']}:ro" in SERVICES["grafana"]["volumes"]


def test_the_rules_are_where_prometheus_looks() -> None:
    """rule_files names the alerts' file, mounted beside the configuration."""
    assert PROMETHEUS["rule_files"] == ["alerts.yml"]
    assert "./monitoring/alerts.yml:/etc/prometheus/alerts.yml:ro" in SERVICES["prometheus"]["volumes"]


@pytest.mark.parametrize("query", [*QUERIES, *(RULES[name]["expr"] for name in sorted(RULES))])
def test_a_query_names_metrics_and_labels_that_there_are(query: str) -> None:
    """Dashboard and alerts ask for no metric, and match no label, that nobody exposes."""
    for name, matched in named(query):
        assert name in LABELS
        assert matched <= LABELS[name] | {"job", "instance"}


def test_the_autoscalers_metric_is_exposed() -> None:
    """The HPA's metric is one of the web service's."""
    hpa = yaml.safe_load((FOLDER / "kubernetes" / "hpa.yaml").read_text())
    assert hpa["spec"]["metrics"][0]["pods"]["metric"]["name"] in LABELS


def test_panels_do_not_overlap_and_have_names_of_their_own() -> None:
    """Every place of the dashboard has one panel; titles and ids tell them apart."""
    panels = DASHBOARD["panels"]
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len({panel["id"] for panel in panels}) == len(set(places)) == len(panels)
    assert len(PANELS) == len([panel for panel in panels if panel["type"] != "row"])


def test_the_documents_name_what_is_started() -> None:
    """The README's ports are the file's."""
    readme = Path(FOLDER / "README.md").read_text()
    for service in SERVICES.values():
        for port in service["ports"]:
            assert f"localhost:{port.split(':')[1]}" in readme
