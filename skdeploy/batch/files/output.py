"""Predictions and rejects as Parquet files, an interval per manifest.

    predictions/job_name=JOB/interval=LABEL/_manifest.json
    predictions/job_name=JOB/interval=LABEL/model=DIGEST/part-00000-CONTENT.parquet
    predictions_rejects/job_name=JOB/interval=LABEL/model=DIGEST/part-00000-CONTENT.parquet
    predictions/_columns.json

The folders' names are columns to pandas, Spark and DuckDB; `job` they could not be, for a file has it.
Who reads what the manifests name sees of an interval all predictions or none, of one run. Who reads
whatever is in the folders sees, until the files of an earlier run are deleted, both.

A record whose event time was changed keeps its prediction in the interval where it was, until that one is
scored again: a database deletes it at once.

A large interval is nothing special here: a run that died left files that nobody sees, and the next one
makes them anew, but does not upload again those that are there.
"""

from __future__ import annotations

import contextlib
import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from skdeploy.batch.chunks import Counts, Entry, Output, Task, Writing
from skdeploy.batch.files.kinds import plain_type
from skdeploy.batch.files.ledger import Ledger
from skdeploy.batch.files.manifest import Scoring
from skdeploy.batch.files.scratch import scratch_folder
from skdeploy.batch.files.spread import FileSpreading, FileStage
from skdeploy.batch.files.storage import Conflict, open_storage, split
from skdeploy.batch.files.writing import HEAD, INTERVAL, MODEL, FileWriting, make_writers, told_writing
from skdeploy.batch.spreading import Spreading
from skdeploy.errors import OutputError

_log = logging.getLogger(__name__)

_PART_ROWS = 1_000_000


class ParquetOutput(Output):
    """Files below `url`, a folder or s3://bucket/prefix. `prepare` comes first.

    part_rows   the most rows of one file
    """

    def __init__(self, url: str, *, table: str = "predictions", part_rows: int = _PART_ROWS) -> None:
        scheme, rest = split(url)
        self._url = str(Path(rest).absolute()) if scheme == "file" else url
        self._table = table
        self._storage = open_storage(url, "SKDEPLOY_OUTPUT_URL", OutputError)
        self._ledger = Ledger(self._storage, table)
        self._columns = self._ledger.folder("", "").partition("/")[0] + "/_columns.json"
        self._part_rows = part_rows
        self._schema: pa.Schema | None = None

    def prepare(
        self, key_types: Mapping[str, pa.DataType], predicted: pa.Schema, *, make: bool = True
    ) -> None:
        """Note the predictions' columns, or refuse others than those that are noted."""
        keys = [pa.field(name, plain_type(kind)) for name, kind in key_types.items()]
        fields = [*HEAD, *keys, *(pa.field(f.name, plain_type(f.type)) for f in predicted)]
        schema = pa.schema([*fields, *MODEL, *INTERVAL])
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
            writers = make_writers(
                self._ledger, task, self._schema, scratch, self._part_rows, base.generation + 1
            )
            writing = FileWriting(self._ledger, task, base, self._schema, writers, self._storage.where)
            try:
                yield writing
            finally:
                self._undo(writing)

    @contextlib.contextmanager
    def spreading(self, task: Task) -> Iterator[Spreading]:
        """Begin to write an interval from many processes, all of which reach the same place."""
        if self._schema is None:
            raise OutputError("The output is not prepared.")
        with self._storage.held(self._ledger.lock(task)):
            base = self._ledger.read(task).manifest
            stage = FileStage(
                url=self._url,
                table=self._table,
                part_rows=self._part_rows,
                schema=self._schema,
                task=task,
                generation=base.generation + 1,
            )
            yield FileSpreading(self._storage, self._ledger, base, stage)

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
                "another key or another kind of model. Name another SKDEPLOY_OUTPUT_TABLE."
            )
        if make:
            self._storage.require_conditions(self._columns, found[0])


def _unlike(there: Mapping[str, str], wanted: Mapping[str, str]) -> str:
    lacks = [name for name in wanted if name not in there]
    extra = [name for name in there if name not in wanted]
    extra += [f"{name} as {there[name]}" for name in wanted if there.get(name, wanted[name]) != wanted[name]]
    said = [f"lack {', '.join(lacks)}"] if lacks else []
    said += [f"have {', '.join(extra)}"] if extra else []
    return " and ".join(said) or "have their columns in another order"
