"""Predictions and rejects of a task as rows of its tables."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from skdeploy.batch.chunks import REJECT_COLUMNS, Reject, Task
from skdeploy.batch.databases.tables import DIGEST_DIGITS


def digest_of(task: Task) -> str:
    """The start of the model's SHA-256, which tells its rows from others'."""
    return task.digest[:DIGEST_DIGITS]


def _with_task(rows: pa.Table, task: Task) -> pa.Table:
    """The rows with what is the same in all of them."""
    instant = pa.timestamp("s", tz="UTC")
    for name, value in (
        ("job", task.job),
        ("model_digest", digest_of(task)),
        ("interval_start", pa.scalar(task.interval.start, instant)),
        ("interval_end", pa.scalar(task.interval.end, instant)),
    ):
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    return rows


def as_predictions(rows: pa.Table, task: Task) -> pa.Table:
    """A chunk's predictions as they stand in the table."""
    rows = _with_task(rows, task)
    for name, value in (("model_name", task.model_name), ("model_version", task.model_version)):
        rows = rows.append_column(name, pa.repeat(value, rows.num_rows))
    return rows


_REJECTS = pa.schema([(name, pa.string()) for name in REJECT_COLUMNS])


def as_rejects(rejects: Sequence[Reject], task: Task) -> pa.Table:
    """A chunk's rejects as they stand in the table."""
    columns = list(zip(*rejects, strict=True)) or [()] * len(_REJECTS)
    arrays = [pa.array(column, pa.string()) for column in columns]
    return _with_task(pa.Table.from_arrays(arrays, schema=_REJECTS), task)
