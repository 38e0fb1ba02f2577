"""One interval, from its records to its ledger entry."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from skdeploy.batch.chunks import Counts, Input, Outcome, Output, Task, Writing
from skdeploy.batch.intervals import Interval
from skdeploy.batch.overlapping import mapped
from skdeploy.batch.scoring import Scorer
from skdeploy.errors import Interrupted, IntervalHeld
from skdeploy.model import Model

_log = logging.getLogger(__name__)

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is done to every interval.

    name      the job's name in ledger and predictions
    size      records of a chunk
    large     an interval of more records than this is staged
    threads   that predict
    stop      set from outside when the job is to end
    progress  called with the number of records that a chunk had, once it is written
    """

    name: str
    input: Input
    output: Output
    model: Model
    scorer: Scorer
    size: int
    large: int
    threads: int
    stop: threading.Event
    progress: Progress = lambda _count: None

    def task(self, interval: Interval) -> Task:
        """The interval as it is scored by this job's model."""
        passport = self.model.passport
        return Task(
            job=self.name,
            interval=interval,
            model_name=passport.name,
            model_version=passport.version,
            digest=self.model.digest,
            asked=f"{self.size} {','.join(self.scorer.predicted.names)}",
        )

    def score(self, interval: Interval) -> Outcome:
        """Score an interval as a whole, whatever the ledger says of it.

        Raises InputError, OutputError or Interrupted; then nothing of it is there, and what was there
        before still is. An interval that another run holds is an outcome.
        """
        began = time.monotonic()
        task = self.task(interval)
        try:
            with self.output.writing(task, large=self.input.count(interval) > self.large) as writing:
                resumed = writing.after is not None
                if resumed:
                    _log.info("Going on with %s behind %d records", interval.label, writing.counts.read)
                self._write(interval, writing)
                writing.finish()
        except IntervalHeld as held:
            return Outcome(interval, "held", Counts(), time.monotonic() - began, str(held))
        seconds = time.monotonic() - began
        return Outcome(interval, "completed", writing.counts, seconds, resumed=resumed)

    def _write(self, interval: Interval, writing: Writing) -> None:
        chunks = self.input.chunks(interval, self.size, writing.after)
        self.progress(writing.counts.read)
        with mapped(self.scorer.score, chunks, self.threads) as results:
            for scored in results:
                if self.stop.is_set():
                    raise Interrupted(f"Told to stop while scoring {interval.label}.")
                writing.write(scored)
                self.progress(scored.count)
