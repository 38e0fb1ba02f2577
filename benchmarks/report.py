"""The tables of README.md and of benchmarks/README.md, written between their markers."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from statistics import median

from benchmarks.documents import Document
from benchmarks.results import Row, date, rows
from benchmarks.servers import OURS, ROOT, SERVERS
from benchmarks.targets import Target, best_of, targets

DOCUMENTS = (ROOT / "README.md", Path(__file__).parent / "README.md")
# Kinds of servers in README.md's table and in the pictures.
SHOWN = ("floor", "handwritten", "ours", "peer")
_BEGIN, _END = "<!-- written by `make bench` -->\n", "<!-- end -->\n"


def sections(document: Document) -> tuple[str, str]:
    """What README.md and benchmarks/README.md say of what was measured, in this order."""
    table = rows(document)
    latest_first = sorted(document["runs"].items(), reverse=True)
    where = "\n".join(machine(run) for _, run in latest_first)
    short = [where, server_table([row for row in table if row.kind in SHOWN])]
    long = [
        where,
        target_table(targets(document)),
        latency_table(table),
        column_table(document),
        version_list(document),
    ]
    return "\n".join(short), "\n".join([*(part for part in long if part), summary(document, table)])


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


def server_table(table: Collection[Row]) -> str:
    """One line per server, the fastest first."""
    lines = []
    for row in table:
        cells = [
            f"{row.one:,.0f}",
            f"{row.p16[0]:.1f} / {row.p16[2]:.1f}",
            f"{row.p1[0]:.2f}",
            "" if row.kind == "floor" else _whole(row.many),
            f"{row.start:.1f}",
            f"{row.memory:.0f}",
            "" if row.kind == "floor" else f"{row.install:,.0f}",
        ]
        lines.append([f"**{row.label}**" if row.kind == "ours" else row.label, *cells])
    head = ["", "requests/s, 16 connections", "p50 / p99, ms", "p50 at 1 connection, ms"]
    head += ["records/s, 1,000 a request", "start, s", "memory, MB", "install, MB"]
    return markdown(*_dated(table, head, lines))


def _dated(
    table: Iterable[Row], head: list[str], lines: list[list[str]]
) -> tuple[list[str], list[list[str]]]:
    """With a column of days, where the rows are not all of one."""
    days = [row.date for row in table]
    if len(set(days)) < 2:
        return head, lines
    return [*head, "measured"], [[*line, day] for line, day in zip(lines, days, strict=True)]


def target_table(reached: Iterable[Target]) -> str:
    """What was to be reached, and whether it was."""
    lines = [
        [target.words, _wanted(target), _value(target), _REACHED[target.reached], target.note]
        for target in reached
    ]
    head = ["skdeploy", "target", "value", "reached", "from"]
    if not any(line[-1] for line in lines):
        head, lines = head[:-1], [line[:-1] for line in lines]
    return markdown(head, lines, "---")


_REACHED = {True: "yes", False: "**no**", None: ""}


def _wanted(target: Target) -> str:
    if target.bound is None:
        return "reported"
    return f"{'at most' if target.at_most else 'at least'} {_quantity(target.bound, target.unit)}"


def _value(target: Target) -> str:
    if not math.isnan(target.value):
        return _quantity(target.value, target.unit)
    return "no round that counts" if target.note else "not measured"


def _quantity(value: float, unit: str) -> str:
    return f"{value:.3g}{'' if unit == 'x' else ' '}{unit}"


def latency_table(table: Collection[Row]) -> str:
    """Rates, CPU time and percentiles of every server, variants included."""
    lines = [
        [
            row.label,
            _whole(row.one),
            _whole(row.cpu),
            *map(_milliseconds, (*row.p16, *row.p1)),
            _whole(row.one64),
            _milliseconds(row.p64[0]),
            _milliseconds(row.p64[2]),
        ]
        for row in table
    ]
    head = ["", "requests/s, 16 connections", "CPU time each, µs", "p50, ms", "p90", "p99"]
    head += ["p50 at 1 connection", "p90", "p99", "requests/s, 64 connections", "p50", "p99"]
    return markdown(*_dated(table, head, lines))


def _whole(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.0f}"


def _milliseconds(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.2f}"


def column_table(document: Document) -> str:
    """Requests per second by the number of columns; nothing if that was not measured."""
    if "columns" not in document:
        return ""
    measured = document["columns"]["requests_per_second"]
    counts = list(next(iter(measured.values())))
    lines = [
        [SERVERS[key].label, *(f"{median(rates[count]):,.0f}" for count in counts)]
        for key, rates in measured.items()
    ]
    day = _other_day(document, document["columns"])
    return markdown([f"requests/s, 16 connections{day}", *(f"{count} columns" for count in counts)], lines)


def _other_day(document: Document, part: Document) -> str:
    """When a part was measured, if not all was then."""
    days = {run["date"] for run in document["runs"].values()}
    return f" ({date(document, part)})" if len(days) > 1 else ""


def version_list(document: Document) -> str:
    """What each environment names directly; ours has the versions of Pipfile.lock."""
    lines = [
        [SERVERS[key].label, ", ".join(f"{name} {version}" for name, version in measured["versions"].items())]
        for key, measured in document["servers"].items()
        if measured["versions"] and SERVERS[key].kind != "batching"
    ]
    return markdown(["", "versions"], lines, "---")


def summary(document: Document, table: Sequence[Row]) -> str:
    """What no table says."""
    rates = {row.key: row.one for row in table}
    batching, lines = best_of(table, "batching"), []
    if batching is not None:
        lines.append(
            f"- Peers that can collect requests were also run with that switched on. The fastest is "
            f"{batching.label.partition(',')[0]}, {batching.one:,.0f} requests/s."
        )
    if "skdeploy-granian" in rates and OURS in rates:
        lines.append(
            f"- Under granian skdeploy answers {rates['skdeploy-granian']:,.0f} requests/s, "
            f"under gunicorn {rates[OURS]:,.0f}."
        )
    if workers := document.get("workers"):
        sizes = ", ".join(f"{number}: {size:.0f} MB" for number, size in workers["memory"].items())
        lines.append(
            f"- The whole service's memory by number of workers: {sizes}{_other_day(document, workers)}."
        )
    if alone := document.get("in_process"):
        rate = median(alone["records_per_second"])
        lines.append(
            f"- Decode, engine and encode alone: {rate:,.0f} records/s{_other_day(document, alone)}."
        )
    if repeated := [run["date"] for run in document["runs"].values() if "flights" not in run]:
        lines.append(
            f"- In the run of {' and '.join(repeated)} each client sent one flight again and again; "
            "there is no CPU time of it."
        )
    return "\n".join(lines) + "\n"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]], rule: str = "---:") -> str:
    """A table, whose first column is to the left and the others as `rule` says."""
    ruled = [head, ["---", *[rule] * (len(head) - 1)], *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in ruled)
