"""The columns of a model: their names, what fits in them, what was seen in training; as JSON Schema."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from skdeploy.schema.strict_json import EXACT_FLOAT
from skdeploy.schema.types import TYPES, ColumnType

Null = Literal["nan", "none", "NA", "NaT", "absent"]
Container = Literal["frame", "array", "sparse", "dicts", "series", "texts"]

LARGEST = {"float32": 3.4028234663852886e38, "float16": 65504.0}
# Of categories that JSON Schema lists: more help no reader, and every client would fetch them.
_MOST_CATEGORIES = 1000


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input of the model.

    type         one of `skdeploy.schema.TYPES`; never guessed from values, see `skdeploy.passport.observe`
    dtype        the pandas dtype in training ("int64", "str", "category", ...)
    nullable     whether a null is accepted: the pipeline, tried with one, predicts
    null         how training data wrote a null; encoders tell NaN from None
    categories   the values that an encoder of the pipeline knows, or the dtype "category"; else None
    unknown      "refuse" if the pipeline raises on any other category
    dtype_categories, ordered     for the dtype "category": the dtype's own, in their order
    minimum, maximum   the range seen in training
    """

    name: str
    type: str
    dtype: str
    nullable: bool = False
    null: Null = "nan"
    categories: list[Any] | None = None
    unknown: Literal["accept", "refuse"] = "accept"
    dtype_categories: list[Any] | None = None
    ordered: bool = False
    minimum: Any = None
    maximum: Any = None
    example: Any = None
    description: str | None = None

    def __post_init__(self) -> None:
        if self.type not in TYPES:
            raise ValueError(f"{self.type!r} is no type of a column; types are {', '.join(TYPES)}")

    @property
    def kind(self) -> ColumnType:
        """The column's type."""
        return TYPES[self.type](self)

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and greatest number that the training dtype holds exactly."""
        if self.type == "float":
            largest = LARGEST.get(self.dtype.lower(), float("inf"))
            return -largest, largest
        match = re.fullmatch(r"(u?)int(8|16|32|64)(\[pyarrow\])?", self.dtype.lower())
        if match is None or (self.nullable and self.dtype == "int64" and self.null == "nan"):
            # Stored as a double, always or where a null stands beside it.
            return -EXACT_FLOAT, EXACT_FLOAT
        bits = int(match[2])
        return (0, 2**bits - 1) if match[1] else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    @property
    def has_zone(self) -> bool:
        """Whether a date-time has a zone, as training data had it: a dtype such as "datetime64[ns, UTC]"."""
        return "," in self.dtype

    def refuses_unknown(self, strict: bool) -> bool:
        """Whether a category that is not among `categories` is a bad cell."""
        return self.categories is not None and (strict or self.unknown == "refuse")


class Schema(msgspec.Struct, frozen=True, kw_only=True):
    """The columns in the pipeline's order, and what the pipeline takes them in.

    container   "frame" (a DataFrame), "array" (a 2-D array), "sparse" (a CSR matrix), "dicts" (a list
                of mappings, for DictVectorizer), "series" or "texts" (a Series or a list of strings, for
                text vectorizers)
    """

    container: Container
    columns: list[Column]

    @property
    def names(self) -> list[str]:
        """The column names, in order."""
        return [column.name for column in self.columns]


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
    result = column.kind.json_schema()
    if column.nullable:
        types = result["type"]
        result["type"] = [*(types if isinstance(types, list) else [types]), "null"]
    if column.description:
        result["description"] = column.description
    if reveal:
        result |= _seen(column, strict)
    return result


def _seen(column: Column, strict: bool) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if column.categories is not None and len(column.categories) <= _MOST_CATEGORIES:
        # An enum promises a refusal; elsewhere the known categories are but a hint.
        key = "enum" if column.refuses_unknown(strict) and column.kind.has_enum else "x-known-categories"
        nulls = [None] if column.nullable and key == "enum" else []
        result[key] = [*column.categories, *nulls]
    if column.example is not None:
        result["examples"] = [column.example]
    if column.minimum is not None:
        result["x-range-seen"] = [column.minimum, column.maximum]
    return result
