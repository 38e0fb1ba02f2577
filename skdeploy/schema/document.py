"""The schema as JSON Schema (draft 2020-12), for `GET /` and whoever generates clients."""

from __future__ import annotations

import math
from typing import Any

from skdeploy.schema.column import Column, Schema

# A longer list helps no reader, and every client would fetch it.
_MOST_CATEGORIES = 1000

_WITHOUT_ZONE = (
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]"
    "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?$"
)
_TYPES: dict[str, dict[str, Any]] = {
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
    "str": {"type": "string"},
    "datetime": {"type": "string", "format": "date-time"},
}


def json_schema(schema: Schema, *, strict: bool = False, reveal: bool = True) -> dict[str, Any]:
    """One record as JSON Schema; `reveal` False leaves out what training data showed."""
    return {
        "type": "object",
        "properties": {
            column.name: _property(column, strict=strict, reveal=reveal) for column in schema.columns
        },
        "required": schema.names,
        "additionalProperties": False,
    }


def _property(column: Column, *, strict: bool, reveal: bool) -> dict[str, Any]:
    result = dict(_TYPES[column.type])
    if column.type == "datetime" and not column.has_zone:
        # RFC 3339, and so the format, demands a zone.
        result = {"type": "string", "pattern": _WITHOUT_ZONE}
    if column.type == "int":
        result |= _integer_range(*column.bounds)
    if column.type == "float" and math.isfinite(column.bounds[1]):
        result |= {"minimum": column.bounds[0], "maximum": column.bounds[1]}
    if column.nullable:
        result["type"] = [result["type"], "null"]
    if column.description:
        result["description"] = column.description
    if reveal:
        result |= _seen(column, strict)
    return result


def _integer_range(low: float, high: float) -> dict[str, Any]:
    return {"format": "int64"} if high == 2**63 - 1 else {"minimum": low, "maximum": high}


def _seen(column: Column, strict: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if column.categories is not None and len(column.categories) <= _MOST_CATEGORIES:
        # An enum promises a refusal; elsewhere the known categories are but a hint.
        key = "enum" if column.refuses_unknown(strict) else "x-known-categories"
        nulls = [None] if column.nullable and key == "enum" else []
        result[key] = [*column.categories, *nulls]
    if column.example is not None:
        result["examples"] = [column.example]
    if column.minimum is not None:
        result["x-range-seen"] = [column.minimum, column.maximum]
    return result
