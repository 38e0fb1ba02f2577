"""What is measured: a process that consumes one topic and writes another."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

MODEL = "model.bin"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A process of the benchmark.

    kind       "floor", "ours" or "naive"
    arguments  its command line without Python: from the broker, the events' topic and the output's
    few        whether it is so slow that it gets few events
    settings   of a consumer
    """

    key: str
    label: str
    kind: str
    arguments: Callable[[str, str, str], list[str]]
    few: bool = False
    settings: dict[str, str] = field(default_factory=dict)

    def command(self, bootstrap: str, events: str, output: str) -> list[str]:
        """The process."""
        return [sys.executable, *self.arguments(bootstrap, events, output)]


def _ours(key: str, label: str, *flags: str, few: bool = False, **settings: str) -> Contestant:
    def arguments(bootstrap: str, events: str, output: str) -> list[str]:
        line = ["-m", "streaming.consume", "--bootstrap", bootstrap, "--topics", events]
        return [*line, "--output", output, "--group", output, *flags]

    return Contestant(
        key,
        label,
        "ours",
        arguments,
        few,
        {"SKDEPLOY_MODEL_URI": MODEL, "SKDEPLOY_METRICS_LISTEN": "0"} | settings,
    )


def _module(key: str, label: str, kind: str, *, few: bool = False) -> Contestant:
    return Contestant(key, label, kind, lambda *names: ["-m", f"benchmarks.stream.{key}", *names], few)


CONTESTANTS = {
    contestant.key: contestant
    for contestant in (
        _module("floor", "floor: consume and produce, no model", "floor"),
        _ours("skdeploy", "skdeploy"),
        _ours("exactly-once", "skdeploy, exactly once", "--exactly-once"),
        _ours("sklearn", "skdeploy, SKDEPLOY_ENGINE=sklearn", SKDEPLOY_ENGINE="sklearn"),
        _module("naive", "naive loop: one event at a time", "naive", few=True),
    )
}
