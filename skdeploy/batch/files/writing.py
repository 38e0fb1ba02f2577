"""An interval being written to files that no manifest names yet."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path

import pyarrow as pa

from skdeploy.batch.chunks import REJECT_COLUMNS, Counts, Key, Reject, ScoredChunk, Task, Writing
from skdeploy.batch.files.ledger import Ledger
from skdeploy.batch.files.manifest import DIGEST_DIGITS, PREDICTIONS, REJECTS, Manifest, Part, Scoring
from skdeploy.batch.files.parts import PartWriter
from skdeploy.errors import OutputError

_INSTANT = pa.timestamp("us", tz="UTC")
INTERVAL = [pa.field("interval_start", _INSTANT), pa.field("interval_end", _INSTANT)]
HEAD = [pa.field("job", pa.string()), pa.field("model_digest", pa.string())]
MODEL = [pa.field("model_name", pa.string()), pa.field("model_version", pa.string())]
_REASON = [pa.field(name, pa.string()) for name in REJECT_COLUMNS]
_REJECTS = pa.schema([*HEAD, *_REASON, *INTERVAL])


def make_writers(
    ledger: Ledger,
    task: Task,
    schema: pa.Schema,
    scratch: Path,
    part_rows: int,
    generation: int,
    first: int = 0,
) -> dict[str, PartWriter]:
    """Of predictions, which have `schema`, and of rejects; the other arguments are PartWriter's."""
    return {
        kind: PartWriter(
            ledger.storage, scratch, ledger.part_folder(task, kind), columns, part_rows, generation, first
        )
        for kind, columns in ((PREDICTIONS, schema), (REJECTS, _REJECTS))
    }


class FileWriting(Writing):
    """An interval being written to files that no manifest names yet."""

    def __init__(
        self,
        ledger: Ledger,
        task: Task,
        base: Manifest,
        schema: pa.Schema,
        writers: Mapping[str, PartWriter],
        where: str,
    ) -> None:
        self.after: Key | None = None
        self.counts = Counts()
        self.task = task
        self._ledger = ledger
        self._base = base
        self._schema = schema
        self._writers = writers
        self._where = where
        self._finished = False

    def write(self, scored: ScoredChunk) -> None:
        """Take a chunk."""
        with told_writing(self._where):
            self._writers[PREDICTIONS].add(_filled(scored.predictions, self._schema, self.task))
            self._writers[REJECTS].add(_filled(_reasons(scored.rejects), _REJECTS, self.task))
        self.counts.add(scored)

    def finish(self) -> None:
        """Put the manifest in its place. Raises IntervalHeld if another run did so in the meantime."""
        scoring = Scoring.of(self.task, "completed", self.counts, self.parts())
        self._ledger.complete(self.task, self._base, scoring, uuid.uuid4().hex)
        self._finished = True

    def parts(self) -> dict[str, tuple[Part, ...]]:
        """All files, after the last of them is written."""
        with told_writing(self._where):
            return {kind: writer.close() for kind, writer in self._writers.items()}

    def abandon(self) -> list[Part]:
        """The files that were written in vain."""
        if self._finished:
            return []
        for writer in self._writers.values():
            writer.abandon()
        return [part for writer in self._writers.values() for part in writer.parts]


@contextlib.contextmanager
def told_writing(where: str) -> Iterator[None]:
    """What the system says, as OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"SKDEPLOY_OUTPUT_URL: {where} cannot be written: {error.strerror or error}."
        ) from None


def _reasons(rejects: Sequence[Reject]) -> pa.Table:
    columns = list(zip(*rejects, strict=True)) or [()] * len(_REASON)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return pa.Table.from_arrays(arrays, names=[field.name for field in _REASON])


def _filled(rows: pa.Table, schema: pa.Schema, task: Task) -> pa.Table:
    """The rows in the schema's columns and types, with what is the same in all of them."""
    same = {
        "job": task.job,
        "model_digest": task.digest[:DIGEST_DIGITS],
        "model_name": task.model_name,
        "model_version": task.model_version,
        "interval_start": task.interval.start.astimezone(UTC),
        "interval_end": task.interval.end.astimezone(UTC),
    }
    arrays = [
        rows.column(field.name).cast(field.type)
        if field.name in rows.column_names
        else pa.repeat(pa.scalar(same[field.name], field.type), rows.num_rows)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
