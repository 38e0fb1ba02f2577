"""results.json: what a run found, and the medians that tables and targets are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.documents import Document
from benchmarks.stream.contestants import CONTESTANTS

FILE = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Row:
    """A contestant's medians: events per second, microseconds of CPU time per event."""

    label: str
    kind: str
    rate: float
    cpu: float


def rows(document: Document) -> dict[str, Row]:
    """The contestants in the table's order."""
    found = {}
    for key, taken in document["contestants"].items():
        rate, cpu = (median(one[name] for one in taken) for name in ("rate", "cpu"))
        found[key] = Row(CONTESTANTS[key].label, CONTESTANTS[key].kind, rate, cpu)
    return found


def latency(document: Document) -> dict[str, float]:
    """Medians of the rate and of the percentiles, milliseconds; nothing if it was not measured."""
    taken = document["latency"]
    return {name: median(one[name] for one in taken) for name in taken[0]} if taken else {}
