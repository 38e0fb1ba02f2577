"""Predictions and rejects as Parquet files, an interval per manifest.

    predictions/job=JOB/interval=LABEL/_manifest.json
    predictions/job=JOB/interval=LABEL/model=DIGEST/part-00000-CONTENT.parquet
    predictions_rejects/job=JOB/interval=LABEL/model=DIGEST/part-00000-CONTENT.parquet
    predictions/_columns.json

Who reads what the manifests name sees of an interval all predictions or none, of one run. Who reads
whatever is in the folders sees, until the files of an earlier run are deleted, both.

A large interval is nothing special here: a run that died left files that nobody sees, and the next one
makes them anew, but does not upload again those that are there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from skdeploy.batch.chunks import Counts, Entry, Key, Output, Reject, Scored, Task, Writing
from skdeploy.batch.files.carriers import plain_type
from skdeploy.batch.files.ledger import Ledger
from skdeploy.batch.files.manifest import DIGEST_DIGITS, PREDICTIONS, REJECTS, Manifest, Part, Scoring
from skdeploy.batch.files.parts import PartWriter
from skdeploy.batch.files.scratch import scratch_folder
from skdeploy.batch.files.storage import Conflict, open_storage
from skdeploy.errors import OutputError

_log = logging.getLogger(__name__)

_INSTANT = pa.timestamp("us", tz="UTC")
_INTERVAL = [pa.field("interval_start", _INSTANT), pa.field("interval_end", _INSTANT)]
_HEAD = [pa.field("job", pa.string()), pa.field("model_digest", pa.string())]
_MODEL = [pa.field("model_name", pa.string()), pa.field("model_version", pa.string())]
_REASON = [pa.field(name, pa.string()) for name in ("row_key", "column_name", "expected", "got")]
_REJECTS = pa.schema([*_HEAD, *_REASON, *_INTERVAL])


class ParquetOutput(Output):
    """Files below `url`, a folder or s3://bucket/prefix. `prepare` comes first.

    part_rows   the most rows of one file
    """

    def __init__(self, url: str, *, table: str = "predictions", part_rows: int = 1_000_000) -> None:
        self._storage = open_storage(url, "OUTPUT_URL", OutputError)
        self._ledger = Ledger(self._storage, table)
        self._columns = self._ledger.folder("", "").partition("/")[0] + "/_columns.json"
        self._part_rows = part_rows
        self._schema: pa.Schema | None = None

    def prepare(
        self, key_types: Mapping[str, pa.DataType], predicted: pa.Schema, *, make: bool = True
    ) -> None:
        """Note the predictions' columns, or refuse others than those that are noted."""
        keys = [pa.field(name, plain_type(kind)) for name, kind in key_types.items()]
        fields = [*_HEAD, *keys, *(pa.field(f.name, plain_type(f.type)) for f in predicted)]
        schema = pa.schema([*fields, *_MODEL, *_INTERVAL])
        twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
        if twice:
            raise OutputError(f"The predictions would have two columns {', '.join(twice)}: rename the key.")
        self._require_columns({field.name: str(field.type) for field in schema}, make)
        self._schema = schema

    def entries(self, job: str, start: datetime, end: datetime) -> list[Entry]:
        """What the manifests say of the intervals that start in [start, end)."""
        return sorted(self._ledger.entries(job, start, end), key=lambda entry: entry.interval)

    def last(self, job: str) -> Entry | None:
        """The entry of the latest interval that was completed."""
        return self._ledger.last(job)

    @contextlib.contextmanager
    def writing(self, task: Task, large: bool) -> Iterator[Writing]:  # noqa: ARG002
        """Begin to write an interval; leaving it without `finish` undoes it."""
        if self._schema is None:
            raise OutputError("The output is not prepared.")
        with self._storage.held(self._ledger.lock(task)), self._scratch() as scratch:
            base = self._ledger.read(task).manifest
            writers = {
                kind: PartWriter(
                    self._storage,
                    scratch,
                    self._ledger.part_folder(task, kind),
                    schema,
                    self._part_rows,
                    base.generation + 1,
                )
                for kind, schema in ((PREDICTIONS, self._schema), (REJECTS, _REJECTS))
            }
            writing = FileWriting(self._ledger, task, base, self._schema, writers, self._storage.where)
            try:
                yield writing
            finally:
                self._undo(writing)

    def fail(self, task: Task, error: str) -> None:
        """Note that a task failed, unless the interval is completed already."""
        self._ledger.fail(task, Scoring.of(task, "failed", Counts(), {}, error), uuid.uuid4().hex)

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        with contextlib.ExitStack() as stack:
            with told_writing(self._storage.where):
                folder = stack.enter_context(scratch_folder(self._storage.scratch))
            yield folder

    def _undo(self, writing: FileWriting) -> None:
        """Delete what was written in vain, unless another run may count on files of these names."""
        parts = writing.abandon()
        if not parts or not self._storage.exclusive:
            return
        try:
            self._ledger.forget(writing.task, parts)
        except OutputError as error:
            _log.warning("Files that nobody needs are left: %s", error)

    def _require_columns(self, columns: Mapping[str, str], make: bool) -> None:
        content = json.dumps({"columns": columns}, indent=1).encode() + b"\n"
        found = self._storage.read(self._columns)
        if found is None and make:
            with contextlib.suppress(Conflict):
                self._storage.replace(self._columns, content, None)
            found = self._storage.read(self._columns)
        if found is None:
            return
        there = json.loads(found[0])["columns"]
        if list(there.items()) != list(columns.items()):
            raise OutputError(
                f"The predictions in {self._storage.where} {_unlike(there, columns)}: they were made for "
                "another key or another kind of model. Name another OUTPUT_TABLE."
            )
        if make:
            self._storage.require_conditions(self._columns, found[0])


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

    def write(self, scored: Scored) -> None:
        """Take a chunk."""
        with told_writing(self._where):
            self._writers[PREDICTIONS].add(_filled(scored.predictions, self._schema, self.task))
            self._writers[REJECTS].add(_filled(_reasons(scored.rejects), _REJECTS, self.task))
        self.counts.add(scored)

    def finish(self) -> None:
        """Put the manifest in its place. Raises IntervalHeld if another run did so in the meantime."""
        with told_writing(self._where):
            parts = {kind: writer.close() for kind, writer in self._writers.items()}
        scoring = Scoring.of(self.task, "completed", self.counts, parts)
        self._ledger.complete(self.task, self._base, scoring, uuid.uuid4().hex)
        self._finished = True

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
        raise OutputError(f"OUTPUT_URL: {where} cannot be written: {error.strerror or error}.") from None


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


def _unlike(there: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    lacks = [name for name in wanted if name not in there]
    extra = [name for name in there if name not in wanted]
    extra += [f"{name} as {there[name]}" for name in wanted if there.get(name, wanted[name]) != wanted[name]]
    said = [f"lack {', '.join(lacks)}"] if lacks else []
    said += [f"have {', '.join(extra)}"] if extra else []
    return " and ".join(said) or "have their columns in another order"
