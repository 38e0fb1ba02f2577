"""The tables of README.md and of benchmarks/README.md, written between their markers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.documents import Document
from benchmarks.results import Row, rows
from benchmarks.servers import ROOT, SERVERS
from benchmarks.targets import Target, best_of, targets

DOCUMENTS = (ROOT / "README.md", Path(__file__).parent / "README.md")
_BEGIN, _END = "<!-- written by `make bench` -->\n", "<!-- end -->\n"


def sections(document: Document) -> tuple[str, str]:
    """What README.md and benchmarks/README.md say of a run, in this order."""
    table = rows(document)
    short = [machine(document), server_table(row for row in table if row.kind in ("floor", "ours", "peer"))]
    long = [
        machine(document),
        target_table(targets(document)),
        latency_table(table),
        column_table(document),
        version_list(document),
    ]
    return "\n".join(short), "\n".join([*long, summary(document, table)])


def current(path: Path, begin: str = _BEGIN) -> str:
    """What stands between the markers of a document."""
    return path.read_text().split(begin)[1].split(_END)[0]


def write(document: Document) -> None:
    """Write the sections into the documents."""
    for path, section in zip(DOCUMENTS, sections(document), strict=True):
        replace_between(path, _BEGIN, section)


def replace_between(path: Path, begin: str, section: str) -> None:
    """Write a section into a document, behind the marker that begins it."""
    before, _, rest = path.read_text().partition(begin)
    path.write_text(before + begin + section + _END + rest.partition(_END)[2])


def machine(document: Document) -> str:
    """Where and when it was measured."""
    at = document["machine"]
    return (
        f"Measured {document['date']} on {at['cores']} cores of {at['processor']}, {at['system']}, "
        f"Python {at['python']}; {_rounds(document['rounds'])}.\n"
    )


def _rounds(number: int) -> str:
    return f"medians of {number} rounds" if number > 1 else "one round"


def server_table(table: Iterable[Row]) -> str:
    """One line per server, the fastest first."""
    lines = []
    for row in table:
        cells = [
            f"{row.one:,.0f}",
            f"{row.p16[0]:.1f} / {row.p16[2]:.1f}",
            f"{row.p1[0]:.2f}",
            "" if row.kind == "floor" else f"{row.many:,.0f}",
            f"{row.start:.1f}",
            f"{row.memory:.0f}",
            "" if row.kind == "floor" else f"{row.install:,.0f}",
        ]
        lines.append([f"**{row.label}**" if row.kind == "ours" else row.label, *cells])
    head = ["", "requests/s, 16 connections", "p50 / p99, ms", "p50 at 1 connection, ms"]
    head += ["records/s, 1,000 a request", "start, s", "memory, MB", "install, MB"]
    return markdown(head, lines)


def target_table(reached: Iterable[Target]) -> str:
    """What was to be reached, and whether it was."""
    lines = [
        [
            target.words,
            f"{'at most' if target.at_most else 'at least'} {_quantity(target.bound, target.unit)}",
            _quantity(target.value, target.unit),
            "yes" if target.reached else "**no**",
        ]
        for target in reached
    ]
    return markdown(["skdeploy", "target", "value", "reached"], lines, "---")


def _quantity(value: float, unit: str) -> str:
    return f"{value:.3g}{'' if unit == 'x' else ' '}{unit}"


def latency_table(table: Iterable[Row]) -> str:
    """Percentiles of every server, variants included."""
    lines = [
        [row.label, f"{row.one:,.0f}", *(_milliseconds(value) for value in (*row.p16, *row.p1))]
        for row in table
    ]
    head = ["", "requests/s, 16 connections", "p50, ms", "p90", "p99"]
    return markdown([*head, "p50 at 1 connection", "p90", "p99"], lines)


def _milliseconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def column_table(document: Document) -> str:
    """Requests per second by the number of columns."""
    measured = document["columns"]
    counts = list(next(iter(measured.values())))
    lines = [
        [SERVERS[key].label, *(f"{median(rates[count]):,.0f}" for count in counts)]
        for key, rates in measured.items()
    ]
    return markdown(["requests/s, 16 connections", *(f"{count} columns" for count in counts)], lines)


def version_list(document: Document) -> str:
    """What each environment names directly; ours has the versions of Pipfile.lock."""
    lines = [
        [SERVERS[key].label, ", ".join(f"{name} {version}" for name, version in measured["versions"].items())]
        for key, measured in document["servers"].items()
        if SERVERS[key].kind == "peer"
    ]
    return markdown(["", "versions"], lines, "---")


def summary(document: Document, table: Sequence[Row]) -> str:
    """What no table says."""
    ours = next(row for row in table if row.key == "skdeploy")
    batching = best_of(table, "batching")
    granian = next(row for row in table if row.key == "skdeploy-granian")
    workers = ", ".join(f"{number}: {size:.0f} MB" for number, size in document["workers"].items())
    lines = [
        f"- Peers that can collect requests were also run with that switched on. The fastest is "
        f"{batching.label.partition(',')[0]}, {batching.one:,.0f} requests/s; skdeploy has "
        f"{ours.one / batching.one:.1f} times as many.",
        f"- Under granian skdeploy answers {granian.one:,.0f} requests/s, under gunicorn {ours.one:,.0f}.",
        f"- The whole service's memory by number of workers: {workers}.",
        f"- Decode, engine and encode alone: {median(document['in_process']):,.0f} records/s.",
    ]
    return "\n".join(lines) + "\n"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]], rule: str = "---:") -> str:
    """A table, whose first column is to the left and the others as `rule` says."""
    ruled = [head, ["---", *[rule] * (len(head) - 1)], *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in ruled)
