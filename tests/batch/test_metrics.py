"""What Prometheus is told of a run."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.batch.jobs import Database, records

DAY = ("--interval", "daily", "--at", "2026-03-01")


@pytest.fixture
def database(tmp_path: Path, regressor_file: Path) -> Database:
    """A day of thirty records, one of them bad."""
    database = Database(f"sqlite:///{tmp_path / 'trees.db'}", regressor_file)
    database.fill(records(30, days=1))
    database.execute("UPDATE trees SET kind = 'palm' WHERE id = 4")
    return database


class Gateway(http.server.BaseHTTPRequestHandler):
    """Keeps what is put to it."""

    def do_PUT(self) -> None:
        """As a pushgateway answers."""
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.told.append((self.path, self.headers["Authorization"], body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def gateway() -> Iterator[http.server.ThreadingHTTPServer]:
    """A server that takes what a pushgateway takes."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        server.told = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def samples(text: str) -> dict[tuple[str, str], float]:
    """(metric, its label beside the job) -> value."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            rest = [value for name, value in sorted(sample.labels.items()) if name != "job"]
            assert sample.labels["job"] == "tree"
            found[sample.name.removeprefix("skdeploy_batch_"), ",".join(rest)] = sample.value
    return found


def test_a_file_says_what_became_of_the_run(database: Database, tmp_path: Path) -> None:
    """Records and intervals by what became of them, times, and the model; readable by the collector."""
    file = tmp_path / "job.prom"
    assert database.score_here(*DAY, METRICS_FILE=str(file)).code == 0
    told = samples(file.read_text())
    assert [told["last_run_rows", name] for name in ("read", "predicted", "rejected")] == [30, 29, 1]
    assert told["last_run_intervals", "completed"] == 1
    assert told["last_run_exit_code", ""] == 0
    assert told["completed_interval_end_timestamp_seconds", ""] == 1772409600
    assert any(name == "model_info" and "onnx" in labels for name, labels in told)
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_run_that_fails_says_so(database: Database, tmp_path: Path) -> None:
    """The exit code and the interval's status are there to alert on."""
    database.execute("UPDATE trees SET kind = 'palm'")
    file = tmp_path / "job.prom"
    assert database.score_here(*DAY, METRICS_FILE=str(file)).code == 6
    assert samples(file.read_text())["last_run_exit_code", ""] == 6


def test_a_pushgateway_is_told(database: Database, gateway: http.server.ThreadingHTTPServer) -> None:
    """Under the job's name; a password goes into a header."""
    url = f"http://me:secret@127.0.0.1:{gateway.server_port}"
    assert database.score_here(*DAY, PUSHGATEWAY_URL=url).code == 0
    ((path, authorization, body),) = gateway.told  # type: ignore[attr-defined]
    assert path == "/metrics/job/tree"
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"me:secret"
    assert "skdeploy_batch_last_run_rows" in body


def test_a_gateway_that_is_down_fails_nothing(database: Database, tmp_path: Path) -> None:
    """The log says so, without the password; a file that cannot be written is no failure either."""
    run = database.score_here(
        *DAY, PUSHGATEWAY_URL="http://me:secret@127.0.0.1:1", METRICS_FILE=str(tmp_path / "none" / "job.prom")
    )
    assert run.code == 0
    assert "The pushgateway was not told" in run.stderr
    assert "METRICS_FILE is not written" in run.stderr
    assert "secret" not in run.stderr
