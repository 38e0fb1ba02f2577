"""results.json: what a run found, and the medians that tables, pictures and targets are made of."""

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


@dataclass(frozen=True, slots=True)
class Row:
    """A server's medians: rates per second, latencies in ms, MB, seconds.

    one, p1   requests/s at 16 connections, and percentiles (50, 90, 99) at 16 and at one connection
    many      records/s in requests of 1,000; like p1 nan where that was not measured
    """

    key: str
    label: str
    kind: str
    one: float
    p16: tuple[float, float, float]
    p1: tuple[float, float, float]
    many: float
    start: float
    memory: float
    install: float


def rows(document: Document) -> list[Row]:
    """The measured servers, the fastest first."""
    found = [_row(key, measured) for key, measured in document["servers"].items()]
    return sorted(found, key=lambda row: -row.one)


def _row(key: str, measured: Document) -> Row:
    taken = measured["rounds"]
    return Row(
        key,
        SERVERS[key].label,
        SERVERS[key].kind,
        _median(taken, "one16", "requests_per_second"),
        _percentiles(taken, "one16"),
        _percentiles(taken, "one1"),
        _median(taken, "many", "requests_per_second") * MANY,
        median(one["start"] for one in taken),
        median(one["memory"] for one in taken),
        measured["install"],
    )


def _median(taken: Sequence[Document], scenario: str, name: str) -> float:
    return median(one[scenario][name] if scenario in one else math.nan for one in taken)


def _percentiles(taken: Sequence[Document], scenario: str) -> tuple[float, float, float]:
    p50, p90, p99 = (_median(taken, scenario, name) for name in ("p50", "p90", "p99"))
    return p50, p90, p99
