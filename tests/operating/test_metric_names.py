"""The names of metric_names.py are those of the doors' code."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

import skdeploy.batch.metrics
import skdeploy.stream.kafka.metrics
import skdeploy.stream.kinesis.metrics
from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.reload import Control, PublishedState
from skdeploy.reload.published import Poll
from skdeploy.stream import kafka, kinesis
from skdeploy.web import create_app
from tests.live import ROOT
from tests.operating.metric_names import BATCH, STREAM, WEB

# Of fewer than 500 records no drift is reckoned: the first request below has 600.
GOOD = {"size": 11.5, "kind": "elm", "age": 3}


def exposed(model: Model, folder: Path) -> dict[str, set[str]]:
    """The samples of a web service that was asked, each with the names of its labels."""
    PublishedState(folder).note(Poll(polled="2013-11-05T08:00:00+00:00"))
    settings = WebSettings.from_env({"SKDEPLOY_STATE_DIR": str(folder), "SKDEPLOY_WATCH_SECONDS": "1"})
    app = create_app(model, settings, Control.from_settings(settings))
    client = app.test_client()
    client.post("/predict", json=[GOOD] * 600)
    client.post("/predict", json={})
    app.extensions["skdeploy"].metrics.reloaded(True)
    for _ in app.extensions["skdeploy"].metrics.beat(0.5):
        pass
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {one.name: set(one.labels) for family in families for one in family.samples}


def test_the_web_services_metrics_are_those_that_it_exposes(regressor: Model, tmp_path: Path) -> None:
    """Each is in a real answer of /metrics, with these labels, and no other is."""
    found = exposed(regressor, tmp_path)
    assert {name: found.get(name) for name in WEB} == WEB
    parts = re.compile(r"_(created|sum|count)$")
    assert {name for name in found if not parts.search(name)} == set(WEB)


def test_the_readme_lists_the_web_services_metrics() -> None:
    """Its table has each, with its labels, and no other."""
    text = (ROOT / "web-service" / "README.md").read_text()
    rows = re.findall(r"^\| `(skdeploy_\w+)` \| (.*?) \|", text, re.MULTILINE)
    listed = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
    assert listed == {name.removesuffix("_bucket"): labels - {"le"} for name, labels in WEB.items()}


def test_the_streams_metrics_are_exposed() -> None:
    """Each is of a family in the registry of a consumer."""
    both = (kafka.metrics.Metrics(), kinesis.metrics.Metrics())
    families = {family.name for one in both for family in one.registry.collect()}
    for name in STREAM:
        assert name.removesuffix("_bucket").removesuffix("_total") in families


def test_the_batch_doors_metrics_are_those_that_it_lists() -> None:
    """Each stands in the list of what a run says, with the labels it has beside the job's."""
    listed = dict(
        re.findall(r"^    (skdeploy_\w+)(\{\S+\})?", skdeploy.batch.metrics.__doc__ or "", re.MULTILINE)
    )
    for name, labels in BATCH.items():
        assert labels - {"batch_job"} == set(re.findall(r"\w+", listed[name]))
