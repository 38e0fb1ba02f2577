"""Arrow's columns -> the bytes of PostgreSQL's binary COPY, by numpy: a tenth of what a CSV costs.

A row is the number of its columns, two bytes, and of each its length, four bytes, and its value; all of
them big-endian. A null has the length -1, and no value. Neighbouring columns whose values are all of one
length are one array of records; those of other lengths are put between such.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = b"\xff\xff"
# Days and microseconds between Arrow's epoch, 1970, and PostgreSQL's, 2000.
_DAYS = 10_957
_MICROSECONDS = _DAYS * 86_400_000_000

_Cells = np.ndarray[Any, np.dtype[Any]]
# An array without nulls -> a numpy array, as it is written.
_Writer = Callable[[Any], _Cells]


def as_binary(rows: pa.Table, types: Sequence[int]) -> bytes | None:
    """The rows as `COPY ... (FORMAT binary)` takes them; None if a column needs PostgreSQL to convert it.

    types   the object identifiers of the table's types, column by column
    """
    writers = [_writer(field.type, oid) for field, oid in zip(rows.schema, types, strict=True)]
    parts: list[pa.Array] = []
    fixed: list[_Cells] = [np.full(rows.num_rows, len(types), ">i2")]
    for column, writer in zip(rows.columns, writers, strict=True):
        if writer is None:
            return None
        _add(pa.concat_arrays(column.chunks), writer, fixed, parts)
    if not parts:
        return b"".join([_BEGIN, _records(fixed).tobytes(), _END])
    if fixed:
        parts.append(_as_array(_records(fixed)))
    joined = pc.binary_join_element_wise(*parts, b"")
    return b"".join([_BEGIN, _bytes(joined), _END])


def _add(cells: pa.Array, writer: _Writer, fixed: list[_Cells], parts: list[pa.Array]) -> None:
    """Put a column behind what is there."""
    if not cells.null_count:
        values = writer(cells)
        if values.dtype != object:
            fixed += [np.full(len(cells), values.dtype.itemsize, ">i4"), values]
            return
    values = _as_binaries(cells, writer)
    lengths = pc.fill_null(pc.binary_length(values), -1)
    fixed.append(lengths.to_numpy(zero_copy_only=False).astype(">i4"))
    parts += [_as_array(_records(fixed)), pc.fill_null(values, b"")]
    fixed.clear()


def _as_binaries(cells: pa.Array, writer: _Writer) -> pa.Array:
    """Each value's bytes, and nulls where they are."""
    if writer is _texts:
        return cells.cast(pa.binary())
    values = _as_array(writer(cells.drop_null()))
    valid = cells.is_valid()
    behind = pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1)
    return values.take(pc.if_else(valid, behind, None))


def _records(columns: Sequence[_Cells]) -> _Cells:
    """Columns of equal length as an array of records."""
    form = np.dtype([(str(place), column.dtype) for place, column in enumerate(columns)])
    records = np.empty(len(columns[0]), form)
    for place, column in enumerate(columns):
        records[str(place)] = column
    return records


def _as_array(cells: _Cells) -> pa.Array:
    """The bytes of each element."""
    kind = pa.binary(cells.dtype.itemsize)
    return pa.Array.from_buffers(kind, len(cells), [None, pa.py_buffer(cells.tobytes())]).cast(pa.binary())


def _bytes(joined: pa.Array) -> memoryview:
    _, offsets, data = joined.buffers()
    first, last = np.frombuffer(offsets, np.int32)[[joined.offset, joined.offset + len(joined)]]
    return memoryview(data)[first:last]


def _texts(cells: pa.Array) -> _Cells:
    """Texts of one length; an array of objects if they are of several."""
    _, offsets, data = cells.buffers()
    ends = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + len(cells) + 1]
    width = int(ends[1] - ends[0])
    if not width or (np.diff(ends) != width).any():
        return np.empty(0, object)
    return np.frombuffer(data, f"V{width}", len(cells), int(ends[0]))


def _numbers(form: str, kind: pa.DataType) -> _Writer:
    def written(cells: pa.Array) -> _Cells:
        values: _Cells = cells.cast(kind).to_numpy(zero_copy_only=False)
        return values.astype(form)

    return written


def _days(cells: pa.Array) -> _Cells:
    values: _Cells = cells.cast(pa.int32()).to_numpy(zero_copy_only=False)
    shifted: _Cells = (values - _DAYS).astype(">i4")
    return shifted


def _instants(cells: pa.Array) -> _Cells:
    fine = cells.cast(pa.timestamp("us", cells.type.tz)).cast(pa.int64())
    shifted: _Cells = (fine.to_numpy(zero_copy_only=False) - _MICROSECONDS).astype(">i8")
    return shifted


def _booleans(cells: pa.Array) -> _Cells:
    values: _Cells = cells.to_numpy(zero_copy_only=False).astype("u1")
    return values


_FLOATS = _numbers(">f8", pa.float64())
_INTEGERS = _numbers(">i8", pa.int64())


def _writer(kind: pa.DataType, oid: int) -> _Writer | None:
    """What writes such a column to a table's column of this type, exactly; None if nothing does."""
    writers: dict[int, tuple[bool, _Writer]] = {
        16: (pa.types.is_boolean(kind), _booleans),
        17: (pa.types.is_binary(kind), _texts),
        20: (pa.types.is_integer(kind) and kind != pa.uint64(), _INTEGERS),
        25: (pa.types.is_string(kind), _texts),
        701: (pa.types.is_floating(kind), _FLOATS),
        1043: (pa.types.is_string(kind), _texts),
        1082: (pa.types.is_date32(kind), _days),
        1114: (_is_instant(kind, zone=False), _instants),
        1184: (_is_instant(kind, zone=True), _instants),
    }
    fits, writer = writers.get(oid, (False, _booleans))
    return writer if fits else None


def _is_instant(kind: pa.DataType, *, zone: bool) -> bool:
    # PostgreSQL keeps microseconds: it is to say how it rounds what is finer.
    return bool(pa.types.is_timestamp(kind) and kind.unit != "ns" and (kind.tz is not None) == zone)
