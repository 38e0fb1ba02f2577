"""What passes between the parts of a job, and what the parts promise each other.

An `Input` gives the records of an interval in chunks, in the order of their keys; a `ChunkScorer` makes
of each chunk what an `Output` writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from skdeploy.batch.intervals import Interval

# A typed column (of Arrow); or, of a database that lets a column hold anything, its values.
Cells = Any
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some neighbouring records of an interval: their keys and the model's columns, by name."""

    columns: Mapping[str, Cells]
    count: int


# What the fields of a Reject are called in tables.
REJECT_COLUMNS = ("row_key", "column_name", "reason", "expected", "got")


class Reject(NamedTuple):
    """One reason why a record has no prediction.

    row_key    the record's key as a JSON object by column
    column     which cell is bad; None where it is the record as a whole
    reason     one of `skdeploy.errors.CODES`
    """

    row_key: str
    column: str | None
    reason: str
    expected: str
    got: str


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """What a chunk came to.

    predictions   key columns, then `prediction` and what else the model gives; in key order
    rejects       one per bad cell, in key order
    rejected      how many records those are
    last          the key of the chunk's last record
    """

    predictions: pa.Table
    rejects: Sequence[Reject]
    rejected: int
    last: Key

    @property
    def count(self) -> int:
        """How many records the chunk had."""
        return int(self.predictions.num_rows) + self.rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One interval to be scored, by one model, for one job.

    digest   SHA-256 of the model's file
    asked    what else decides over the rows' content: a half-done run with other answers is begun anew
    again    whether it is scored even if it is completed by now
    """

    job: str
    interval: Interval
    model_name: str
    model_version: str
    digest: str
    asked: str = ""
    again: bool = True


@dataclass(slots=True)
class Counts:
    """Records of an interval."""

    read: int = 0
    predicted: int = 0
    rejected: int = 0

    def add(self, scored: ScoredChunk) -> None:
        """Count a chunk."""
        self.read += scored.count
        self.predicted += scored.predictions.num_rows
        self.rejected += scored.rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger says of an interval: `status` is "completed" or "failed"."""

    interval: Interval
    status: str
    digest: str
    counts: Counts
    scored_at: datetime
    error: str | None = None


class Input(Protocol):
    """Where records come from."""

    key_types: Mapping[str, pa.DataType]
    """The key columns and what they hold, in the key's order."""

    wall: bool
    """Whether the event time is a wall clock's, without a zone."""

    def count(self, interval: Interval) -> int:
        """How many records the interval has."""

    def without_time(self) -> int:
        """How many records have no event time that can be read, and so belong to no interval."""

    def chunks(self, interval: Interval, size: int, after: Key | None = None) -> Iterator[Chunk]:
        """The interval's records behind the key `after`, in the order of their keys.

        Every chunk has `size` records, but for the last, and for one that would part records with the
        same key: so chunks depend on the records alone.
        """


class Writing(Protocol):
    """An interval being written, which nobody else writes.

    after, counts   where a run that died left off, and what it had done; None and zeros if it left nothing
    """

    after: Key | None
    counts: Counts

    def write(self, scored: ScoredChunk) -> None:
        """Take a chunk. What is written is seen by nobody before `finish`."""

    def finish(self) -> None:
        """Put all that was written in the place of what was there, and into the ledger, at once."""


class Output(Protocol):
    """Where predictions, rejects and the ledger are."""

    def prepare(
        self, key_types: Mapping[str, pa.DataType], predicted: pa.Schema, *, make: bool = True
    ) -> None:
        """Make tables that are not there, if `make`; refuse those that do not fit."""

    def entries(self, job: str, start: datetime, end: datetime) -> list[Entry]:
        """What the ledger says of the intervals that start in [start, end), one entry per interval.

        Of several models' entries it is the latest completed one that counts, else the latest.
        """

    def last(self, job: str) -> Entry | None:
        """The entry of the latest interval of the job that was completed."""

    def writing(self, task: Task, large: bool) -> AbstractContextManager[Writing]:
        """Begin to write an interval; leaving it without `finish` undoes it.

        `large` lets what was written survive a death, to be gone on with.
        Raises IntervalHeld if another run is at it; IntervalCompleted if one was, and the task is not to be
        done `again`.
        """

    def fail(self, task: Task, error: str) -> None:
        """Note that a task failed, unless the interval is completed already."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one interval.

    status   "completed", "skipped" (it was completed before), "failed", or "held" (by another run)
    """

    interval: Interval
    status: str
    counts: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    error: str | None = None
    resumed: bool = False
