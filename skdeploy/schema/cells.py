"""One value against one column: the value as the model will see it, or what is wrong with it.

Values come from JSON (`skdeploy.schema.plain`) or, from the other doors, as plain Python
objects. Nothing is coerced: "12" is no number, 2.9 no integer, true no 1.
"""

from __future__ import annotations

import datetime
import json
import math
import numbers
import re
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from skdeploy.schema.column import EXACT_FLOAT, Column

# RFC 3339, section 5.6, with the zone optional: a column without zones takes none.
_DATETIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_NANOSECONDS = re.compile(r":\d\d\.\d{7,}", re.ASCII)
# What a 64-bit count of nanoseconds since 1970 can hold, in whole years; and what is in the
# calendar wherever on earth it is read.
_NANOSECOND_YEARS = (1678, 2261)
_ZONED_YEARS = (2, 9998)
_LONGEST_GOT = 80
_LONGEST_NAME = 200
# Of the columns of a model, in one sentence.
_LONGEST_NAMES = 1000
_NUMBERS: tuple[Any, ...] = (numbers.Integral, float, Decimal)


class JsonNumber(Decimal):
    """A number token of JSON: its exact value, and as text what was written."""

    _token: str

    def __new__(cls, token: str) -> JsonNumber:
        """The number that `token`, checked by the JSON parser, writes."""
        try:
            number = super().__new__(cls, token)
        except InvalidOperation:  # an exponent beyond even a Decimal's
            number = super().__new__(cls, float(token))
        number._token = token
        return number

    def __str__(self) -> str:
        return self._token


class Unfit(Exception):
    """The value does not fit the column; `code` says why, as a `Rejection` does."""

    def __init__(self, code: str = "type") -> None:
        self.code = code
        super().__init__(code)


Check = Callable[[Any], Any]


def is_null(value: Any) -> bool:
    """None, NaN, NaT or NA: how tables write null. JSON knows only the first."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return value.is_nan() if isinstance(value, Decimal) else bool(value != value)


def compile_check(column: Column, *, strict: bool = False) -> Check:
    """A function that returns the cell as the engine takes it, or raises Unfit.

    `strict` refuses categories unseen in training even where the pipeline accepts them.
    """
    convert = _CONVERTERS[column.type](column)
    known, as_kept = None, _as_kept(column)
    if column.refuses_unknown(strict):
        # Date-times are text in the passport; a single's 0.1 is another double than 0.1.
        known = frozenset(as_kept(convert(category)) for category in column.categories or ())

    def check(value: Any) -> Any:
        if is_null(value):
            if column.nullable:
                return None
            raise Unfit("null")
        value = convert(value)
        if known is not None and as_kept(value) not in known:
            raise Unfit("category")
        return value

    return check


def _as_kept(column: Column) -> Callable[[Any], Any]:
    """What becomes of a number in the column's dtype, as far as it matters to compare it."""
    if column.dtype.lower() == "float32":
        return lambda number: struct.unpack("f", struct.pack("f", number))[0]
    return lambda value: value


def expectation(column: Column, *, strict: bool = False, reveal: bool = True) -> str:
    """What the column takes, in words: "integer from 0 to 255, or null".

    `reveal` False keeps the categories of the training data out of the text.
    """
    text = _describe_type(column)
    if column.refuses_unknown(strict):
        text += _describe_categories(column) if reveal else " of a known category"
    return f"{text}, or null" if column.nullable else text


def describe(value: Any) -> str:
    """A value as an error message shows it: its JSON type, else Python's, and itself if short."""
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, str):
        return "string " + describe_key(value)
    if isinstance(value, numbers.Number):
        return f"number {shorten(str(value))}"
    if isinstance(value, bytes):
        return f"bytes {shorten(value[:_LONGEST_GOT].hex())}"
    return f"{type(value).__name__} {shorten(str(value))}"


