"""What Prometheus is told of a run: in a file for its textfile collector, or through a pushgateway."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from skdeploy.batch.chunks import Outcome
from skdeploy.batch.job import Job
from skdeploy.batch.settings import BatchSettings
from skdeploy.redacting import redacted
from skdeploy.writing import write

_log = logging.getLogger(__name__)

_PUSH_SECONDS = 10.0
_READABLE = 0o644
STATUSES = ("completed", "skipped", "failed", "held", "interrupted", "not tried")


def publish(batch: BatchSettings, job: Job, outcomes: Sequence[Outcome], code: int) -> None:
    """Write METRICS_FILE and tell PUSHGATEWAY_URL, if they are set; what goes wrong is in the log alone."""
    if not batch.metrics_file and not batch.pushgateway_url:
        return
    from prometheus_client import generate_latest

    registry = _registry(job, outcomes, code)
    if batch.metrics_file:
        try:
            write(Path(batch.metrics_file), generate_latest(registry), _READABLE)
        except OSError as error:
            _log.error("METRICS_FILE is not written: %s", error)
    if batch.pushgateway_url:
        _push(batch.pushgateway_url, job.name, registry)


def _registry(job: Job, outcomes: Sequence[Outcome], code: int) -> Any:
    """The last run's numbers. They are gauges: a run is a process, and counts from nothing."""
    from prometheus_client import CollectorRegistry, Gauge

    registry = CollectorRegistry()

    def gauge(name: str, meaning: str, *labels: str) -> Any:
        return Gauge(f"skdeploy_batch_{name}", meaning, ["job", *labels], registry=registry)

    rows = gauge("last_run_rows", "Records of the last run, by what became of them.", "outcome")
    for outcome in ("read", "predicted", "rejected"):
        rows.labels(job.name, outcome).set(sum(getattr(one.counts, outcome) for one in outcomes))
    intervals = gauge("last_run_intervals", "Intervals of the last run, by what became of them.", "status")
    for status in STATUSES:
        intervals.labels(job.name, status).set(sum(one.status == status for one in outcomes))
    gauge("last_run_seconds", "How long the last run scored.").labels(job.name).set(
        sum(one.seconds for one in outcomes)
    )
    gauge("last_run_exit_code", "What the last run ended with; 0 is well.").labels(job.name).set(code)
    now = time.time()
    gauge("last_run_timestamp_seconds", "When the last run ended.").labels(job.name).set(now)
    completed = [one.interval for one in outcomes if one.status in ("completed", "skipped")]
    if completed:
        end = gauge(
            "completed_interval_end_timestamp_seconds", "The end of the run's last completed interval."
        )
        end.labels(job.name).set(max(completed).end.timestamp())
    passport = job.model.passport
    model = gauge("model_info", "The model that scored.", "name", "version", "sha256", "engine")
    model.labels(job.name, passport.name, passport.version, job.model.digest, job.model.engine.name).set(1)
    return registry


def _push(url: str, name: str, registry: Any) -> None:
    """Replace what the gateway has of this job; credentials of the URL go into a header."""
    from prometheus_client import push_to_gateway
    from prometheus_client.exposition import basic_auth_handler, default_handler

    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    def handler(**request: Any) -> Any:
        if parts.username is None:
            return default_handler(**request)
        return basic_auth_handler(**request, username=parts.username, password=parts.password)

    try:
        push_to_gateway(bare, job=name, registry=registry, timeout=_PUSH_SECONDS, handler=handler)
    except Exception as error:  # a gateway that is down fails no job
        _log.error("The pushgateway was not told: %s: %s", type(error).__name__, redacted(str(error)))
