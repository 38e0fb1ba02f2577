"""The columns of a model: what they are called, what fits in them, what was seen in training."""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

ColumnType = Literal["int", "float", "bool", "str", "datetime"]
Null = Literal["nan", "none", "NA", "NaT", "absent"]
Container = Literal["frame", "array", "dicts", "series", "texts"]

# Whole numbers up to this size are exact in a double; beyond it, neighbours collapse.
EXACT_FLOAT = 2**53
LARGEST = {"float32": 3.4028234663852886e38, "float16": 65504.0}


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One input of the model.

    type         what a cell is; never guessed from values, see `skdeploy.passport.observe`
    dtype        the pandas dtype in training ("int64", "str", "category", ...)
    nullable     whether a null is accepted: the pipeline, tried with one, predicts
    null         how training data wrote a null; encoders tell NaN from None
    categories   the values that an encoder of the pipeline knows, else None
    unknown      "refuse" if the pipeline raises on any other category
    dtype_categories, ordered     for the dtype "category": the dtype's own, in their order
    minimum, maximum   the range seen in training
    """

    name: str
    type: ColumnType
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

    container   "frame" (a DataFrame), "array" (a 2-D array), "dicts" (a list of mappings, for
                DictVectorizer), "series" or "texts" (a Series or a list of strings, for text
                vectorizers)
    """

    container: Container
    columns: list[Column]

    @property
    def names(self) -> list[str]:
        """The column names, in order."""
        return [column.name for column in self.columns]
