"""One interval, scored by a cluster and put in its place by the driver."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from skdeploy.batch.chunks import Counts, Outcome
from skdeploy.batch.intervals import Interval
from skdeploy.batch.job import Job
from skdeploy.batch.spark.cluster import Cluster
from skdeploy.batch.spark.executor import Work
from skdeploy.batch.spark.reading import Reading
from skdeploy.batch.spreading import Receipt, SpreadOutput, Stage, total
from skdeploy.errors import Interrupted, IntervalHeld


@dataclass(frozen=True, slots=True, kw_only=True)
class SparkJob(Job):
    """A job whose records Spark reads, scores and stages.

    output        must be a SpreadOutput too
    part_records  of about so many a part consists, whatever the cluster
    strict        as the scorer has it
    """

    cluster: Cluster
    reading: Reading
    spread: SpreadOutput
    part_records: int
    proba: bool
    strict: bool

    def score(self, interval: Interval) -> Outcome:
        """Score an interval as a whole, as `Job.score` does."""
        began = time.monotonic()
        if self.stop.is_set():
            raise Interrupted(f"Told to stop before scoring {interval.label}.")
        try:
            with self.spread.spreading(self.task(interval)) as spreading:
                receipts = self._receipts(interval, spreading.stage)
                spreading.finish(receipts)
        except IntervalHeld as held:
            return Outcome(interval, "held", Counts(), time.monotonic() - began, str(held))
        counts = total(receipts)
        self.progress(counts.read)
        return Outcome(interval, "completed", counts, time.monotonic() - began)

    def _receipts(self, interval: Interval, stage: Stage) -> Sequence[Receipt]:
        count = self.input.count(interval)
        if not count:
            return []
        work = Work(
            shipped=self.cluster.shipped,
            types=self.reading.types,
            keys=tuple(self.input.key_types),
            proba=self.proba,
            strict=self.strict,
            size=self.size,
            run=uuid.uuid4().hex[:12],
            stage=stage,
        )
        with self.cluster.told(interval.label):
            frame = self.reading.frame(self.cluster.session, interval, math.ceil(count / self.part_records))
        return self.cluster.score(frame, work, interval.label)
