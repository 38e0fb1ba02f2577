"""One run: every server is checked once, then measured in rounds, one server at a time."""

from __future__ import annotations

import datetime
import os
import platform
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import columns, venvs
from benchmarks.documents import Document
from benchmarks.load import require_tools
from benchmarks.processes import BenchmarkError
from benchmarks.protocols import MANY, MODEL, RECORDS, flight_records
from benchmarks.servers import OURS, SERVERS, Server, ours_with
from benchmarks.workbench import Cpus, Workload, in_process, running

# name -> records per request, connections
SCENARIOS = {"one16": (1, 16), "one1": (1, 1), "one64": (1, 64), "many": (MANY, 2)}
# What is measured of each kind: a floor does not score, what fills its core at 16 connections answers no more
# at 64, and variants are there for one number.
_MEASURED: dict[str, Sequence[str]] = {
    "floor": ("one16", "one1", "one64"),
    "peer": ("one16", "one1", "many"),
    "batching": ("one16",),
    "alternative": ("one16",),
}
_WORKERS = (1, 2, 3)
_COLUMN_ROUNDS = 2
_CONNECTIONS_FOR_ALL_WORKERS = 48


def say(words: str) -> None:
    """Progress."""
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


@dataclass(frozen=True, slots=True)
class Session:
    """What the parts of a run share. `seconds` is the length of one measurement."""

    folder: Path
    cpus: Cpus
    flights: Workload
    rounds: int
    seconds: int

    def up(self, server: Server) -> Any:
        """The server on the flights model, as a context."""
        return running(server, self.flights, self.folder, self.cpus)


@contextmanager
def opened(rounds: int, seconds: int) -> Generator[Session]:
    """A session with a folder of its own, which is removed in the end."""
    require_tools()
    cpus = Cpus.reserve()
    with tempfile.TemporaryDirectory(prefix="skdeploy-bench-") as name:
        folder = Path(name)
        yield Session(folder, cpus, Workload.of(MODEL, flight_records(), folder), rounds, seconds)


def run(keys: Sequence[str], rounds: int, seconds: int, *, with_columns: bool) -> Document:
    """Measure the servers `keys`; with ours also its workers' memory, and what it is without a server."""
    for name in dict.fromkeys(SERVERS[key].venv for key in keys):
        say(f"environment of {name}")
        venvs.install(name)
    described = {**where_and_when(), "rounds": rounds, "seconds": seconds, "flights": RECORDS}
    run = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    servers = {key: {"run": run, **_installed(SERVERS[key]), "rounds": []} for key in keys}
    document: Document = {"runs": {run: described}, "servers": servers}
    rates = []
    with opened(rounds, seconds) as session:
        _check(session, keys)
        for number in range(rounds):
            for key in keys:
                measured = _measure(session, SERVERS[key])
                servers[key]["rounds"].append(measured)
                say(f"round {number + 1} of {rounds}: {_one_line(SERVERS[key], measured)}")
            if OURS in keys:
                rate = in_process(session.flights, session.folder, session.cpus, seconds)
                rates.append(round(rate))
                say(f"round {number + 1} of {rounds}: in-process: {rate:,.0f} records/s")
        if OURS in keys:
            document["in_process"] = {"run": run, "records_per_second": rates}
            document["workers"] = {"run": run, **_workers(session)}
        if with_columns:
            document["columns"] = {"run": run, "requests_per_second": _columns(session)}
    return document


def _installed(server: Server) -> dict[str, Any]:
    return {"versions": venvs.versions(server.venv), "install": round(venvs.megabytes(server.venv))}


def where_and_when() -> dict[str, Any]:
    """What a document says of its machine and its day."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.release().partition('-')[0]}",
            "python": platform.python_version(),
        },
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _check(session: Session, keys: Sequence[str]) -> None:
    """Before anything is measured: all answer the same; it also fills the page cache for the starts."""
    for key in keys:
        with session.up(SERVERS[key]) as server:
            say(f"check: {SERVERS[key].label} answers as the pipeline does, after {server.start:.1f} s")


def _measure(session: Session, server: Server) -> dict[str, Any]:
    with session.up(server) as up:
        measured: dict[str, Any] = {"start": round(up.start, 2)}
        for name in scenarios(server):
            records, connections = SCENARIOS[name]
            try:
                measured[name] = up.load(records, connections, session.seconds).document()
            except BenchmarkError as error:
                what = f"{records:,} records a request, {connections} connections"
                log = up.log.read_text()[-2000:]
                raise BenchmarkError(
                    f"{server.label}, {what}: {error}; the end of its log:\n{log}"
                ) from error
        measured["memory"] = round(up.memory(), 1)
    return measured


def scenarios(server: Server) -> Sequence[str]:
    """What is measured of a server."""
    return _MEASURED.get(server.kind, tuple(SCENARIOS))


def _one_line(server: Server, measured: dict[str, Any]) -> str:
    first = measured["one16"]
    return f"{server.label}: {first['requests_per_second']:,.0f} requests/s, {first['cpu']:.0f} us each"


def _workers(session: Session) -> dict[str, Any]:
    """MB of the whole service by number of workers, and what one of two has for itself, after a load."""
    found: dict[str, Any] = {"memory": {}}
    for workers in _WORKERS:
        with session.up(ours_with(workers)) as up:
            up.load(1, _CONNECTIONS_FOR_ALL_WORKERS, 1)
            found["memory"][str(workers)] = round(up.memory(), 1)
            if workers == 2:
                found["private"] = round(up.private_memory()[-1], 1)
        say(f"memory with {workers} workers: {found['memory'][str(workers)]} MB")
    return found


def _columns(session: Session) -> dict[str, dict[str, list[float]]]:
    """Server -> columns -> requests/s of each round."""
    workloads = {}
    for count in columns.COUNTS:
        model = session.folder / f"columns-{count}.bin"
        workloads[count] = Workload.of(model, columns.make_model(count, model), session.folder)
    found: dict[str, dict[str, list[float]]] = {
        key: {str(count): [] for count in columns.COUNTS} for key in columns.SERVERS
    }
    for number in range(min(_COLUMN_ROUNDS, session.rounds)):
        for count, workload in workloads.items():
            for key in columns.SERVERS:
                with running(SERVERS[key], workload, session.folder, session.cpus) as up:
                    rate = up.load(1, 16, session.seconds).requests_per_second
                found[key][str(count)].append(float(f"{rate:.4g}"))
                say(f"columns, round {number + 1}: {count}, {SERVERS[key].label}: {rate:,.0f} requests/s")
    return found
