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

from benchmarks import (
    documents,
    load,
    plots,
    proc,
    processes,
    profiling,
    protocols,
    report,
    results,
    targets,
    venvs,
)
from benchmarks.documents import Document
from benchmarks.servers import PEERS, SERVERS
from tests.live import free_port, running

ROOT = Path(__file__).parent.parent
LOADED = {"requests_per_second": 1000.0, "p50": 1.0, "p90": 2.0, "p99": 3.0}
RECORDS = [{"origin": "JFK", "hour": 8, "temp": 30.5}, {"origin": "EWR", "hour": 9, "temp": 31.0}]


@pytest.fixture
def document() -> Document:
    return documents.read(results.FILE)


def test_the_documents_say_what_the_results_are(document: Document) -> None:
    """The tables of both READMEs are those that results.json makes."""
    for path, section in zip(report.DOCUMENTS, report.sections(document), strict=True):
        assert report.current(path) == section, f"{path}: run `python -m benchmarks report`"


def test_the_results_are_whole(document: Document) -> None:
    """Every server that was measured was so in every round of its run, and no run is there for nothing."""
    assert set(document["servers"]) <= set(SERVERS)
    for measured in document["servers"].values():
        assert len(measured["rounds"]) == document["runs"][measured["run"]]["rounds"]
    parts = [*document["servers"].values(), document["in_process"], document["workers"], document["columns"]]
    assert {part["run"] for part in parts} == set(document["runs"])


@pytest.fixture
def one_run(document: Document) -> Document:
    """The document, as if all of it were from one run of one round on one day."""
    run = {**next(iter(document["runs"].values())), "date": "2020-01-01", "rounds": 1}
    servers = {
        key: {**one, "run": "old", "rounds": one["rounds"][:1]} for key, one in document["servers"].items()
    }
    parts = {name: {**document[name], "run": "old"} for name in ("in_process", "workers", "columns")}
    return {"runs": {"old": run}, "servers": servers, **parts}


def test_what_was_not_measured_stays_from_the_last_run(one_run: Document) -> None:
    """A run of one server replaces its results alone; the tables say which row is of which day."""
    at = {**one_run["runs"]["old"], "date": "2030-01-01"}
    ours = {**one_run["servers"]["skdeploy"], "run": "new"}
    merged = documents.merged(one_run, {"runs": {"new": at}, "servers": {"skdeploy": ours}})
    assert set(merged["servers"]) == set(one_run["servers"])
    assert set(merged["runs"]) == {"old", "new"}
    assert merged["columns"] == one_run["columns"]
    days = {row.key: row.date for row in results.rows(merged)}
    assert days == {key: "2030-01-01" if key == "skdeploy" else "2020-01-01" for key in merged["servers"]}
    short, long = report.sections(merged)
    for text in (short, long):
        assert "Measured 2020-01-01" in text
        assert "Measured 2030-01-01" in text
    assert short.count("| 2030-01-01 |\n") == 1
    assert "| 2030-01-01 |" not in report.sections(one_run)[0]
    rest = {key: {**one, "run": "new"} for key, one in merged["servers"].items()}
    parts = {name: {**merged[name], "run": "new"} for name in ("in_process", "workers", "columns")}
    assert set(documents.merged(merged, {"runs": {"new": at}, "servers": rest, **parts})["runs"]) == {"new"}


@pytest.mark.parametrize("processor", ["the same", "another"])
def test_servers_of_different_runs_are_compared_by_their_medians(one_run: Document, processor: str) -> None:
    """The table says so; on different machines that says nothing of the target."""
    machine = {**one_run["runs"]["old"]["machine"], "processor": "the same"}
    one_run["runs"]["old"]["machine"] = machine
    at = {**one_run["runs"]["old"], "date": "2030-01-01", "machine": {**machine, "processor": processor}}
    one_run["runs"]["new"] = at
    one_run["servers"]["flask"]["run"] = "new"
    ratio = results.compare(one_run, "one16", "skdeploy", "flask")
    assert ratio.dates == ("2020-01-01", "2030-01-01")
    found = [
        target for target in targets.targets(one_run) if "16 connections: requests/s of naive" in target.words
    ]
    noted = "" if processor == "the same" else ", two machines"
    assert {target.note for target in found} == {f"medians of 2020-01-01 and 2030-01-01{noted}"}
    assert {target.reached is None for target in found} == {processor == "another"}


