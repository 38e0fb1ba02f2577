"""docs/drift.md says what is so."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry

from skdeploy.drift import Window
from skdeploy.drift.gauges import WindowGauges, families
from tests.drift.sketches import predictions, sketch, table
from tests.live import ROOT

TEXT = " ".join((ROOT / "docs" / "drift.md").read_text().split())


def test_every_metric_is_documented_and_no_other() -> None:
    """By its name and its label."""
    training = table()
    gauges = WindowGauges()
    registry = CollectorRegistry()
    registry.register(gauges)
    assert not list(registry.collect())
    gauges.window = Window(sketch(training), 10_000)
    gauges.window.add(training.rows(range(1000)), predictions(training)[:1000])
    told = [(family.name, set(family.samples[0].labels)) for family in registry.collect()]
    rows = re.findall(r"\| `(skdeploy_\w+)(\{column\})?` \|", TEXT)
    assert [(name, {"column"} if label else set()) for name, label in rows] == told
    (total,) = [family for family in registry.collect() if family.name == "skdeploy_drift_records"]
    assert total.samples[0].value == 1000


def test_a_batch_jobs_drift_has_its_label() -> None:
    """The names are those of every door."""
    found = families({}, 3, {"batch_job": "a"})
    assert [family.name for family in found][::3] == ["skdeploy_drift_psi", "skdeploy_drift_records"]
    assert found[-1].samples[0].labels == {"batch_job": "a"}
