"""The fast half of the reader: a msgspec decoder compiled from the schema.

It only ever accepts. Whatever it does not plainly accept (a bad cell, 3.0 for an integer, a key
twice, ...) goes to `skdeploy.schema.plain`, which decides and explains; so its answer is None
for "not plainly good", never an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from skdeploy.schema.cells import Check, Unfit, compile_check
from skdeploy.schema.column import EXACT_FLOAT, Column

_INT64 = 2**63
_STRUCTURAL_COLON = re.compile(rb'"\s*:')

# What a pass-through key may hold: what msgspec writes back exactly as it came.
Identifier = Annotated[int, Meta(ge=-_INT64, le=_INT64 - 1)] | str | None

FastDecode = Callable[[bytes], "tuple[list[list[Any]], list[Any] | None, bool] | None"]


def compile_fast(columns: Sequence[Column], id_field: str | None, *, strict: bool) -> FastDecode | None:
    """A function from bytes to (columns of cells, ids or None, whether a single record came).

    None in place of the function if a column's name is one that msgspec cannot compile.
    """
    record = _record_type(columns, id_field)
    if record is None:
        return None
    one, many = msgspec.json.Decoder(record), msgspec.json.Decoder(list[record])  # type: ignore[valid-type]
    values_of = attrgetter(*[f"f{n}" for n in range(len(columns))], "id")
    recheck = _rechecks(columns, strict)
    width = len(columns)

    def decode(body: bytes) -> tuple[list[list[Any]], list[Any] | None, bool] | None:
        try:
            single = body.lstrip()[:1] == b"{"
            rows = [values_of(one.decode(body))] if single else list(map(values_of, many.decode(body)))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        *cells, ids = map(list, zip(*rows, strict=True)) if rows else [[]]
        named = len(ids) - ids.count(UNSET)
        if not rows or _may_repeat_a_key(body, len(rows) * width + named):
            return None
        try:
            for index, check in recheck:
                cells[index] = [check(value) for value in cells[index]]
        except Unfit:
            return None
        return cells, ids if named else None, single

    return decode


def _may_repeat_a_key(body: bytes, keys: int) -> bool:
    """Whether `body` could hold more than the `keys` distinct keys that were decoded.

    Every key ends in a quote and a colon. There may be more such places than keys (in strings),
    never fewer; so if they are as many as the keys, no key came twice.
    """
    return body.count(b":") != keys and len(_STRUCTURAL_COLON.findall(body)) != keys


def _record_type(columns: Sequence[Column], id_field: str | None) -> type[msgspec.Struct] | None:
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        (f"f{index}", _cell_type(column)) for index, column in enumerate(columns)
    ]
    # Without a pass-through key the field has a name that no JSON key can have been meant for.
    names = {f"f{index}": column.name for index, column in enumerate(columns)}
    if id_field is None:
        fields.append(("id", UnsetType, UNSET))
        names["id"] = _unused_name(columns)
    else:
        fields.append(("id", Identifier | UnsetType, UNSET))
        names["id"] = id_field
    try:
        return msgspec.defstruct("Record", fields, rename=names, forbid_unknown_fields=True, gc=False)
    except ValueError:  # a quote, backslash or control character in a name
        return None


def _unused_name(columns: Sequence[Column]) -> str:
    name = "\N{REPLACEMENT CHARACTER}"
    while any(column.name == name for column in columns):
        name += "\N{REPLACEMENT CHARACTER}"
    return name


def _cell_type(column: Column) -> Any:
    plain: Any = {"bool": bool, "str": str, "datetime": str}.get(column.type)
    if column.type == "int":
        low, high = column.bounds
        plain = Annotated[int, Meta(ge=max(int(low), -_INT64), le=min(int(high), _INT64 - 1))]
    elif column.type == "float":
        # Exclusive: 2**53 + 1 is rounded to 2**53 before msgspec compares.
        plain = Annotated[float, Meta(gt=float(-EXACT_FLOAT), lt=float(EXACT_FLOAT))]
    return plain | None if column.nullable else plain


def _rechecks(columns: Sequence[Column], strict: bool) -> list[tuple[int, Check]]:
    """The columns for which msgspec's type is not the whole check."""
    return [
        (index, compile_check(column, strict=strict))
        for index, column in enumerate(columns)
        if column.type == "datetime" or column.refuses_unknown(strict)
    ]
