"""What a run says to Prometheus, and that it fails at nothing of it."""

from __future__ import annotations

import base64
import contextlib
import http.server
import logging
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families

from examples.servers.process import free_ports
from skdeploy.batch.chunks import Counts, Outcome
from skdeploy.batch.intervals import Calendar
from skdeploy.batch.metrics import publish
from skdeploy.batch.opening import Opened, open_job
from tests.batch.jobs import Database, records
from tests.live import wait_until
from tests.stores import closed_server, refusing_server, silent_server, within

DAILY = Calendar("daily", ZoneInfo("UTC"), wall=False)
DAY = DAILY.containing(datetime(2013, 11, 5, tzinfo=UTC))
OUTCOMES = [
    Outcome(DAY, "completed", Counts(100, 97, 3), 1.5),
    Outcome(DAILY.next(DAY), "completed", Counts(50, 50, 0), 0.5),
    Outcome(DAILY.next(DAILY.next(DAY)), "skipped"),
]
KEPT = ("last_success_timestamp_seconds", "completed_interval_end_timestamp_seconds")
FAILED = [replace(OUTCOMES[0], status="failed", counts=Counts())]


@pytest.fixture
def opened(tmp_path: Path, regressor_file: Path) -> Opened:
    """A job whose metrics are wanted."""
    (tmp_path / "in").mkdir()
    at = pa.array([DAY.start], pa.timestamp("us", "UTC"))
    pq.write_table(
        pa.table({"id": [1], "at": at, "size": [1.0], "kind": ["oak"], "age": [3]}),
        tmp_path / "in" / "a.parquet",
    )
    environment = {
        "SKDEPLOY_MODEL_URI": str(regressor_file),
        "SKDEPLOY_JOB": 'trees "north"',
        "SKDEPLOY_INPUT_URL": str(tmp_path / "in"),
        "SKDEPLOY_OUTPUT_URL": str(tmp_path / "out"),
        "SKDEPLOY_KEY_COLUMNS": "id",
        "SKDEPLOY_TIME_COLUMN": "at",
        "SKDEPLOY_INTERVAL": "daily",
    }
    return open_job(environment, threading.Event())


def told(opened: Opened, outcomes: list[Outcome], code: int, **settings: str) -> None:
    values = {"metrics_file": "", "pushgateway_url": ""} | settings
    publish(replace(opened.batch, **values), opened.job, outcomes, code)  # type: ignore[arg-type]


def samples(text: str) -> dict[str, float]:
    """By name and labels, without the job's."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.labels.pop("batch_job") == 'trees "north"'
            labels = "".join(
                f" {name}={value}" for name, value in sorted(sample.labels.items()) if name != "sha256"
            )
            found[sample.name.removeprefix("skdeploy_").removeprefix("batch_") + labels] = sample.value
    return found


def test_a_file_says_what_became_of_the_last_run(opened: Opened, tmp_path: Path) -> None:
    """Records, intervals, seconds, times, the exit code and the model; the file is replaced whole."""
    path = tmp_path / "job.prom"
    told(opened, OUTCOMES, 0, metrics_file=str(path))
    found = samples(path.read_text())
    passport, now = opened.job.model.passport, datetime.now(UTC).timestamp()
    assert (
        now - 5
        < found.pop("last_run_timestamp_seconds")
        == found.pop("last_success_timestamp_seconds")
        <= now
    )
    engine = opened.job.model.engine.name
    assert found.pop(f"model_info engine={engine} model=tree version={passport.version}") == 1
    assert path.stat().st_mode & 0o777 == 0o644
    assert found == {
        "completed_interval_end_timestamp_seconds": OUTCOMES[2].interval.end.timestamp(),
        "last_run_rows result=read": 150,
        "last_run_rows result=predicted": 147,
        "last_run_rows result=rejected": 3,
        "last_run_intervals status=completed": 2,
        "last_run_intervals status=skipped": 1,
        "last_run_intervals status=failed": 0,
        "last_run_intervals status=held": 0,
        "last_run_intervals status=interrupted": 0,
        "last_run_intervals status=not tried": 0,
        "last_run_duration_seconds": 2.0,
        "last_run_exit_code": 0,
    }
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in", "job.prom", "out"]


def test_a_failure_does_not_forget_the_last_success(opened: Opened, tmp_path: Path) -> None:
    """Its time and interval stay in the file, for as many failures as there are; at first there is none."""
    path = tmp_path / "job.prom"
    told(opened, FAILED, 1, metrics_file=str(path))
    assert not set(KEPT) & set(samples(path.read_text()))
    told(opened, OUTCOMES, 0, metrics_file=str(path))
    before = {name: samples(path.read_text())[name] for name in KEPT}
    for _ in range(2):
        told(opened, FAILED, 1, metrics_file=str(path))
        found = samples(path.read_text())
        assert {name: found[name] for name in KEPT} == before
        assert (found["last_run_exit_code"], found["last_run_intervals status=failed"]) == (1, 1)
    path.write_text("no metrics {")
    told(opened, FAILED, 1, metrics_file=str(path))
    assert "last_success_timestamp_seconds" not in samples(path.read_text())


def test_a_file_that_cannot_be_written_is_in_the_log(
    opened: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The job's result stands."""
    for path in (tmp_path / "nowhere" / "job.prom", tmp_path):
        caplog.clear()
        told(opened, OUTCOMES, 0, metrics_file=str(path))
        assert f"SKDEPLOY_METRICS_FILE: {path} cannot be written: " in caplog.text


