"""Series at which each alert fires, and such at which it does not, in promtool's notation."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Case:
    """What an alert looks at, and which labels it then has.

    series   name and labels -> values, a value per minute
    minute   when it is asked
    labels   of the alert that fires, but its severity; None: none does
    """

    alert: str
    series: dict[str, str]
    labels: dict[str, str] | None
    minute: int = 30
    why: str = field(default="")


WEB = {"job": "skdeploy"}
ONE = {"job": "skdeploy", "instance": "a"}
_REQUESTS = "skdeploy_requests_total"
_BUCKET = "skdeploy_request_duration_seconds_bucket"
_RECORDS = "skdeploy_records_total"


def _requests(status: str, route: str = "/predict") -> str:
    return f'{_REQUESTS}{{job="skdeploy",instance="a",route="{route}",method="POST",status="{status}"}}'


def _buckets(fast: str, slow: str) -> dict[str, str]:
    labels = 'job="skdeploy",instance="a",route="/predict"'
    return {
        f'{_BUCKET}{{{labels},le="0.5"}}': fast,
        f'{_BUCKET}{{{labels},le="1.0"}}': slow,
        f'{_BUCKET}{{{labels},le="+Inf"}}': slow,
    }


def _lag(fast: str, slow: str) -> dict[str, str]:
    name = "skdeploy_loop_lag_seconds_bucket"
    edges = {"0.1": fast, "0.25": slow, "+Inf": slow}
    return {_web(name, f',le="{edge}"'): values for edge, values in edges.items()}


def _deaths(reason: str) -> str:
    return _web("skdeploy_worker_deaths_total", f',reason="{reason}"')


def _web(name: str, labels: str = "") -> str:
    return f'{name}{{job="skdeploy",instance="a"{labels}}}'


def _records(result: str) -> str:
    return _web(_RECORDS, f',result="{result}"')


def _batch(name: str) -> str:
    return f'skdeploy_batch_{name}{{batch_job="flights"}}'


def _stream(name: str, labels: str = "") -> str:
    return f'{name}{{job="skdeploy-stream",instance="a"{labels}}}'


_PSI = _web("skdeploy_drift_psi", ',column="temp"')
_WINDOW = _web("skdeploy_drift_records")
_LAG = _stream("skdeploy_stream_lag", ',topic="flights",partition="0"')
_LATE = _stream("skdeploy_stream_behind_seconds", ',shard="0"')
_DEAD = _stream("skdeploy_stream_dead_letters_total", ',reason="invalid"')
_EVENTS = _stream("skdeploy_stream_events_total")
_JOB = {"batch_job": "flights"}
_STREAM = {"job": "skdeploy-stream"}

CASES = (
    Case("SkdeployDown", {_web("up"): "1x20 0x20"}, ONE),
    Case("SkdeployDown", {_web("other"): "1x60"}, WEB, why="never scraped"),
    Case("SkdeployDown", {_web("up"): "1x60"}, None),
    Case("SkdeployNotReady", {_requests("503", "/ready"): "0+30x60"}, ONE),
    Case("SkdeployNotReady", {_requests("200", "/ready"): "0+30x60"}, None),
    Case("SkdeployErrors", {_requests("200"): "0+90x60", _requests("500"): "0+10x60"}, WEB),
    Case("SkdeployErrors", {_requests("200"): "0+999x60", _requests("500"): "0+1x60"}, None),
    Case("SkdeployErrors", {_requests("200"): "0+90x60", _requests("503"): "0+10x60"}, None, why="shed"),
    Case("SkdeploySlow", _buckets("0+90x60", "0+100x60"), WEB),
    Case("SkdeploySlow", _buckets("0+100x60", "0+100x60"), None),
    Case("SkdeployShedding", {_requests("200"): "0+90x60", _requests("503"): "0+10x60"}, WEB),
    Case("SkdeployShedding", {_requests("200"): "0+90x60", _requests("429"): "0+10x60"}, WEB),
    Case("SkdeployShedding", {_requests("200"): "0+90x60", _requests("503", "/ready"): "0+10x60"}, None),
    Case("SkdeployWorkersMissing", {_web("skdeploy_workers"): "4x20 3x20"}, ONE),
    Case("SkdeployWorkersMissing", {_web("skdeploy_workers"): "4x60"}, None),
    Case("SkdeployRefusing", {_requests("200"): "0+50x60", _requests("422"): "0+50x60"}, WEB),
    Case("SkdeployRefusing", {_requests("200"): "0+99x60", _requests("422"): "0+1x60"}, None),
    Case("SkdeployRefusing", {_requests("200"): "0+50x60", _requests("429"): "0+50x60"}, None, why="shed"),
    Case("SkdeployLoopLag", _lag("0+90x60", "0+100x60"), ONE),
    Case("SkdeployLoopLag", _lag("0+100x60", "0+100x60"), None),
    Case("SkdeployWorkersDying", {_deaths("killed"): "0x25 1x20"}, {**ONE, "reason": "killed"}),
    Case("SkdeployWorkersDying", {_deaths("killed"): "6x60"}, None, why="long ago"),
    Case(
        "SkdeployModelRefused",
        {_web("skdeploy_model_reloads_total", ',result="failed"'): "0x25 1x20"},
        {**ONE, "result": "failed"},
    ),
    Case("SkdeployModelRefused", {_web("skdeploy_model_reloads_total", ',result="ok"'): "0x25 1x20"}, None),
    Case("SkdeployModelRefused", {_web("skdeploy_reload_failing"): "0x25 1x20"}, ONE, why="by the poller"),
    Case("SkdeployModelRefused", {_web("skdeploy_reload_failing"): "0x45"}, None, why="all is well"),
    Case(
        "SkdeployRejectedRecords",
        {_records("predicted"): "0+80x240", _records("rejected"): "0+1x150 180+30x60"},
        WEB,
        180,
        why="a jump",
    ),
    Case(
        "SkdeployRejectedRecords",
        {_records("predicted"): "0+80x200", _records("rejected"): "0+20x200"},
        None,
        180,
        why="as many as ever",
    ),
    Case("SkdeployRejectedRecords", {_records("predicted"): "0+99x60", _records("rejected"): "0+1x60"}, None),
    Case("SkdeployUnscorable", {_records("unscorable"): "0x25 1x20"}, {**ONE, "result": "unscorable"}),
    Case("SkdeployUnscorable", {_records("predicted"): "0+9x60"}, None),
    Case("SkdeployDrift", {_PSI: "0.4x60", _WINDOW: "5000x60"}, {**ONE, "column": "temp"}),
    Case("SkdeployDrift", {_PSI: "0.4x60", _WINDOW: "50x60"}, None, why="too few records"),
    Case("SkdeployDrift", {_PSI: "0.1x60", _WINDOW: "5000x60"}, None),
    Case("SkdeployBatchFailed", {_batch("last_run_exit_code"): "1x60"}, _JOB),
    Case("SkdeployBatchFailed", {_batch("last_run_exit_code"): "0x60"}, None),
    Case("SkdeployBatchLate", {_batch("last_success_timestamp_seconds"): "0x1700"}, _JOB, 1600),
    Case("SkdeployBatchLate", {_batch("last_success_timestamp_seconds"): "0x1700"}, None, 1500),
    Case("SkdeployStreamDown", {_stream("up"): "0x60"}, {**_STREAM, "instance": "a"}),
    Case("SkdeployStreamDown", {_stream("up"): "1x60"}, None),
    Case("SkdeployStreamLag", {_LAG: "20000x60"}, {**_STREAM, "topic": "flights"}),
    Case("SkdeployStreamLag", {_LATE: "400x60"}, {**_STREAM, "shard": "0"}, why="a shard"),
    Case("SkdeployStreamLag", {_LATE: "200x60"}, None, why="a shard"),
    Case("SkdeployStreamLag", {_LAG: "20x60"}, None),
    Case("SkdeployStreamDeadLetters", {_EVENTS: "0+100x60", _DEAD: "0+10x60"}, _STREAM),
    Case("SkdeployStreamDeadLetters", {_EVENTS: "0+100x60", _DEAD: "0+1x60"}, None),
)
