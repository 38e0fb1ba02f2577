"""The benchmark's documents say what its results are, and its machinery keeps its promises."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import documents, load, plots, proc, processes, protocols, report, results, targets, venvs
from benchmarks.documents import Document
from benchmarks.servers import PEERS, SERVERS
from tests.live import free_port, running

ROOT = Path(__file__).parent.parent
RECORDS = [{"origin": "JFK", "hour": 8, "temp": 30.5}, {"origin": "EWR", "hour": 9, "temp": 31.0}]


@pytest.fixture
def document() -> Document:
    return documents.read(results.FILE)


def test_the_documents_say_what_the_results_are(document: Document) -> None:
    """The tables of both READMEs are those that results.json makes."""
    for path, section in zip(report.DOCUMENTS, report.sections(document), strict=True):
        assert report.current(path) == section, f"{path}: run `python -m benchmarks report`"


def test_the_results_are_whole(document: Document) -> None:
    """Every server of the table was measured in every round of the run."""
    assert set(document["servers"]) == set(SERVERS)
    for measured in document["servers"].values():
        assert len(measured["rounds"]) == document["rounds"]


def test_the_pictures_are_drawn(document: Document, tmp_path: Path) -> None:
    """Each picture that the run draws is one that the documents show."""
    shown = "".join(path.read_text() for path in report.DOCUMENTS)
    for picture in plots.draw(document, tmp_path):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"docs/{picture.name}" in shown


def test_a_target_can_be_missed(document: Document) -> None:
    """Halving one server's numbers flips the targets that speak of it, and the table says so."""
    slow = copy.deepcopy(document)
    for taken in slow["servers"]["skdeploy"]["rounds"]:
        taken["one16"]["requests_per_second"] /= 1000
        taken["start"] += 1000
    missed = [target for target in targets.targets(slow) if not target.reached]
    words = "\n".join(target.words for target in missed)
    assert "requests/s of naive Flask" in words
    assert "first right answer" in words
    assert report.target_table(missed).count("**no**") == len(missed)


@pytest.mark.parametrize("more", [10.0, 60.0])
def test_a_further_worker_costs_what_the_whole_grows_by(more: float) -> None:
    """The growth from one worker to three, by two."""
    workers = {"1": 200.0, "2": 200 + more, "3": 200 + 2 * more}
    assert targets.further_worker({"workers": workers}) == more


def test_rows_are_medians_sorted_by_speed(document: Document) -> None:
    """One outlier among three rounds moves nothing."""
    document["servers"] = {key: document["servers"][key] for key in ("flask", "skdeploy")}
    for measured in document["servers"].values():
        measured["rounds"] = [copy.deepcopy(measured["rounds"][0]) for _ in range(3)]
    before = results.rows(document)
    document["servers"]["flask"]["rounds"][1]["one16"]["requests_per_second"] = 1e9
    assert results.rows(document) == before
    assert [row.key for row in before] == ["skdeploy", "flask"]


def test_every_protocol_carries_the_same_cells() -> None:
    """Whatever wraps them, each cell of each record is in the body."""
    for protocol in protocols.PROTOCOLS:
        text = protocols.body(protocol, RECORDS).decode()
        for record in RECORDS:
            for name, value in record.items():
                assert json.dumps(name) in text
                assert json.dumps(value) in text


@pytest.mark.parametrize(
    "answer",
    [
        {"predictions": [1.5, 2.5]},
        [1.5, 2.5],
        {"outputs": [{"name": "predict", "data": [1.5, 2.5]}]},
    ],
)
def test_numbers_are_found_in_every_answer(answer: object) -> None:
    """The predictions of each protocol's answer, in order."""
    assert protocols.numbers(json.dumps(answer).encode()) == [1.5, 2.5]


@pytest.mark.parametrize("answer", [b'{"error": "no"}', b"7", b"<html>"])
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    """An error page is not taken for predictions."""
    with pytest.raises(ValueError, match=r"no predictions|Expecting"):
        protocols.numbers(answer)


