"""The stream door's tables in benchmarks/README.md, written between their markers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.documents import Document
from benchmarks.report import DOCUMENTS, machine, markdown, replace_between, target_table
from benchmarks.stream import function
from benchmarks.stream.results import Row, latency, rows
from benchmarks.stream.targets import targets

PATH = DOCUMENTS[1]
BEGIN = "<!-- written by `make bench-stream` -->\n"


def section(document: Document) -> str:
    """What the document says of a run; without targets if not all was measured."""
    table = rows(document)
    parts = [machine(document), rate_table(table.values())]
    if {"floor", "skdeploy", "naive"} <= set(table):
        parts.insert(1, target_table(targets(document)))
    if document["latency"]:
        parts.append(latency_line(document))
    if "function" in document:
        parts.append(function_table(document["function"]))
    return "\n".join(parts)


def write(document: Document) -> None:
    """Write the section into the document."""
    replace_between(PATH, BEGIN, section(document))


def rate_table(table: Iterable[Row]) -> str:
    """One line per contestant."""
    lines = [[row.label, f"{row.rate:,.0f}", f"{row.cpu:,.1f}"] for row in table]
    return markdown(["", "events/s", "CPU time per event, microseconds"], lines)


def latency_line(document: Document) -> str:
    """From an event to its prediction."""
    found = latency(document)
    return (
        f"From an event to its prediction at {found['rate']:,.0f} events/s, half of what it can: "
        f"p50 {found['p50']:.0f} ms, p90 {found['p90']:.0f} ms, p99 {found['p99']:.0f} ms.\n"
    )


def function_table(found: dict[str, Any]) -> str:
    """The Lambda function's seconds to its first answer, and records per second when it is warm."""
    sizes = [str(size) for size in function.SIZES]
    lines = [
        [label, f"{found[way]['cold']:.1f}", *(f"{found[way]['warm'][size]:,}" for size in sizes)]
        for way, label in function.LABELS.items()
    ]
    lines.append(["the streams alone (moto)", "", *(f"{found['streams'][size]:,}" for size in sizes)])
    head = ["Lambda function", "cold: s to the first answer", *(f"warm: records/s by {n}" for n in sizes)]
    return markdown(head, lines)
