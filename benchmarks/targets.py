"""What the project wants to reach, and what a run reached."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.documents import Document
from benchmarks.results import Ratio, Row, compare, rows
from benchmarks.servers import OURS, SERVERS


@dataclass(frozen=True, slots=True)
class Target:
    """`value` in `unit` should be at least, or at most, `bound`.

    value   nan if that was not measured
    bound   None where the value is only reported
    note    what is to be known of the value
    holds   whether the value says anything of the target
    """

    words: str
    value: float
    bound: float | None
    unit: str = "x"
    at_most: bool = False
    note: str = ""
    holds: bool = True

    @property
    def reached(self) -> bool | None:
        """Whether it is; None if that cannot be said."""
        if self.bound is None or math.isnan(self.value) or not self.holds:
            return None
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def targets(document: Document) -> list[Target]:
    """Every target, from what was measured."""
    table = {row.key: row for row in rows(document)}

    def of(words: str, other: str, scenario: str, bound: float | None, ours: str = OURS) -> Target:
        return _target(words, compare(document, scenario, ours, other), bound)

    found = []
    for key, bound in (("floor", 2.2), ("noop-asgi", 0.42), ("handwritten", 1.15)):
        found += [
            of(f"one record, {count} connections: requests/s of {_OTHERS[key]}", key, f"one{count}", bound)
            for count in (16, 64)
        ]
    latency = compare(document, "one1", OURS, "floor", "p50")
    found += [
        of(
            f"one record, one connection: requests/s of {_OTHERS['handwritten']}", "handwritten", "one1", None
        ),
        _target(f"one record, one connection: p50 of {_OTHERS['floor']}", latency, 1.1, at_most=True),
        Target("one record, 64 connections: p99 of its own p50", _tail(table), 2, at_most=True),
        of("one record, 16 connections: requests/s of naive Flask", "flask", "one16", 100),
        _of_best_batching(document, table),
        of("1,000 records a request: records/s of naive Flask", "flask", "many", 3.2),
        of(
            "`SKDEPLOY_ENGINE=sklearn`, 16 connections: requests/s of naive Flask",
            "flask",
            "one16",
            8.5,
            "skdeploy-sklearn",
        ),
        Target("from the start to the first right answer", _start(table), 2.3, "s", at_most=True),
        Target("private memory of a second worker", further_worker(document), 12, "MB", at_most=True),
    ]
    return found


_OTHERS = {
    "floor": "the no-op WSGI application",
    "noop-asgi": "the no-op ASGI application",
    "handwritten": "the service written by hand",
}


def _target(words: str, ratio: Ratio, bound: float | None, *, at_most: bool = False) -> Target:
    note = f"{ratio.rounds} rounds"
    if ratio.rounds == 1:
        note = "one round"
    if ratio.thrown_away:
        note += f", {ratio.thrown_away} thrown away"
    if not math.isnan(ratio.by_cpu):
        note += f"; {ratio.by_cpu:.3g}x by CPU time"
    if not ratio.rounds:
        note = f"medians of {' and '.join(ratio.dates)}" if ratio.dates else ""
    if not ratio.one_machine:
        note += ", two machines"
    return Target(words, ratio.value, bound, at_most=at_most, note=note, holds=ratio.one_machine)


def _tail(table: dict[str, Row]) -> float:
    return table[OURS].p64[2] / table[OURS].p64[0] if OURS in table else math.nan


def _start(table: dict[str, Row]) -> float:
    return table[OURS].start if OURS in table else math.nan


def _of_best_batching(document: Document, table: dict[str, Row]) -> Target:
    best = best_of(table.values(), "batching")
    words = "one record, 16 connections: requests/s of the best peer with batching on"
    if best is None:
        return Target(words, math.nan, 15)
    return _target(f"{words}, {_name(best)}", compare(document, "one16", OURS, best.key), 15)


def _name(row: Row) -> str:
    return SERVERS[row.key].label.partition(",")[0]


def best_of(table: Iterable[Row], kind: str) -> Row | None:
    """The fastest of a kind at one record, or None if none was measured."""
    return max((row for row in table if row.kind == kind), key=lambda row: row.one, default=None)


def further_worker(document: Document) -> float:
    """MB that a worker of two shares with no other process."""
    private: float = document.get("workers", {}).get("private", math.nan)
    return private
