"""results.json: what runs found, and the medians that tables, pictures and targets are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.documents import Document
from benchmarks.protocols import MANY
from benchmarks.servers import SERVERS

FILE = Path(__file__).parent / "results.json"

# Two ratios of one round that are further apart than this say that something else had the core.
_AGREE = 1.2


@dataclass(frozen=True, slots=True)
class Row:
    """A server's medians: rates per second, latencies in ms, MB, seconds; nan where that was not measured.

    one, p1   requests/s at 16 connections, and percentiles (50, 90, 99) at 16 and at one connection
    one64, p64   the same at 64 connections
    cpu       CPU time of a request at 16 connections, microseconds
    many      records/s in requests of 1,000
    date      of the run
    """

    key: str
    label: str
    kind: str
    one: float
    p16: tuple[float, float, float]
    p1: tuple[float, float, float]
    one64: float
    p64: tuple[float, float, float]
    cpu: float
    many: float
    start: float
    memory: float
    install: float
    date: str


def rows(document: Document) -> list[Row]:
    """The measured servers, the fastest first."""
    found = [_row(document, key) for key in document["servers"]]
    return sorted(found, key=lambda row: -row.one)


def date(document: Document, part: Document) -> str:
    """When a server, or another part of the document, was measured."""
    day: str = document["runs"][part["run"]]["date"]
    return day


def _row(document: Document, key: str) -> Row:
    measured = document["servers"][key]
    taken = measured["rounds"]
    return Row(
        key,
        SERVERS[key].label,
        SERVERS[key].kind,
        _median(taken, "one16", "requests_per_second"),
        _percentiles(taken, "one16"),
        _percentiles(taken, "one1"),
        _median(taken, "one64", "requests_per_second"),
        _percentiles(taken, "one64"),
        _median(taken, "one16", "cpu"),
        _median(taken, "many", "requests_per_second") * MANY,
        median(one["start"] for one in taken),
        median(one["memory"] for one in taken),
        measured["install"],
        date(document, measured),
    )


def _median(taken: Sequence[Document], scenario: str, name: str) -> float:
    middle: float = median(one.get(scenario, {}).get(name, math.nan) for one in taken)
    return middle


def _percentiles(taken: Sequence[Document], scenario: str) -> tuple[float, float, float]:
    p50, p90, p99 = (_median(taken, scenario, name) for name in ("p50", "p90", "p99"))
    return p50, p90, p99


@dataclass(frozen=True, slots=True)
class Ratio:
    """How one server compares with another.

    value        the median over the rounds that count; nan if none does, or if either was not measured
    by_cpu       of requests/s, the same by CPU time per request, over all rounds; nan where there is none
    rounds       how many there were, 0 where the two are from different runs
    thrown_away  how many of them do not count
    dates        of both servers, where they are from different runs
    one_machine  whether both were measured on the same kind of machine
    """

    value: float
    by_cpu: float = math.nan
    rounds: int = 0
    thrown_away: int = 0
    dates: tuple[str, ...] = ()
    one_machine: bool = True


def compare(
    document: Document, scenario: str, one: str, other: str, name: str = "requests_per_second"
) -> Ratio:
    """`name` of one server in a scenario, divided by the other's of the same round.

    A round in which requests/s and CPU time per request disagree on the ratio does not count. That is not
    asked at one connection, where the server waits for the client, too. Where the servers are from
    different runs their medians are compared.
    """
    if one not in document["servers"] or other not in document["servers"]:
        return Ratio(math.nan)
    first, second = document["servers"][one], document["servers"][other]
    if first["run"] != second["run"]:
        value = _median(first["rounds"], scenario, name) / _median(second["rounds"], scenario, name)
        runs = [document["runs"][part["run"]] for part in (first, second)]
        dates = tuple(run["date"] for run in runs)
        return Ratio(value, dates=dates, one_machine=runs[0]["machine"] == runs[1]["machine"])
    pairs = [
        (mine[scenario], theirs[scenario])
        for mine, theirs in zip(first["rounds"], second["rounds"], strict=True)
        if scenario in mine and scenario in theirs
    ]
    kept = [mine[name] / theirs[name] for mine, theirs in pairs if scenario == "one1" or _agree(mine, theirs)]
    by_cpu = [
        theirs["cpu"] / mine["cpu"]
        for mine, theirs in pairs
        if name == "requests_per_second" and "cpu" in mine and "cpu" in theirs
    ]
    return Ratio(
        median(kept) if kept else math.nan,
        median(by_cpu) if by_cpu else math.nan,
        len(pairs),
        len(pairs) - len(kept),
    )


def _agree(mine: Document, theirs: Document) -> bool:
    if "cpu" not in mine or "cpu" not in theirs:
        return True
    by_rate: float = mine["requests_per_second"] / theirs["requests_per_second"]
    by_cpu: float = theirs["cpu"] / mine["cpu"]
    return max(by_rate, by_cpu) <= _AGREE * min(by_rate, by_cpu)
