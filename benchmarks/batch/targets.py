"""What the batch door wants to reach, and what a run reached."""

from __future__ import annotations

from benchmarks.batch.results import Row, rows
from benchmarks.documents import Document
from benchmarks.targets import Target


def targets(document: Document) -> list[Target]:
    """Every target, from the medians of one run over all contestants; one interval is the headline."""
    table = rows(document)
    ours, months, naive, stage = table["interval"], table["months"], table["naive"], slowest_stage(table)
    return [
        Target("one interval: rows/s of the naive loop, whole processes", ours.whole / naive.whole, 5),
        Target("by months: the same", months.whole / naive.whole, 5),
        Target(f"one interval: rows/s of the slowest stage alone ({stage.label})",
               ours.working / stage.working, 0.6),
        Target("one interval: peak memory of the process", ours.peak, 600, "MB", at_most=True),
    ]  # fmt: skip


def slowest_stage(table: dict[str, Row]) -> Row:
    """Reading, predicting or writing."""
    return min((row for row in table.values() if row.kind == "stage"), key=lambda row: row.working)
