"""One interval, scored by a cluster and put in its place by the driver."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from skdeploy.batch.chunks import Counts, Task
from skdeploy.batch.intervals import Interval
from skdeploy.batch.job import Job
from skdeploy.batch.spark.cluster import Cluster
from skdeploy.batch.spark.executor import Work
from skdeploy.batch.spark.reading import Reading
from skdeploy.batch.spreading import Receipt, SpreadOutput, Stage, total
from skdeploy.errors import Interrupted


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

    def _write(self, task: Task, count: int) -> tuple[Counts, bool]:
        """Score and stage an interval in parts, and put them in their place; never a half-done one."""
        if self.stop.is_set():
            raise Interrupted(f"Told to stop before scoring {task.interval.label}.")
        with self.spread.spreading(task) as spreading:
            receipts = self._receipts(task.interval, count, spreading.stage)
            spreading.finish(receipts)
        for receipt in receipts:
            if self.scorer.drift is not None and receipt.drift:
                self.scorer.drift.merge(receipt.drift)
        counts = total(receipts)
        self.progress(counts.read)
        return counts, False

    def _receipts(self, interval: Interval, count: int, stage: Stage) -> Sequence[Receipt]:
        if not count:
            return []
        work = Work(
            shipped=self.cluster.shipped,
            types=self.reading.types,
            keys=tuple(self.input.key_types),
            proba=self.proba,
            strict=self.strict,
            drift=self.scorer.drift is not None,
            size=self.size,
            run=uuid.uuid4().hex[:12],
            stage=stage,
        )
        with self.cluster.told(interval.label):
            frame = self.reading.frame(self.cluster.session, interval, math.ceil(count / self.part_records))
        return self.cluster.score(frame, work, interval.label)
