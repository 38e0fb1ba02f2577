"""Types of columns: without what only says how values are stored, and how values are ordered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

_COUNTED = (pa.types.is_timestamp, pa.types.is_time64, pa.types.is_duration, pa.types.is_date64)
_UNORDERED = (pa.types.is_nested, pa.types.is_null, pa.types.is_float16)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the same values without dictionaries, views, large offsets and names of extensions."""
    if pa.types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType) and kind != pa.uuid():
        return plain_type(kind.storage_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    return kind


def sorts(kind: pa.DataType) -> bool:
    """Whether values of a plain type have an order."""
    return not any(is_kind(kind) for is_kind in _UNORDERED)


def sortable(column: pa.Array) -> pa.Array:
    """Values with the same order, whole numbers in place of moments: Python's have microseconds alone."""
    kind = column.type
    if pa.types.is_time32(kind) or pa.types.is_date32(kind):
        return column.cast(pa.int32())
    if any(is_kind(kind) for is_kind in _COUNTED):
        return column.cast(pa.int64())
    return column.cast(kind.storage_type) if kind == pa.uuid() else column


def order_of(value: Any) -> tuple[int, Any]:
    """What Python sorts a sortable value by as Arrow does: nulls, NaN, then the others."""
    if value is None:
        return 0, 0
    return (1, 0) if value != value else (2, value)


def key_order(values: Sequence[Any], kinds: Sequence[pa.DataType]) -> tuple[Any, ...]:
    """A key's place in the order, of Python values as columns of these types give them."""
    return tuple(
        order_of(sortable(_as_array(value, kind))[0].as_py())
        for value, kind in zip(values, kinds, strict=True)
    )


def _as_array(value: Any, kind: pa.DataType) -> pa.Array:
    if kind == pa.uuid():
        stored = pa.array([None if value is None else value.bytes], kind.storage_type)
        return pa.ExtensionArray.from_storage(kind, stored)
    return pa.array([value], kind)


class Places:
    """The orders of a sorted table's keys, as `bisect` looks at them."""

    def __init__(self, columns: Sequence[pa.ChunkedArray]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(self._columns[0])

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        return tuple(order_of(column[place].as_py()) for column in self._columns)
