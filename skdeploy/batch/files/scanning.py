"""Parquet files -> the records that are wanted, a group of rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from skdeploy.batch.files.dataset import File, Records
from skdeploy.errors import InputError

_ROWS = 16_384
# Of each column that is read at once: without a limit, a group's whole column is.
_BUFFER = 2 * 1024**2

Wanted = Callable[[File], Any]


def scan(records: Records, names: Sequence[str], wanted: Wanted) -> Iterator[pa.RecordBatch]:
    """Columns of the wanted records, in the plain types of all files together.

    wanted   an expression of Arrow for a file; what Parquet's statistics rule out is not read
    """
    for file in records.files:
        yield from _scan_file(file, records.schema, names, wanted(file))


def _scan_file(file: File, schema: pa.Schema, names: Sequence[str], wanted: Any) -> Iterator[pa.RecordBatch]:
    groups = file.fragment.subset(wanted).row_groups
    if not groups:
        return
    own = [name for name in file.schema.names if name not in file.folders]
    with pq.ParquetFile(
        file.path, filesystem=file.filesystem, metadata=file.fragment.metadata, buffer_size=_BUFFER
    ) as opened:
        for group in groups:
            batches = opened.iter_batches(_ROWS, row_groups=[group.id], columns=own, use_threads=False)
            for batch in batches:
                found = batch.filter(wanted)
                if found.num_rows:
                    yield _plain(file, found, schema, names)


def _plain(file: File, batch: pa.RecordBatch, schema: pa.Schema, names: Sequence[str]) -> pa.RecordBatch:
    columns = [_column(file, batch, schema.field(name)) for name in names]
    return pa.RecordBatch.from_arrays(columns, names=list(names))


def _column(file: File, batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name in file.folders:
        return pa.repeat(pa.scalar(file.folders[field.name], field.type), batch.num_rows)
    column = batch.column(field.name)
    try:
        return column if column.type == field.type else column.cast(field.type)
    except pa.ArrowInvalid:
        # Its own message has the value.
        raise InputError(
            f"SKDEPLOY_INPUT_URL: {file.path} has {field.name!r} as {column.type}, with values that do not "
            "fit into "
            f"{field.type}, which it is together with other files."
        ) from None
