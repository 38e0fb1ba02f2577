"""What a run says to Prometheus: in a file for its node exporter's textfile collector, to a pushgateway.

    skdeploy_batch_last_run_rows{result}               read, predicted and rejected records
    skdeploy_batch_last_run_intervals{status}          completed, skipped, failed, held, ...
    skdeploy_batch_last_run_duration_seconds
    skdeploy_batch_last_run_timestamp_seconds          when it ended
    skdeploy_batch_last_run_exit_code                  batch/README.md says what it means
    skdeploy_batch_last_success_timestamp_seconds      when a run ended with 0, this one or an earlier one
    skdeploy_batch_completed_interval_end_timestamp_seconds   of the latest interval of the last run that
                                                       had one which is scored, or was before
    skdeploy_model_info{model,version,sha256,engine}
    skdeploy_drift_psi{column}, _null_share, _unseen_share, _records   of what the last run scored, if
                                                       it did any; see skdeploy.drift.gauges

All are gauges with the label `batch_job`, for Prometheus has a `job` of its own. What cannot be told
fails no job: it is in the log.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from skdeploy import writing
from skdeploy.batch.chunks import Outcome
from skdeploy.batch.job import Job
from skdeploy.config import BatchSettings
from skdeploy.drift import drifted
from skdeploy.redacting import redacted
from skdeploy.telemetry import MODEL_INFO, MODEL_LABELS, labels_of

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily, Metric

_log = logging.getLogger(__name__)

_PREFIX = "skdeploy_batch_"
_SUCCESS = f"{_PREFIX}last_success_timestamp_seconds"
_COMPLETED = f"{_PREFIX}completed_interval_end_timestamp_seconds"
# What a run that has none of them leaves as it was.
_KEPT = {_SUCCESS, _COMPLETED}
_READABLE = 0o644
_RESULTS = ("read", "predicted", "rejected")
_STATUSES = ("completed", "skipped", "failed", "held", "interrupted", "not tried")
_TIMEOUT = 5.0
# By the values of their labels.
_Values = Mapping[tuple[str, ...], float]


def publish(batch: BatchSettings, job: Job, outcomes: Sequence[Outcome], code: int) -> None:
    """Write SKDEPLOY_METRICS_FILE and tell SKDEPLOY_PUSHGATEWAY_URL, where they are set.

    code   the run's exit code
    """
    if not batch.metrics_file and not batch.pushgateway_url:
        return
    try:
        families = _families(job, outcomes, code)
    except ModuleNotFoundError:
        _log.error("prometheus_client is not installed: run pip install 'skdeploy[batch]'")
        return
    if batch.metrics_file:
        _write(Path(batch.metrics_file), job.name, families)
    if batch.pushgateway_url:
        _push(batch.pushgateway_url, job.name, families)


def _families(job: Job, outcomes: Sequence[Outcome], code: int) -> list[Metric]:
    counts, statuses = [outcome.counts for outcome in outcomes], [outcome.status for outcome in outcomes]
    rows: _Values = {(result,): sum(getattr(count, result) for count in counts) for result in _RESULTS}
    intervals: _Values = {
        (status,): statuses.count(status) for status in dict.fromkeys((*_STATUSES, *statuses))
    }
    seconds, now = sum(outcome.seconds for outcome in outcomes), time.time()
    found = [
        _gauge(job, f"{_PREFIX}last_run_rows", "Records of the last run.", rows, "result"),
        _gauge(job, f"{_PREFIX}last_run_intervals", "Intervals of the last run.", intervals, "status"),
        _gauge(job, f"{_PREFIX}last_run_duration_seconds", "Seconds that the intervals took.", {(): seconds}),
        _gauge(job, f"{_PREFIX}last_run_timestamp_seconds", "When the last run ended.", {(): now}),
        _gauge(job, f"{_PREFIX}last_run_exit_code", "The exit code of the last run.", {(): code}),
        _gauge(job, MODEL_INFO, "The model of the last run.", {labels_of(job.model): 1}, *MODEL_LABELS),
    ]
    if code == 0:
        found.append(_gauge(job, _SUCCESS, "When a run last ended with 0.", {(): now}))
    ends = [outcome.interval.end for outcome in outcomes if outcome.status in ("completed", "skipped")]
    if ends:
        end = max(map(datetime.timestamp, ends))
        found.append(_gauge(job, _COMPLETED, "The end of the latest interval that is scored.", {(): end}))
    return [*found, *_drift(job)]


def _drift(job: Job) -> list[GaugeMetricFamily]:
    from skdeploy.drift.gauges import families

    tally = job.scorer.drift
    if tally is None or not tally.records:
        return []
    found = drifted(tally.meter.sketch, tally.counts)
    labels = {"batch_job": job.name}
    return families(found, tally.records, labels)


def _gauge(job: Job, name: str, meaning: str, values: _Values, *labels: str) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, meaning, labels=["batch_job", *labels])
    for key, value in values.items():
        family.add_metric([job.name, *key], value)
    return family


def _write(path: Path, job: str, families: Sequence[Metric]) -> None:
    from prometheus_client import generate_latest

    try:
        kept = _kept(path, job, _KEPT - {family.name for family in families})
        writing.write(path, generate_latest(_registry([*families, *kept])), _READABLE)
    except OSError as error:
        _log.error("SKDEPLOY_METRICS_FILE: %s cannot be written: %s", path, error.strerror or error)


def _kept(path: Path, job: str, names: set[str]) -> list[Metric]:
    """Of the file that is there, the job's metrics of these names."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        there = list(text_string_to_metric_families(path.read_text()))
    except (FileNotFoundError, ValueError):
        return []
    return [
        family
        for family in there
        if family.name in names and all(sample.labels == {"batch_job": job} for sample in family.samples)
    ]


def _registry(families: Sequence[Metric]) -> CollectorRegistry:
    from prometheus_client import CollectorRegistry
    from prometheus_client.registry import Collector

    class Collected(Collector):
        def collect(self) -> Sequence[Metric]:
            return families

    registry = CollectorRegistry()
    registry.register(Collected())
    return registry


def _push(url: str, job: str, families: Sequence[Metric]) -> None:
    """Replace what the gateway has by the same names; an earlier success stays where this run is none."""
    from prometheus_client import pushadd_to_gateway

    try:
        gateway, handler = _addressed(url)
        pushadd_to_gateway(gateway, job, _registry(families), timeout=_TIMEOUT, handler=handler)
    except Exception as error:
        # Whatever a gateway or a URL may do; the predictions are written.
        _log.error("SKDEPLOY_PUSHGATEWAY_URL: the metrics could not be pushed: %s", _said(error))


def _addressed(url: str) -> tuple[str, Callable[..., Any]]:
    """The URL without its credentials, and what sends them."""
    from prometheus_client.exposition import basic_auth_handler, default_handler

    parts = urlsplit(url if "://" in url else f"http://{url}")
    gateway = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
    if parts.username is None:
        return gateway, default_handler
    username, password = unquote(parts.username), unquote(parts.password or "")
    return gateway, partial(basic_auth_handler, username=username, password=password)


def _said(error: Exception) -> str:
    """What went wrong; of a URL that is none, only that: its parts may be those of a password."""
    return redacted(str(error)) if isinstance(error, OSError) else f"it is no URL ({type(error).__name__})"
