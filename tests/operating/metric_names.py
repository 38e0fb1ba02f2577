"""The metrics that dashboard and alerts may name, with the labels that they have."""

from __future__ import annotations

import re

WEB = {
    "skdeploy_requests_total": {"route", "method", "status"},
    "skdeploy_request_duration_seconds_bucket": {"route", "le"},
    "skdeploy_phase_duration_seconds_bucket": {"phase", "le"},
    "skdeploy_records_total": {"result"},
    "skdeploy_rejected_cells_total": {"column", "reason"},
    "skdeploy_model_info": {"model", "version", "sha256", "engine"},
    "skdeploy_model_stale": set[str](),
    "skdeploy_model_reloads_total": {"result"},
    "skdeploy_reload_failing": set[str](),
    "skdeploy_requests_in_flight": set[str](),
    "skdeploy_loop_lag_seconds_bucket": {"le"},
    "skdeploy_loop_busy_seconds_total": set[str](),
    "skdeploy_workers": set[str](),
    "skdeploy_worker_deaths_total": {"reason"},
    "skdeploy_drift_psi": {"column"},
    "skdeploy_drift_null_share": {"column"},
    "skdeploy_drift_unseen_share": {"column"},
    "skdeploy_drift_records": set[str](),
}
BATCH = {
    "skdeploy_batch_last_run_rows": {"batch_job", "result"},
    "skdeploy_batch_last_run_exit_code": {"batch_job"},
    "skdeploy_batch_last_run_duration_seconds": {"batch_job"},
    "skdeploy_batch_last_success_timestamp_seconds": {"batch_job"},
}
STREAM = {
    "skdeploy_stream_events_total": set[str](),
    "skdeploy_stream_dead_letters_total": {"reason"},
    "skdeploy_stream_lag": {"topic", "partition"},
    "skdeploy_stream_behind_seconds": {"shard"},
    "skdeploy_stream_latency_seconds_bucket": {"le"},
}
LABELS: dict[str, set[str]] = {**WEB, **BATCH, **STREAM, "up": set()}

_NAME = re.compile(r"\b(skdeploy_\w+|up)\b(?:\{([^}]*)\})?")


def named(query: str) -> list[tuple[str, set[str]]]:
    """The metrics of a query in Prometheus' language, each with the labels that it is selected by."""
    labels = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
    return [(match[1], set(labels.findall(match[2] or ""))) for match in _NAME.finditer(query)]
