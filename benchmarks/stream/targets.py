"""What the stream door wants to reach, and what a run reached."""

from __future__ import annotations

from benchmarks.documents import Document
from benchmarks.stream.results import rows
from benchmarks.targets import Target


def targets(document: Document) -> list[Target]:
    """Every target, from the medians of one run over all contestants."""
    table = rows(document)
    ours, floor, naive = (table[key].rate for key in ("skdeploy", "floor", "naive"))
    return [
        Target("events/s of the floor, which has no model", ours / floor, 0.6),
        Target("events/s of the naive loop", ours / naive, 30),
    ]