def test_a_run_of_some_servers_can_be_reported(document: Document, tmp_path: Path) -> None:
    """The tables and pictures of floor and peers alone; what needs others is said not to be measured."""
    servers = {key: document["servers"][key] for key in ("floor", "flask")}
    some = {"runs": document["runs"], "servers": servers}
    short, long = report.sections(some)
    assert "naive Flask" in short
    assert long.count("| not measured |") == len(targets.targets(some))
    assert len(plots.draw(some, tmp_path)) == 3


def measured(rates: list[float], cpu: list[float]) -> Document:
    """A server with these requests/s and microseconds of CPU time in its rounds."""
    rounds = [
        {"one16": {"requests_per_second": rate, "cpu": each}} for rate, each in zip(rates, cpu, strict=True)
    ]
    return {"run": "one", "rounds": rounds}


def test_rounds_are_compared_within_themselves() -> None:
    """The middle one of three ratios, though each server's rates are far apart."""
    mine = measured([100, 1000, 10], [20, 20, 20])
    theirs = measured([50, 500, 5], [40, 40, 40])
    found = results.compare({"runs": {}, "servers": {"a": mine, "b": theirs}}, "one16", "a", "b")
    assert found == results.Ratio(2.0, 2.0, 3, 0)


@pytest.mark.parametrize(("cpu", "thrown_away"), [(40.0, 0), (34.0, 0), (33.0, 1), (49.0, 1)])
def test_a_round_whose_ratios_disagree_is_thrown_away(cpu: float, thrown_away: int) -> None:
    """Twice the rate at half the CPU time is one ratio, give or take a fifth."""
    mine = measured([100, 100], [20, 20])
    theirs = measured([50, 50], [40, cpu])
    document: Document = {"runs": {}, "servers": {"a": mine, "b": theirs}}
    found = results.compare(document, "one16", "a", "b")
    assert found == results.Ratio(2.0, (2 + cpu / 20) / 2, 2, thrown_away)
    document["servers"]["b"] = measured([50], [400])
    document["servers"]["a"] = measured([100], [20])
    assert str(results.compare(document, "one16", "a", "b").value) == "nan"


def test_a_target_says_how_many_rounds_do_not_count(one_run: Document) -> None:
    """A value that is missing for that reason is no miss."""
    for server in one_run["servers"].values():
        server["rounds"] = server["rounds"] * 3
    for key, times in (("skdeploy", (10, 10, 10)), ("floor", (20, 20, 10))):
        one_run["servers"][key]["rounds"] = [
            {**taken, "one16": {**LOADED, "cpu": cpu}}
            for taken, cpu in zip(one_run["servers"][key]["rounds"], times, strict=True)
        ]
    words = "one record, 16 connections: requests/s of the no-op WSGI application | at least 2.2x"
    table = report.target_table(targets.targets(one_run))
    assert f"| {words} | 1x | **no** | 3 rounds, 2 thrown away; 2x by CPU time |" in table
    one_run["servers"]["floor"]["rounds"][2]["one16"]["cpu"] = 100
    table = report.target_table(targets.targets(one_run))
    assert f"| {words} | no round that counts |  | 3 rounds, 3 thrown away; 2x by CPU time |" in table


def test_the_pictures_are_drawn(document: Document, tmp_path: Path) -> None:
    """Each picture that the run draws is one that the documents show."""
    shown = "".join(path.read_text() for path in report.DOCUMENTS)
    for picture in plots.draw(document, tmp_path):
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert f"docs/{picture.name}" in shown


def test_a_target_can_be_missed(one_run: Document) -> None:
    """Halving one server's numbers flips the targets that speak of it, and the table says so."""
    slow = copy.deepcopy(one_run)
    for taken in slow["servers"]["skdeploy"]["rounds"]:
        taken["one16"]["requests_per_second"] /= 1000
        if "cpu" in taken["one16"]:  # else the two would contradict each other, and the round not count
            taken["one16"]["cpu"] *= 1000
        taken["start"] += 1000
    missed = [target for target in targets.targets(slow) if target.reached is False]
    words = "\n".join(target.words for target in missed)
    assert "requests/s of naive Flask" in words
    assert "first right answer" in words
    assert report.target_table(missed).count("**no**") == len(missed)


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


