"""docs/drift.md says what is so."""

from __future__ import annotations

import re

from prometheus_client import CollectorRegistry

from skdeploy.drift import Window, learning, meter, psi, window
from skdeploy.drift.gauges import WindowGauges, families
from skdeploy.drift.psi import LEAST_RECORDS, SMALLEST_SHARE
from skdeploy.saving import sketching
from skdeploy.settings import SETTINGS
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
    (total,) = [family for family in registry.collect() if family.name == "skdeploy_drift_window_records"]
    assert total.samples[0].value == 1000


def test_a_batch_jobs_names_begin_with_its_own() -> None:
    """With the labels that all of its metrics have."""
    found = families({}, 3, prefix="skdeploy_batch_drift", counted="records", labels={"batch_job": "a"})
    assert [family.name for family in found][::3] == [
        "skdeploy_batch_drift_psi",
        "skdeploy_batch_drift_records",
    ]
    assert found[-1].samples[0].labels == {"batch_job": "a"}


def test_the_numbers_are_those_of_the_code() -> None:
    """How many rows, bins, records and cells; and what is said of the formula."""
    default = next(setting.default for setting in SETTINGS if setting.name == "DRIFT_WINDOW")
    for said in (
        f"{sketching._MOST_ROWS:,} of them taken by chance",
        f"more than {sketching._MOST_CELLS // sketching._MOST_ROWS} columns",
        f"at most {learning._MOST_VALUES} values, each in {learning._RECORDS_PER_VALUE} rows or more",
        f"the {learning._MOST_VALUES} most frequent",
        f"below {SMALLEST_SHARE:.4f} count as {SMALLEST_SHARE:.4f}",
        f"fewer than {LEAST_RECORDS} records there is no index",
        f"{2 * meter._MOST_OF_A_TABLE} records or more, about {meter._MOST_OF_A_TABLE} evenly spaced",
        f"`DRIFT_WINDOW` records ({int(default):,})",
        f"up to {window._MOST_CELLS:,} cells ({window._MOST_CELLS // 14:,} records of the flights' 14)",
        f"in 5 % of the records adds {psi([1, 0], [95, 5]):.2f}, in 1 % {psi([1, 0], [99, 1]):.2f}",
        f"nulls in 3 % of a column that had none add {psi([1, 0], [97, 3]):.2f}",
    ):
        assert said in TEXT, said
