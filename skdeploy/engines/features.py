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

from skdeploy.engines.graph import Feature, Lookup, Number, WideLookup, Words


class NotPlain(Exception):
    """A feature that no file can hold; `str(error)` is the reason."""


class Damaged(Exception):
    """Plain values that are no features."""


def to_plain(features: Sequence[Feature]) -> list[dict[str, Any]]:
    """The features as dicts of plain values. Raises NotPlain."""
    return [_WRITERS[type(feature)](feature) for feature in features]


def from_plain(plain: Any) -> list[Feature]:
    """The reverse of `to_plain`. Raises Damaged."""
    try:
        return [_READERS[one["kind"]](one) for one in plain]
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise Damaged(f"{type(error).__name__}: {error}") from error


def _write_number(feature: Number) -> dict[str, Any]:
    return {
        "kind": "number",
        "column": feature.column,
        "precision": feature.precision,
        "cells": [_written(cell) for cell in feature.changed],
        "numbers": _packed(np.array([*feature.changed.values()], dtype=np.float64)),
    }


def _read_number(plain: dict[str, Any]) -> Feature:
    numbers = _unpacked(plain["numbers"]).tolist()
    changed = dict(zip(map(_read, plain["cells"]), numbers, strict=True))
    return Number(plain["column"], changed, precision=plain["precision"])


def _write_lookup(feature: Lookup) -> dict[str, Any]:
    return {
        "kind": "lookup",
        "column": feature.column,
        "codes": _written_codes(feature.codes),
        "rows": _packed(feature.rows),
        "apart": _packed(feature.apart),
    }


def _read_lookup(plain: dict[str, Any]) -> Feature:
    rows, apart = _unpacked(plain["rows"]), _unpacked(plain["apart"])
    return Lookup(plain["column"], _read_codes(plain["codes"], len(apart)), rows, apart)


def _write_wide(feature: WideLookup) -> dict[str, Any]:
    return {
        "kind": "wide-lookup",
        "column": feature.column,
        "codes": _written_codes(feature.codes),
        "places": _packed(feature.places),
        "values": _packed(feature.values),
        "apart": _packed(feature.apart),
        "width": feature.width,
    }


def _read_wide(plain: dict[str, Any]) -> Feature:
    places, values, apart = (_unpacked(plain[name]) for name in ("places", "values", "apart"))
    codes = _read_codes(plain["codes"], len(apart))
    return WideLookup(plain["column"], codes, places.astype(np.intp), values, apart, plain["width"])


def _write_words(_feature: Words) -> dict[str, Any]:
    raise NotPlain("its texts are cut into words by scikit-learn's own analyzer")


def _written_codes(codes: dict[Any, int]) -> list[list[Any]]:
    return [[_written(cell), code] for cell, code in codes.items()]


def _read_codes(pairs: list[list[Any]], count: int) -> dict[Any, int]:
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
_DTYPES = {"f": "<f8", "i": "<i8", "b": "|b1"}


def _packed(array: Any) -> dict[str, Any]:
    dtype = _DTYPES[array.dtype.kind]
    content = np.ascontiguousarray(array, dtype=dtype).tobytes()
    return {"dtype": dtype, "shape": [*array.shape], "base64": base64.b64encode(content).decode()}


def _unpacked(plain: dict[str, Any]) -> Any:
    if plain["dtype"] not in _DTYPES.values():
        raise ValueError(f"numbers of the type {plain['dtype']!r}")
    content = base64.b64decode(plain["base64"], validate=True)
    return np.frombuffer(content, dtype=plain["dtype"]).reshape(plain["shape"])


_WRITERS: dict[type, Any] = {
    Number: _write_number,
    Lookup: _write_lookup,
    WideLookup: _write_wide,
    Words: _write_words,
}
_READERS: dict[str, Any] = {"number": _read_number, "lookup": _read_lookup, "wide-lookup": _read_wide}
