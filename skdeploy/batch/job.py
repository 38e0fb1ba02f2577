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
from skdeploy.batch.scoring import ChunkScorer
from skdeploy.errors import Interrupted, IntervalCompleted, IntervalHeld
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
    scorer: ChunkScorer
    size: int
    large: int
    threads: int
    stop: threading.Event
    progress: Progress = lambda _count: None

    def task(self, interval: Interval, count: int = 0, *, again: bool = True) -> Task:
        """The interval, of `count` records, as it is scored by this job's model; again: see `score`."""
        passport = self.model.passport
        return Task(
            job=self.name,
            interval=interval,
            model_name=passport.name,
            model_version=passport.version,
            digest=self.model.digest,
            # Records that came while a half-done run lay there may belong in front of its place.
            asked=f"{count} by {self.size}: {','.join(self.scorer.predicted.names)}",
            again=again,
        )

    def score(self, interval: Interval, *, again: bool = True) -> Outcome:
        """Score an interval as a whole.

        again   even if it is completed by now: another run may have done so since it was looked at

        Raises InputError, OutputError or Interrupted; then nothing of it is there, and what was there
        before still is. An interval that another run holds, or has completed, is an outcome.
        """
        began = time.monotonic()
        count = self.input.count(interval)
        task = self.task(interval, count, again=again)
        try:
            counts, resumed = self._write(task, count)
        except IntervalHeld as held:
            return Outcome(interval, "held", Counts(), time.monotonic() - began, str(held))
        except IntervalCompleted:
            return Outcome(interval, "skipped", Counts(), time.monotonic() - began)
        seconds = time.monotonic() - began
        return Outcome(interval, "completed", counts, seconds, resumed=resumed)

    def _write(self, task: Task, count: int) -> tuple[Counts, bool]:
        """Write an interval of about `count` records; whether a run that died had begun it."""
        label = task.interval.label
        with self.output.writing(task, large=count > self.large) as writing:
            resumed = writing.after is not None
            if resumed:
                _log.info("Going on with %s behind %d records", label, writing.counts.read)
            self._write_chunks(task.interval, writing)
            writing.finish()
        return writing.counts, resumed

    def _write_chunks(self, interval: Interval, writing: Writing) -> None:
        chunks = self.input.chunks(interval, self.size, writing.after)
        self.progress(writing.counts.read)
        with mapped(self.scorer.score, chunks, self.threads) as results:
            for scored in results:
                if self.stop.is_set():
                    raise Interrupted(f"Told to stop while scoring {interval.label}.")
                writing.write(scored)
                self.progress(scored.count)
