"""What the project wants to reach, and what a run reached."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks.documents import Document
from benchmarks.results import Row, rows


@dataclass(frozen=True, slots=True)
class Target:
    """`value` in `unit` should be at least, or at most, `bound`."""

    words: str
    value: float
    bound: float
    unit: str = "x"
    at_most: bool = False

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.value <= self.bound if self.at_most else self.value >= self.bound


def targets(document: Document) -> list[Target]:
    """Every target, from the medians of one run over all servers."""
    table = {row.key: row for row in rows(document)}
    ours, batched, floor, flask = (table[key] for key in ("skdeploy", "skdeploy-sklearn", "floor", "flask"))
    best = best_of(table.values(), "peer")
    return [
        Target("one record, 16 connections: requests/s of the floor", ours.one / floor.one, 0.75),
        Target("one record, one connection: p50 of the floor's", ours.p1[0] / floor.p1[0], 1.4, at_most=True),
        Target("one record, 16 connections: p99 of its own p50", ours.p16[2] / ours.p16[0], 3, at_most=True),
        Target("one record, 16 connections: requests/s of naive Flask", ours.one / flask.one, 12),
        Target(f"the same of the best peer, {best.label}", ours.one / best.one, 8),
        Target("1,000 records: records/s of naive Flask", ours.many / flask.many, 5),
        Target(
            "1,000 records: records/s of decode, engine and encode alone",
            ours.many / median(document["in_process"]),
            0.7,
        ),
        Target("`ENGINE=sklearn`, 16 connections: requests/s of naive Flask", batched.one / flask.one, 3),
        Target("from the start to the first right answer", ours.start, 2.5, "s", at_most=True),
        Target("memory of each further worker", further_worker(document), 40, "MB", at_most=True),
    ]


def best_of(table: Iterable[Row], kind: str) -> Row:
    """The fastest of a kind at one record."""
    return max((row for row in table if row.kind == kind), key=lambda row: row.one)


def further_worker(document: Document) -> float:
    """MB that the whole service grows by with each worker after the first."""
    workers = {int(number): megabytes for number, megabytes in document["workers"].items()}
    most = max(workers)
    growth: float = (workers[most] - workers[1]) / (most - 1)
    return growth
