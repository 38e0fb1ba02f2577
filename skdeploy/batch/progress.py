"""A bar on standard error: how far a run is, and how long it will go on."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from skdeploy.batch.chunks import Outcome
from skdeploy.batch.job import Job
from skdeploy.batch.plan import Decision
from skdeploy.errors import BatchError


class Bar:
    """Records read of those that are to be; nothing where standard error is no terminal."""

    def __init__(self, job: Job, decisions: Sequence[Decision]) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            wanted = [decision.interval for decision in decisions if decision.score]
            self._bar = tqdm(total=_count(job, wanted), unit=" records", unit_scale=True, dynamic_ncols=True)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def records(self, count: int) -> None:
        """So many more were written."""
        if self._bar is not None:
            self._bar.update(count)

    def interval(self, outcome: Outcome) -> None:
        """An interval is done with."""
        if self._bar is not None:
            self._bar.set_description(f"{outcome.interval.label} {outcome.status}")


def _count(job: Job, intervals: Sequence[Any]) -> int | None:
    with contextlib.suppress(BatchError):
        return sum(job.input.count(interval) for interval in intervals)
    return None