def test_a_run_of_the_command_is_told(tmp_path: Path, regressor_file: Path) -> None:
    """In the file as in the summary; a gateway that is down is said, and changes neither."""
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file)
    database.fill(records(30, days=1))
    database.execute("UPDATE trees SET kind = 'palm' WHERE id = 4")
    path = tmp_path / "job.prom"
    settings = {
        "SKDEPLOY_METRICS_FILE": str(path),
        "SKDEPLOY_PUSHGATEWAY_URL": "http://me:s3cret@127.0.0.1:1",
    }
    run = database.score_here(
        "--interval", "daily", "--at", "2026-03-01", SKDEPLOY_JOB='trees "north"', **settings
    )
    found = samples(path.read_text())
    rows = {result: found[f"last_run_rows result={result}"] for result in ("read", "predicted", "rejected")}
    assert rows == run.summary["rows"] == {"read": 30, "predicted": 29, "rejected": 1}
    assert found["last_run_exit_code"] == run.code == 0
    assert "SKDEPLOY_PUSHGATEWAY_URL: the metrics could not be pushed: " in run.stderr
    assert "s3cret" not in run.stderr


def test_without_settings_nothing_is_told(opened: Opened, tmp_path: Path) -> None:
    """No file appears."""
    told(opened, OUTCOMES, 0)
    assert not list(tmp_path.glob("*.prom"))


@dataclass
class Gateway:
    """What a pushgateway was sent."""

    url: str
    requests: list[tuple[str, str, str | None, str]] = field(default_factory=list)


@contextlib.contextmanager
def gateway() -> Iterator[Gateway]:
    found = Gateway("")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found.requests.append((self.command, self.path, self.headers["Authorization"], body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found.url = f"127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()


def test_a_gateway_is_told_with_credentials(opened: Opened) -> None:
    """By the job's name; the URL's user and password go as a header, decoded; a path is kept."""
    with gateway() as there:
        told(opened, OUTCOMES, 0, pushgateway_url=f"http://us%40er:p%2Fw@{there.url}/behind/")
        told(opened, FAILED, 1, pushgateway_url=there.url)
    (method, path, authorization, body), (_, second_path, none, failed) = there.requests
    assert (method, none) == ("POST", None)
    assert path.startswith("/behind/metrics/job")
    assert second_path.startswith("/metrics/job")
    assert authorization == "Basic " + base64.b64encode(b"us@er:p/w").decode()
    assert samples(body)["last_run_rows result=read"] == 150
    # So the gateway keeps the one that it has.
    assert "last_success_timestamp_seconds" not in samples(failed)


def test_a_gateway_that_fails_fails_no_job(opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody there, nobody answering, a refusal, no URL at all: in the log, without the password."""
    with refusing_server() as nobody, silent_server() as silent, closed_server(401) as refusing:
        urls = [url.replace("://", "://user:s3cret@") for url in (nobody, silent, refusing)]
        for url in [*urls, "http://user:s3cret/x@host", "http://user:s3cret@[", "gopher://user:s3cret@host"]:
            caplog.clear()
            with within(8), caplog.at_level(logging.DEBUG):
                told(opened, OUTCOMES, 0, pushgateway_url=url)
            assert "SKDEPLOY_PUSHGATEWAY_URL: the metrics could not be pushed: " in caplog.text
            assert "s3cret" not in caplog.text


@pytest.mark.heavy
def test_a_real_pushgateway_keeps_the_last_success(opened: Opened, tmp_path: Path) -> None:
    """What was pushed is what Prometheus finds there, after a failure too."""
    program = shutil.which("prometheus-pushgateway")
    if program is None:
        pytest.skip("prometheus-pushgateway is not installed: run apt-get install prometheus-pushgateway")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [program, f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(lambda: pushed(url) is not None, "the pushgateway answers", 20)
            told(opened, OUTCOMES, 0, pushgateway_url=url)
            told(opened, FAILED, 1, pushgateway_url=url)
            found = pushed(url)
        finally:
            process.terminate()
    assert found is not None
    assert found["last_run_exit_code"] == 1
    assert found["last_run_rows result=read"] == 0
    assert found["last_success_timestamp_seconds"] <= found["last_run_timestamp_seconds"]


def pushed(url: str) -> dict[str, float] | None:
    """The job's metrics there; None while nobody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
    except OSError:
        return None
    ours = [line for line in lines if "skdeploy_batch_" in line]
    text = "\n".join(
        line.replace('instance="",', "").replace(',job="trees \\"north\\""', "") for line in ours
    )
    return samples(text + "\n")


def test_drift_is_told_in_file_and_summary(tmp_path: Path, regressor_file: Path) -> None:
    """Of all that the run scored; not of fewer than 500 records, and not where it is not looked for."""
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file)
    database.fill(records(900, days=3))
    path = tmp_path / "job.prom"
    settings = {"SKDEPLOY_METRICS_FILE": str(path), "SKDEPLOY_JOB": 'trees "north"'}
    days = ("--backfill", "2026-03-01", "2026-03-03", "--reprocess", "all")
    run = database.score_here("--interval", "daily", *days, **settings)
    found = samples(path.read_text())
    assert set(run.summary["drift"]) == {"size", "kind", "age", "(prediction)"}
    for column, psi in run.summary["drift"].items():
        assert found[f"drift_psi column={column}"] == pytest.approx(psi, abs=1e-4)
    assert found["drift_records"] == 900
    assert found["drift_null_share column=size"] == pytest.approx(1 / 9)
    assert found["drift_unseen_share column=kind"] == 0
    run = database.score_here("--interval", "daily", "--at", "2026-03-01", "--reprocess", "all", **settings)
    found = samples(path.read_text())
    assert run.summary["drift"] == {}
    assert (found["drift_records"], "drift_psi column=size" in found) == (300, False)
    run = database.score_here("--interval", "daily", *days, SKDEPLOY_DRIFT_WINDOW="0", **settings)
    assert run.summary["drift"] == {}
    assert not [name for name in samples(path.read_text()) if "drift" in name]