def wrk_output(**errors: int) -> str:
    counts = dict.fromkeys(("connect", "read", "write", "status", "timeout"), 0) | errors
    latency = {"p50": 1500.0, "p90": 2000.0, "p99": 4000.0}
    said = {"requests": 3000, "microseconds": 2_000_000, "latency": latency, "errors": counts}
    return "Running 2s test\n" + json.dumps(said) + "\n"


def test_wrk_is_understood() -> None:
    """Microseconds become requests per second and milliseconds."""
    assert load.parse(wrk_output()) == load.Load(1500.0, 1.5, 2.0, 4.0)


def test_a_failed_request_ends_the_benchmark() -> None:
    """A server is not fast by refusing."""
    with pytest.raises(processes.BenchmarkError, match="status"):
        load.parse(wrk_output(status=1))


def test_missing_tools_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without wrk the message says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(processes.BenchmarkError, match="apt-get install wrk"):
        load.require_tools()


def command(folder: Path, *arguments: str) -> processes.Command:
    """Python with these arguments."""
    environment = processes.neutral_environment(folder)
    return processes.Command([sys.executable, *arguments], folder, environment, folder / "log")


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = "import time; print('child', flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", child], start_new_session="apart" in sys.argv)
time.sleep(600)
"""


@pytest.mark.parametrize("session", ["together", "apart"])
def test_nothing_is_left_of_a_server(tmp_path: Path, session: str) -> None:
    """A server that ignores SIGTERM ends all the same, and so does its child, even in another session."""
    stubborn = command(tmp_path, "-c", STUBBORN, session)
    with processes.started(stubborn, min(usable_cpus()), stop_seconds=0.2) as process:
        deadline = time.monotonic() + 20
        while "child" not in stubborn.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        family = proc.tree(process.pid)
        assert len(family) == 2
        assert proc.memory(process.pid) > proc.memory(family[1]) > 1
    assert not [pid for pid in family if running(pid)]


def usable_cpus() -> set[int]:
    return os.sched_getaffinity(0)


def test_a_server_that_ends_shows_its_log(tmp_path: Path) -> None:
    """Who does not start is not waited for, and says why."""
    ended = command(tmp_path, "-c", "raise SystemExit('the model is gone')")
    with (
        processes.started(ended, cpu=min(usable_cpus())) as process,
        pytest.raises(processes.BenchmarkError, match="the model is gone"),
    ):
        processes.wait_for_answer(process, ended.log, free_port(), "/", b"")


@pytest.mark.parametrize(("address", "strange"), [("127.0.0.1", 0), ("0.0.0.0", 1), ("::1", 0), ("::", 1)])
def test_a_listener_off_loopback_is_found(address: str, strange: int) -> None:
    """Every address but loopback counts, in both families."""
    family = "AF_INET6" if ":" in address else "AF_INET"
    code = (
        f"import socket; s = socket.create_server(({address!r}, 0), family=socket.{family});"
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert len(proc.strangers(process.pid)) == strange
        process.communicate(b"\n")


def test_peers_run_the_locked_versions_of_what_scores() -> None:
    """scikit-learn, pandas, joblib, Flask and gunicorn are the lock's, except where a peer says why not."""
    locked = json.loads((ROOT / "Pipfile.lock").read_text())["default"]
    for listed in sorted(PEERS.glob("*/requirements.txt")):
        previous = ""
        for line in listed.read_text().splitlines():
            name, _, version = line.partition("==")
            if name in locked and f"=={version}" != locked[name]["version"]:
                assert previous.startswith("#"), f"{listed}: {line}"
            assert line.startswith("#") or version, f"{listed}: {line} is not pinned"
            previous = line


def test_our_environment_is_the_lock() -> None:
    """What is measured is what the image installs."""
    locked = json.loads((ROOT / "Pipfile.lock").read_text())["default"]
    wanted = venvs.requirements("skdeploy").splitlines()
    assert sorted(line.split(" ;")[0] for line in wanted) == sorted(
        name + pinned["version"] for name, pinned in locked.items()
    )
