"""One run: all write the same, then each is measured in rounds, one process at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from benchmarks import session
from benchmarks.batch import naive, tables
from benchmarks.batch.contestants import CONTESTANTS, OUTPUT, Contestant
from benchmarks.batch.measuring import Measured, measure
from benchmarks.documents import Document
from benchmarks.processes import BenchmarkError
from examples.servers.postgres import postgres_server

# The two engines differ in the last bits of a double.
_APART = 1e-9
# As Debian has it: what is committed is on the disk.
_SERVER = {"fsync": "on"}


@dataclass(frozen=True, slots=True)
class Session:
    """What the parts of a run share."""

    url: str
    folder: Path
    rows: int

    def measure(self, contestant: Contestant) -> Measured:
        """Run one; what others wrote is gone, what it wrote stays, and is whole."""
        tables.forget(self.url, contestant.output or OUTPUT)
        command, environment = contestant.command(self.url, self.rows), contestant.environment(self.url)
        measured = measure(command, environment, self.folder / f"{contestant.key}.log")
        if contestant.output and (count := tables.count(self.url, contestant.output)) != self.rows:
            raise BenchmarkError(f"{contestant.label} wrote {count} rows of {self.rows}")
        return measured


def run(keys: Sequence[str], rounds: int, rows: int) -> Document:
    """Measure the contestants `keys`."""
    with tempfile.TemporaryDirectory(prefix="skdeploy-bench-") as name:
        folder = Path(name)
        with postgres_server(folder, _SERVER) as server:
            session.say(f"loading {rows:,} flights into PostgreSQL, twice")
            url = server.create_database("flights")
            tables.load(url, rows)
            return _rounds(Session(url, folder, rows), keys, rounds)


def _rounds(run: Session, keys: Sequence[str], rounds: int) -> Document:
    document: Document = {
        **session.where_and_when(),
        "postgresql": _version(run.url),
        "rounds": rounds,
        "rows": run.rows,
        "contestants": {key: [] for key in keys},
    }
    for number in range(rounds):
        for key in keys:
            contestant = CONTESTANTS[key]
            measured = run.measure(contestant)
            found = {
                "seconds": round(measured.seconds, 3),
                "work": round(contestant.work(measured.said), 3),
                "peak": round(measured.peak, 1),
            }
            document["contestants"][key].append(found)
            session.say(
                f"round {number + 1} of {rounds}: {contestant.label}: {found['seconds']:.1f} s, of which "
                f"{found['work']:.1f} s work, {found['peak']:.0f} MB"
            )
            _require_equal(run, contestant)
    return document


def _require_equal(run: Session, contestant: Contestant) -> None:
    """What is fast predicts what the pipeline does, for every key."""
    if contestant.kind != "ours" or not tables.exists(run.url, naive.OUTPUT):
        return
    apart = tables.furthest_apart(run.url, OUTPUT, naive.OUTPUT)
    if not apart < _APART:
        raise BenchmarkError(f"{contestant.label} is {apart:g} of the value off the naive loop's predictions")


def _version(url: str) -> str:
    with psycopg.connect(url) as connection:
        return f"{connection.info.server_version // 10000}.{connection.info.server_version % 10000}"
