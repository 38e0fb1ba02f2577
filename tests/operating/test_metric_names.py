"""The names of metric_names.py are those of the doors' code."""

from __future__ import annotations

import re

import skdeploy.batch.metrics
from skdeploy.stream.kafka.metrics import Metrics
from tests.operating.metric_names import BATCH, STREAM


def test_the_streams_metrics_are_exposed() -> None:
    """Each is of a family in the registry of a consumer."""
    families = {family.name for family in Metrics().registry.collect()}
    for name in STREAM:
        assert name.removesuffix("_bucket").removesuffix("_total") in families


def test_the_batch_doors_metrics_are_those_that_it_lists() -> None:
    """Each stands in the list of what a run says, with the labels it has beside the job's."""
    listed = dict(
        re.findall(r"^    (skdeploy_\w+)(\{\S+\})?", skdeploy.batch.metrics.__doc__ or "", re.MULTILINE)
    )
    for name, labels in BATCH.items():
        assert labels - {"batch_job"} == set(re.findall(r"\w+", listed[name]))
