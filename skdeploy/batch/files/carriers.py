"""Types that a sort in DuckDB would change: it has microseconds with a zone alone, and no dictionaries.

Such a column goes through it in the dress of another type, which has the same order, and comes out as
what it was.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.dataset as ds

_INT64 = (pa.types.is_timestamp, pa.types.is_time64, pa.types.is_duration, pa.types.is_date64)


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


def carrier(kind: pa.DataType) -> pa.DataType:
    """The type in which a plain type's values are sorted."""
    if any(is_kind(kind) for is_kind in _INT64):
        return pa.int64()
    if pa.types.is_time32(kind):
        return pa.int32()
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        return pa.string()
    if pa.types.is_null(kind):
        return pa.int8()
    return kind.storage_type if kind == pa.uuid() else kind


def sorts(kind: pa.DataType) -> bool:
    """Whether a plain type can be a key: its carrier has its order."""
    nested = pa.types.is_nested(kind) or pa.types.is_null(kind) or pa.types.is_float16(kind)
    return not (nested or pa.types.is_decimal256(kind))


def carried(name: str, kind: pa.DataType) -> ds.Expression:
    """A column of a dataset, as it is sorted."""
    field = ds.field(name)
    return field if carrier(kind) == kind else field.cast(carrier(kind))


def restored(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """What came out of the sort, in its own type."""
    if column.type == kind:
        return column
    if pa.types.is_null(kind):
        return pa.nulls(len(column))
    if kind == pa.uuid():
        return pa.ExtensionArray.from_storage(kind, column.cast(kind.storage_type))
    return column.cast(kind)
