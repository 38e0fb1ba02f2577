"""A minute and a half of mixed load leaves no trace in memory, files and threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.soak import CLIENTS, REQUESTS, soak

SECONDS = float(os.environ.get("SOAK_SECONDS", "90"))
MEGABYTE = 1_000_000


@pytest.mark.nightly
@pytest.mark.robustness("load", f"{CLIENTS} clients with good, bad and large requests, many of them leaving")
def test_a_soak_leaves_no_trace(tmp_path: Path, fact: Callable[..., None]) -> None:
    """Every request has its right answer through reloads and swaps, and no process grows once it is warm."""
    seen = soak(tmp_path, SECONDS)
    assert not seen.lost
    assert set(seen.answered) == set(REQUESTS)
    growth = seen.growth()
    assert sorted(role for role, _ in growth) == ["main process", "worker", "worker"]
    for process, grown in growth.items():
        # Connections come and go between the samples; a last thread of the pool, with memory of its own, may
        # start late.
        assert grown["memory"] < 10 * MEGABYTE, (process, growth)
        assert grown["files"] <= CLIENTS, (process, growth)
        assert grown["threads"] <= 1, (process, growth)
    most = {what: max(grown[what] for grown in growth.values()) for what in ("memory", "files", "threads")}
    said = (
        f"{seen.seconds:.0f} s with {len(seen.reloads)} reloads, {len(seen.swaps)} other models and "
        f"{seen.left:,} clients gone in mid-body; grown once warm, at most: "
        f"{most['memory'] / MEGABYTE:.1f} MB, {most['files']:.0f} files, "
        f"{most['threads']:.0f} threads in a process"
    )
    fact(said, seen.answered.total(), seen.lost.total())
