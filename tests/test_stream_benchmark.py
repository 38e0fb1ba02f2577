"""The stream door's benchmark: what its results become, and how a rate is measured."""

from __future__ import annotations

import copy

from benchmarks.documents import Document
from benchmarks.stream import report, targets
from benchmarks.stream.contestants import CONTESTANTS

DOCUMENT: Document = {
    "date": "2026-11-28",
    "machine": {"processor": "a processor", "cores": 2, "system": "Linux 6", "python": "3.11.7"},
    "rounds": 3,
    "events": 300_000,
    "contestants": {
        "floor": [{"rate": rate, "cpu": 5.0} for rate in (90_000, 100_000, 500_000)],
        "skdeploy": [{"rate": 70_000, "cpu": 14.0}] * 3,
        "naive": [{"rate": 100, "cpu": 10_000.0}] * 3,
    },
    "latency": [{"rate": 35_000, "p50": 8.0, "p90": 20.0, "p99": 40.0}] * 3,
    "function": {
        "container": {"cold": 3.25, "warm": {"100": 2000, "1000": 5000}},
        "exported": {"cold": 1.5, "warm": {"100": 2100, "1000": 5100}},
        "streams": {"100": 3000, "1000": 7000},
    },
}


def test_targets_are_reached_or_missed_by_medians() -> None:
    """One outlier among three rounds moves nothing; a slower consumer misses the floor's share."""
    assert [target.value for target in targets.targets(DOCUMENT)] == [0.7, 700]
    assert all(target.reached for target in targets.targets(DOCUMENT))
    slow = copy.deepcopy(DOCUMENT)
    slow["contestants"]["skdeploy"] = [{"rate": 50_000, "cpu": 20.0}]
    assert [target.reached for target in targets.targets(slow)] == [False, True]


def test_the_tables_say_what_was_measured() -> None:
    """Targets, a line per contestant, and the latencies; without all contestants there are no targets."""
    section = report.section(DOCUMENT)
    assert section.count("| yes |") == 2
    assert "| skdeploy | 70,000 | 14.0 |" in section
    assert "at 35,000 events/s" in section
    assert "p99 40 ms" in section
    assert "| an exported model, as in the zip | 1.5 | 2,100 | 5,100 |" in section
    few = {**DOCUMENT, "contestants": {"floor": DOCUMENT["contestants"]["floor"]}, "latency": []}
    assert "target" not in report.section(few)


def test_what_is_ours_is_the_command_line() -> None:
    """The consumer that is measured is the one that users start."""
    command = CONTESTANTS["skdeploy"].command("host:1", "in", "out")
    assert command[1:3] == ["-m", "streaming.consume"]
