"""Drift for Prometheus; needs prometheus_client, and is imported by who has it.

    skdeploy_drift_psi{column}            the population stability index
    skdeploy_drift_null_share{column}
    skdeploy_drift_unseen_share{column}   of columns whose values are told apart
    skdeploy_drift_records                how many records these were made of

What cannot be said has no sample.
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from skdeploy.drift.psi import Drifted, records
from skdeploy.drift.window import Window

_PREFIX = "skdeploy_drift"
_MEANINGS = {
    "psi": "How far a column is from training data: the population stability index.",
    "null_share": "The share of nulls; of predictions, of records without one.",
    "unseen_share": "The share of values that training data had not.",
}


class WindowGauges(Collector):
    """The gauges of one window, which may be exchanged; of none there are none."""

    def __init__(self) -> None:
        self.window: Window | None = None

    def collect(self) -> list[GaugeMetricFamily]:
        """Prometheus' own form of it, up to now."""
        window = self.window
        if window is None:
            return []
        return families(window.drifted(), records(window.meter.sketch, window.counts))


def families(
    found: Mapping[str, Drifted], total: float, labels: Mapping[str, str] | None = None
) -> list[GaugeMetricFamily]:
    """Prometheus' own form of `drifted`.

    total     how many records it was made of
    labels    that every sample has, before `column`
    """
    labels = labels or {}
    made = []
    for name, meaning in _MEANINGS.items():
        family = GaugeMetricFamily(f"{_PREFIX}_{name}", meaning, labels=[*labels, "column"])
        for column, drifted in found.items():
            value = getattr(drifted, name)
            if value is not None:
                family.add_metric([*labels.values(), column], value)
        made.append(family)
    number = GaugeMetricFamily(f"{_PREFIX}_records", "Records that this is made of.", labels=[*labels])
    number.add_metric([*labels.values()], total)
    return [*made, number]
