"""The batch door's tables in benchmarks/README.md, written between their markers."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.batch.results import Row, rows
from benchmarks.batch.targets import targets
from benchmarks.documents import Document
from benchmarks.report import DOCUMENTS, machine, markdown, replace_between, target_table

PATH = DOCUMENTS[1]
BEGIN = "<!-- written by `make bench-batch` -->\n"


def section(document: Document) -> str:
    """What the document says of a run; without targets if not all was measured."""
    table = rows(document)
    parts = [machine(document), rate_table(table.values())]
    if {"naive", "interval", "months", "read", "predict", "write"} <= set(table):
        parts.insert(1, target_table(targets(document)))
    return "\n".join(parts)


def write(document: Document) -> None:
    """Write the section into the document."""
    replace_between(PATH, BEGIN, section(document))


def rate_table(table: Iterable[Row]) -> str:
    """One line per contestant."""
    lines = [
        [
            row.label,
            _whole(row, row.whole),
            f"{row.working:,.0f}",
            _whole(row, row.seconds),
            f"{row.work:.1f}",
            _whole(row, row.peak),
        ]
        for row in table
    ]
    head = ["", "rows/s, whole process", "rows/s without its start", "s", "s without its start"]
    head.append("peak memory, MB")
    return markdown(head, lines)


def _whole(row: Row, value: float) -> str:
    """A stage's process does more than the stage."""
    if row.kind == "stage":
        return ""
    return f"{value:,.1f}" if value < 100 else f"{value:,.0f}"