def test_bodies_are_lines() -> None:
    """Each record is in a body of its own, and a rest that fills no body is left out."""
    lines = protocols.bodies("list", RECORDS, 1).splitlines()
    assert [json.loads(line) for line in lines] == [[record] for record in RECORDS]
    assert protocols.bodies("skdeploy", [*RECORDS, *RECORDS[:1]], 2).count(b"\n") == 1


def test_the_flights_differ() -> None:
    """Thousands of different requests, none with a null, and every time the same."""
    records = protocols.flight_records()
    assert len({json.dumps(record) for record in records}) == protocols.RECORDS
    assert not any(value is None for record in records for value in record.values())
    assert records == protocols.flight_records()


def wrk_output(**errors: int) -> str:
    counts = dict.fromkeys(("connect", "read", "write", "status", "timeout"), 0) | errors
    latency = {"p50": 1500.0, "p90": 2000.0, "p99": 4000.0}
    said = {"requests": 3000, "microseconds": 2_000_000, "latency": latency, "errors": counts}
    return "Running 2s test\n" + json.dumps(said) + "\n"


def test_wrk_is_understood() -> None:
    """Microseconds become requests per second and milliseconds."""
    assert load.parse(wrk_output(), 1.5) == load.Load(1500.0, 1.5, 2.0, 4.0, cpu=500.0)


def test_a_failed_request_ends_the_benchmark() -> None:
    """A server is not fast by refusing."""
    with pytest.raises(processes.BenchmarkError, match="status"):
        load.parse(wrk_output(status=1), 1.5)


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


SPENDING = """
import subprocess, sys, time
begin = time.process_time()
while time.process_time() < begin + 0.2: pass
"ends" in sys.argv or subprocess.Popen([sys.executable, __file__, "ends"])
print("spent", flush=True)
time.sleep(600)
"""


def test_cpu_time_and_private_memory_are_those_of_the_processes(tmp_path: Path) -> None:
    """What a process and its child computed counts, sleep does not."""
    (tmp_path / "spending.py").write_text(SPENDING)
    spending = command(tmp_path, "spending.py")
    with processes.started(spending, min(usable_cpus())) as process:
        deadline = time.monotonic() + 60
        while spending.log.read_text().count("spent") < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        before = proc.cpu_seconds(process.pid)
        assert before > 0.35
        assert proc.cpu_seconds(process.pid) - before < 0.1
        assert 1 < proc.private_memory(process.pid) < proc.memory(process.pid) + 1


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


def test_a_profile_adds_up_by_stage() -> None:
    """A module's stage is that of its longest prefix; what nobody claims is its callers', part by part."""
    engine = (str(ROOT / "skdeploy" / "engines" / "onnx.py"), 1, "_run")
    app = (str(ROOT / "skdeploy" / "web" / "app.py"), 1, "respond")
    run = ("~", 0, "<built-in method onnxruntime.capi.run>")
    append = ("~", 0, "<method 'append' of 'list' objects>")
    times: profiling.Times = {
        app: (1, 1, 1.0, 10.0, {}),
        engine: (1, 1, 1.0, 6.0, {app: (1, 1, 1.0, 6.0)}),
        run: (1, 1, 4.0, 4.0, {engine: (1, 1, 4.0, 4.0)}),
        append: (2, 2, 4.0, 4.0, {engine: (1, 1, 1.0, 1.0), app: (1, 1, 3.0, 3.0)}),
    }
    expected = {"graph": 0.4, "packing": 0.2, profiling.REST: 0.4}
    assert profiling.by_stage(times) == pytest.approx(expected)


def test_every_stage_of_a_request_is_found() -> None:
    """Real requests in this process: what the application does has its time, and all is told apart."""
    bodies = [protocols.body("skdeploy", [record]) for record in protocols.flight_records()[:20]]
    with profiling.serve_in_process() as serve:
        assert len(serve(bodies[:2])) == 2
        microseconds, shares = profiling.measure(serve, bodies, 40)
    assert microseconds > 0
    assert sum(shares.values()) == pytest.approx(1)
    assert {"parse of HTTP", "decode of JSON", "packing", "graph", "encoding", profiling.REST} <= set(shares)
    assert profiling.table(microseconds, shares).count("\n") == len(shares) + 3


def test_a_request_that_fails_ends_the_profile() -> None:
    """A refusal's time is not a prediction's."""
    with profiling.serve_in_process() as serve, pytest.raises(SystemExit, match="422"):
        serve([b"{}"])
