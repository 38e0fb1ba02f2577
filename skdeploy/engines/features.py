"""The columns of a graph's input as plain values of JSON, and back, each number to its last bit.

Cells are pairs and not keys: JSON's keys are texts, and 1, "1", true and null would be one. Arrays are
base64 of their bytes, little-endian, so that a NaN keeps its bits and a million numbers are read at once.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from skdeploy.engines.graph import MOST_FEATURES, Feature, Lookup, Number, WideLookup, Words


class NotPlain(Exception):
    """A feature that no file can hold; `str(error)` is the reason."""


class Damaged(Exception):
    """Plain values that are no features."""


def to_plain(features: Sequence[Feature]) -> list[dict[str, Any]]:
    """The features as dicts of plain values. Raises NotPlain."""
    return [_WRITERS[type(feature)](feature) for feature in features]


def from_plain(plain: Any, columns: int) -> list[Feature]:
    """The reverse of `to_plain`, checked: what came from a file may say anything.

    columns   of the schema

    Raises Damaged.
    """
    try:
        features: list[Feature] = [_READERS[one["kind"]](one) for one in plain]
        beyond = [one for one in features if type(one.column) is not int or not 0 <= one.column < columns]
        width = sum(one.width for one in features)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, binascii.Error) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error
    if beyond:
        raise Damaged("a column that the schema does not have")
    if not 0 < width <= MOST_FEATURES:
        raise Damaged(f"the graph's input has {width:,} columns, not 1 to {MOST_FEATURES:,}")
    return features


def _write_number(feature: Number) -> dict[str, Any]:
    return {
        "kind": "number",
        "column": feature.column,
        "precision": feature.precision,
        "cells": [_written(cell) for cell in feature.changed],
        "numbers": _packed(np.array([*feature.changed.values()]), _DOUBLE),
    }


def _read_number(plain: dict[str, Any]) -> Feature:
    if plain["precision"] not in _PRECISIONS:
        raise ValueError(f"the precision {plain['precision']!r}")
    numbers = _unpacked(plain["numbers"], _DOUBLE, 1).tolist()
    changed = dict(zip(map(_read, plain["cells"]), numbers, strict=True))
    return Number(plain["column"], changed, precision=plain["precision"])


def _write_lookup(feature: Lookup) -> dict[str, Any]:
    return {
        "kind": "lookup",
        "column": feature.column,
        "codes": _written_codes(feature.codes),
        "rows": _packed(feature.rows, _DOUBLE),
        "apart": _packed(feature.apart, _BOOLEAN),
    }


def _read_lookup(plain: dict[str, Any]) -> Feature:
    rows, apart = _unpacked(plain["rows"], _DOUBLE, 2), _unpacked(plain["apart"], _BOOLEAN, 1)
    if len(rows) != len(apart):
        raise ValueError("a table with rows that are missing")
    return Lookup(plain["column"], _read_codes(plain["codes"], len(apart)), rows, apart)


def _write_wide(feature: WideLookup) -> dict[str, Any]:
    return {
        "kind": "wide-lookup",
        "column": feature.column,
        "codes": _written_codes(feature.codes),
        "places": _packed(feature.places, _WHOLE),
        "values": _packed(feature.values, _DOUBLE),
        "apart": _packed(feature.apart, _BOOLEAN),
        "width": feature.width,
    }


def _read_wide(plain: dict[str, Any]) -> Feature:
    places, values = _unpacked(plain["places"], _WHOLE, 1), _unpacked(plain["values"], _DOUBLE, 1)
    apart, width = _unpacked(plain["apart"], _BOOLEAN, 1), plain["width"]
    if not len(places) == len(values) == len(apart) or type(width) is not int:
        raise ValueError("a table with rows that are missing")
    if not np.all((places >= 0) & (places < width)):
        raise ValueError("a place beyond a row's end")
    codes = _read_codes(plain["codes"], len(apart))
    return WideLookup(plain["column"], codes, places.astype(np.intp), values, apart, width)


def _write_words(_feature: Words) -> dict[str, Any]:
    raise NotPlain("a text vectorizer cuts texts into words by scikit-learn's own analyzer")


def _written_codes(codes: dict[Any, int]) -> list[list[Any]]:
    return [[_written(cell), code] for cell, code in codes.items()]


def _read_codes(pairs: list[list[Any]], count: int) -> dict[Any, int]:
    # A cell that is not among them has row 0.
    if not count:
        raise ValueError("a table without rows")
    codes = {_read(cell): code for cell, code in pairs}
    if not all(type(code) is int and 0 <= code < count for code in codes.values()):
        raise ValueError("a code without a row")
    return codes


def _written(cell: Any) -> Any:
    """Python's JSON writes all cells as they are but for the numbers that JSON has not."""
    if not isinstance(cell, bool | int | float | str | None):
        raise NotPlain(f"a cell is a {type(cell).__name__}")
    return {"number": repr(cell)} if isinstance(cell, float) and not math.isfinite(cell) else cell


def _read(cell: Any) -> Any:
    return float(cell["number"]) if isinstance(cell, dict) else cell


# Types of numbers in a file: doubles, whole numbers, booleans.
_DOUBLE, _WHOLE, _BOOLEAN = "<f8", "<i8", "|b1"
_PRECISIONS = ("float64", "float32", "float16")


def _packed(array: Any, dtype: str) -> dict[str, Any]:
    content = np.ascontiguousarray(array, dtype=dtype).tobytes()
    return {"dtype": dtype, "shape": [*array.shape], "base64": base64.b64encode(content).decode()}


def _unpacked(plain: dict[str, Any], dtype: str, dimensions: int) -> Any:
    if plain["dtype"] != dtype or len(plain["shape"]) != dimensions:
        raise ValueError(f"numbers of the type {plain['dtype']!r} and the shape {plain['shape']!r}")
    content = base64.b64decode(plain["base64"], validate=True)
    return np.frombuffer(content, dtype=dtype).reshape(plain["shape"])


_WRITERS: dict[type, Any] = {
    Number: _write_number,
    Lookup: _write_lookup,
    WideLookup: _write_wide,
    Words: _write_words,
}
_READERS: dict[str, Any] = {"number": _read_number, "lookup": _read_lookup, "wide-lookup": _read_wide}
