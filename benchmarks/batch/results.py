"""results.json: what a run found, and the medians that tables and targets are made of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.batch.contestants import CONTESTANTS
from benchmarks.documents import Document

FILE = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Row:
    """A contestant's medians.

    seconds   of the whole process
    work      of these, those without start and loading
    whole     rows per second of the process
    working   rows per second of the work
    peak      MB
    """

    label: str
    kind: str
    seconds: float
    work: float
    whole: float
    working: float
    peak: float


def rows(document: Document) -> dict[str, Row]:
    """The contestants in the table's order."""
    found = {}
    for key, taken in document["contestants"].items():
        seconds, work, peak = (median(one[name] for one in taken) for name in ("seconds", "work", "peak"))
        contestant, count = CONTESTANTS[key], document["rows"]
        found[key] = Row(
            contestant.label, contestant.kind, seconds, work, count / seconds, count / work, peak
        )
    return found
