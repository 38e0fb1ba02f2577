"""Arrow's values -> Python's, whatever their type. Nothing is coerced, and nothing raises.

Dictionaries, runs and views are what they hold. PostgreSQL's numeric, which its driver gives as text,
is a Decimal. A date-time with a zone is in UTC; one with more digits than Python has is text, RFC 3339's.
"""

from __future__ import annotations

import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_EPOCH = datetime.datetime(1970, 1, 1)
# Seconds from 1970 to the first and behind the last moment of Python's calendar.
_FIRST = int((datetime.datetime.min - _EPOCH).total_seconds())
_BEHIND = int((datetime.datetime(9999, 12, 31) - _EPOCH).total_seconds()) + 86_400


class Unreadable:
    """A value that Python does not have: it fits no column, and its text says what it is."""

    def __init__(self, type_: pa.DataType) -> None:
        self._type = type_

    def __repr__(self) -> str:
        return f"value of type {self._type}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unreadable) and self._type == other._type

    __hash__ = None  # type: ignore[assignment]


def whole(cells: Any) -> Any:
    """One array of them, without dictionary, runs or views; lists are left as they are."""
    if isinstance(cells, list):
        return cells
    array = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
    if pa.types.is_run_end_encoded(array.type):
        array = pc.run_end_decode(array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        # Of a view, the dictionary has "" for null (pyarrow 26).
        array = array.cast(pa.large_string())
    if pa.types.is_decimal(array.type) and array.type.bit_width < 128:
        array = array.cast(pa.decimal128(array.type.precision, array.type.scale))
    return array


def plain(array: pa.Array) -> list[Any]:
    """The values of what `whole` returns."""
    if is_numeric(array.type):
        return [_decimal(text) for text in plain(array.storage)]
    if pa.types.is_timestamp(array.type):
        return _moments(array)
    try:
        values: list[Any] = array.to_pylist()
    except Exception:  # whatever a value of this type has that Python has not
        return [_value(scalar, array.type) for scalar in array]
    return values


def plain_at(cells: Any, rows: Any) -> list[Any]:
    """The values in these rows, numpy's integers, of what `whole` returns."""
    if isinstance(cells, list):
        return [cells[row] for row in rows.tolist()]
    try:
        chosen = cells.take(pa.array(rows))
    except pa.ArrowNotImplementedError:
        return [_value(cells[row], cells.type) for row in rows.tolist()]
    return plain(chosen)


def is_numeric(type_: pa.DataType) -> bool:
    """Whether it is PostgreSQL's numeric."""
    return isinstance(type_, pa.OpaqueType) and type_.type_name == "numeric" and _is_text(type_.storage_type)


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))


def _value(scalar: Any, type_: pa.DataType) -> Any:
    try:
        return scalar.as_py()
    except Exception:  # whatever a value of this type has that Python has not
        return Unreadable(type_)


def _decimal(text: Any) -> Any:
    try:
        return Decimal(text) if isinstance(text, str) else text
    except InvalidOperation:
        return text


def _moments(array: pa.Array) -> list[Any]:
    """Date-times; text where they have nanoseconds. Null is None."""
    per_second, zone = _PER_SECOND[array.type.unit], array.type.tz and datetime.UTC
    counts = array.cast(pa.int64()).fill_null(0).to_numpy()
    held = counts == counts.clip(*_limits(per_second))
    moments = np.where(held, counts, 0).astype(f"datetime64[{array.type.unit}]")
    values: list[Any] = moments.astype("datetime64[us]").tolist()
    if zone:
        values = [value.replace(tzinfo=zone) for value in values]
    if per_second == 10**9:
        for row in np.flatnonzero(counts % 1000).tolist():
            values[row] = f"{moments[row]}{'Z' if zone else ''}"
    for row in np.flatnonzero(~held).tolist():
        values[row] = Unreadable(array.type)
    if array.null_count:
        for row in np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False)).tolist():
            values[row] = None
    return values


def _limits(per_second: int) -> tuple[int, int]:
    most = np.iinfo(np.int64).max
    return max(_FIRST * per_second, -most), min(_BEHIND * per_second - 1, most)
