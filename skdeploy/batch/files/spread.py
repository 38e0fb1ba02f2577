"""An interval that processes of a cluster write to files, and one names in its manifest.

Attempts at a part write the same files, whose names follow from their content; those that differ, and
those of attempts that do not count, are named by no manifest, and deleted when the interval is next
completed.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from skdeploy.batch.chunks import ScoredChunk, Task
from skdeploy.batch.files.ledger import Ledger
from skdeploy.batch.files.manifest import PREDICTIONS, REJECTS, Manifest, Part, Scoring
from skdeploy.batch.files.scratch import scratch_folder
from skdeploy.batch.files.storage import Storage, open_storage
from skdeploy.batch.files.writing import FileWriting, make_writers, told_writing
from skdeploy.batch.spreading import Attempt, PartWriting, Receipt, Spreading, Stage, total
from skdeploy.errors import OutputError

# Numbers of files that a part may take; it has some 100,000 records.
_NUMBERS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStage(Stage):
    """The output's folder, which every process reaches under the same URL."""

    url: str
    table: str
    part_rows: int
    schema: pa.Schema
    task: Task
    generation: int

    @contextlib.contextmanager
    def writing(self, attempt: Attempt) -> Iterator[PartWriting]:
        """Begin to write files."""
        storage = open_storage(self.url, "SKDEPLOY_OUTPUT_URL", OutputError)
        ledger = Ledger(storage, self.table)
        with contextlib.ExitStack() as stack:
            with told_writing(storage.where):
                scratch = stack.enter_context(scratch_folder(storage.scratch))
            first = attempt.part * _NUMBERS
            writers = make_writers(
                ledger, self.task, self.schema, scratch, self.part_rows, self.generation, first
            )
            nothing = Manifest.empty(self.task)
            writing = FileWriting(ledger, self.task, nothing, self.schema, writers, storage.where)
            try:
                yield FilePart(writing, attempt)
            finally:
                writing.abandon()


class FilePart(PartWriting):
    """A part's files."""

    def __init__(self, writing: FileWriting, attempt: Attempt) -> None:
        self._writing = writing
        self._attempt = attempt

    def write(self, scored: ScoredChunk) -> None:
        """Take a chunk."""
        self._writing.write(scored)

    def close(self) -> Receipt:
        """Put the last files in their places; which they all are."""
        left = {kind: list(map(list, parts)) for kind, parts in self._writing.parts().items()}
        return Receipt(self._attempt, self._writing.counts, left)


class FileSpreading(Spreading):
    """What attempts wrote; `finish` names in the manifest what counts."""

    def __init__(self, storage: Storage, ledger: Ledger, base: Manifest, stage: FileStage) -> None:
        self.stage = stage
        self._storage = storage
        self._ledger = ledger
        self._base = base

    def finish(self, receipts: Sequence[Receipt]) -> None:
        """Put the manifest in its place. Raises IntervalHeld if another run did so in the meantime."""
        ordered = sorted(receipts, key=lambda receipt: receipt.attempt.part)
        parts = {
            kind: tuple(Part(*part) for receipt in ordered for part in receipt.left[kind])
            for kind in (PREDICTIONS, REJECTS)
        }
        for kind, found in parts.items():
            self._require(kind, found)
        task = self.stage.task
        scoring = Scoring.of(task, "completed", total(receipts), parts)
        self._ledger.complete(task, self._base, scoring, uuid.uuid4().hex)

    def _require(self, kind: str, parts: Sequence[Part]) -> None:
        """Raise OutputError unless what other machines wrote is seen from this one."""
        folder = self._ledger.part_folder(self.stage.task, kind)
        there = {file.name: file.size for file in self._storage.files(folder)}
        if any(there.get(part.name) != part.bytes for part in parts):
            raise OutputError(
                f"SKDEPLOY_OUTPUT_URL: files that executors wrote are not in {self._storage.where} as this "
                "machine "
                "sees it: give a folder that all machines share, or s3://bucket/prefix."
            )