def describe_key(key: str) -> str:
    """A key as an error message shows it."""
    # A lone surrogate cannot be written as UTF-8; a message says what it is.
    text = json.dumps(key, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
    return shorten(text)


def shorten(text: str) -> str:
    """The text, cut if it is long."""
    return text if len(text) <= _LONGEST_GOT else text[: _LONGEST_GOT - 3] + "..."


def shorten_name(name: str) -> str:
    """A column's name as an error message shows it; names are longer than values."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 3] + "..."


def enumerate_names(names: Sequence[str]) -> str:
    """The names with commas between them, as many as a sentence bears, and the number of the others."""
    shown: list[str] = []
    room = _LONGEST_NAMES
    for name in map(shorten_name, names):
        room -= len(name) + 2
        if shown and room < 0:
            return f"{', '.join(shown)} and {len(names) - len(shown):,} more"
        shown.append(name)
    return ", ".join(shown)


def _describe_type(column: Column) -> str:
    if column.type == "int":
        return _describe_integer(column)
    if column.type == "datetime":
        zone = "with" if column.has_zone else "without"
        return f"date-time as RFC 3339 writes it, {zone} a zone"
    return {"float": "number", "bool": "boolean", "str": "string"}[column.type]


def _describe_integer(column: Column) -> str:
    low, high = column.bounds
    return "integer" if high >= EXACT_FLOAT else f"integer from {low} to {high}"


def _describe_categories(column: Column) -> str:
    known = column.categories or []
    if not known:
        return " of a known category, of which there is none"
    shown = ", ".join(shorten(json.dumps(value, ensure_ascii=False)) for value in known[:20])
    return f", one of {shown}" + (f" and {len(known) - 20} more" if len(known) > 20 else "")


def _integer(column: Column) -> Check:
    low, high = column.bounds

    def convert(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, _NUMBERS):
            raise Unfit
        # Bounds first: int(Decimal("1e999999999")) would fill the memory.
        if not low <= value <= high:
            raise Unfit("range")
        if value != math.floor(value):
            raise Unfit
        return int(value)

    return convert


def _float(column: Column) -> Check:
    low, high = column.bounds

    def convert(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, _NUMBERS):
            raise Unfit
        if _is_integer(value) and not -EXACT_FLOAT <= value <= EXACT_FLOAT:
            raise Unfit("precision")
        number = float(value)
        if not math.isfinite(number) or not low <= number <= high:
            raise Unfit("range")
        if _loses(value, number):
            raise Unfit("precision")
        return number

    return convert


def _is_integer(value: Any) -> bool:
    """An integer, or a JSON number written as one that is too long for an int."""
    if isinstance(value, JsonNumber):
        return str(value).removeprefix("-").isdigit()
    return isinstance(value, numbers.Integral)


def _loses(value: Any, number: float) -> bool:
    """Whether a decimal from a database has digits that the double drops."""
    is_decimal = isinstance(value, Decimal) and not isinstance(value, JsonNumber)
    return is_decimal and Decimal(repr(number)) != value


def _boolean(_column: Column) -> Check:
    def convert(value: Any) -> bool:
        if not isinstance(value, bool):
            raise Unfit
        return value

    return convert


def _string(_column: Column) -> Check:
    def convert(value: Any) -> str:
        if not isinstance(value, str):
            raise Unfit
        return value

    return convert


def _datetime(column: Column) -> Check:
    zoned = column.has_zone
    years = _ZONED_YEARS if zoned else (1, 9999)
    first, last = _NANOSECOND_YEARS if "[ns" in column.dtype else years

    def convert(value: Any) -> datetime.datetime:
        moment = _parse_datetime(value) if isinstance(value, str) else value
        if not isinstance(moment, datetime.datetime) or (moment.tzinfo is not None) != zoned:
            raise Unfit
        if not first <= moment.year <= last:
            raise Unfit("range")
        return moment.astimezone(datetime.UTC) if zoned else moment

    return convert


def _parse_datetime(text: str) -> datetime.datetime:
    if _DATETIME.fullmatch(text) is None:
        raise Unfit("precision" if _NANOSECONDS.search(text) else "type")
    try:
        return datetime.datetime.fromisoformat(text.upper())
    except ValueError:
        raise Unfit from None


_CONVERTERS: dict[str, Callable[[Column], Check]] = {
    "int": _integer,
    "float": _float,
    "bool": _boolean,
    "str": _string,
    "datetime": _datetime,
}
