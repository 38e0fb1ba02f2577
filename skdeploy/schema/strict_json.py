"""JSON's values: a strict parser (RFC 8259, I-JSON), and how messages show a value.

The parser is the slow half of the reader, and hides nothing from the checks behind it: it refuses duplicate
keys, lone surrogates, NaN and Infinity, and keeps every number exactly as it was written.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from skdeploy.errors import MalformedBody

# Whole numbers up to this size are exact in a double; beyond it, neighbours collapse.
EXACT_FLOAT = 2**53
# Python refuses to read longer integers; beyond 19 digits none fits in 64 bits anyway.
_LONGEST_INTEGER = 20

_LONGEST_GOT = 80
_LONGEST_NAME = 200
# Of the columns of a model, in one sentence.
_LONGEST_NAMES = 1000


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

    @property
    def has_digits(self) -> bool:
        """Whether a digit other than 0 was written, even if the number is too small to be told from 0."""
        return any(digit in "123456789" for digit in self._token.lower().partition("e")[0])

    def __str__(self) -> str:
        return self._token


def parse_json(body: bytes, *, exact: bool = False) -> Any:
    """The JSON value in `body`; raises MalformedBody saying what is wrong and where.

    `exact` keeps the digits of all numbers, also where a double is near enough for most.
    """
    if not body.strip():
        raise MalformedBody("The body is empty: a record or a list of records is expected.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None
    try:
        value = (_EXACT if exact else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}."
        ) from None
    except RecursionError:
        raise MalformedBody("The body is nested too deeply to be read.") from None
    if "\\u" in text:
        _refuse_lone_surrogates(value)
    return value


def _refuse_lone_surrogates(value: Any) -> None:
    """`value` as it was parsed; its depth is bounded by the parser's."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            todo += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            todo += item
        elif isinstance(item, str) and not item.isascii():
            try:
                item.encode("utf-8")
            except UnicodeEncodeError:
                raise MalformedBody("The body holds half of a surrogate pair (\\ud800 to \\udfff).") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise MalformedBody(f"The key {describe_key(twice)} stands twice in one object.")
    return result


def _float(token: str) -> float | JsonNumber:
    number = float(token)
    # 2.9999999999999999999 is no integer though the nearest double is; 1e400 is beyond a double.
    return JsonNumber(token) if number.is_integer() or abs(number) > EXACT_FLOAT else number


def _integer(token: str) -> int | JsonNumber:
    return int(token) if len(token) <= _LONGEST_INTEGER else JsonNumber(token)


def _constant(name: str) -> NoReturn:
    raise MalformedBody(f"{name} is not JSON.")


def _decoder(parse_float: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_float=parse_float, parse_int=_integer, parse_constant=_constant
    )


_DECODER, _EXACT = _decoder(_float), _decoder(JsonNumber)


def is_null(value: Any) -> bool:
    """None, NaN, NaT or NA: how tables write null. JSON knows only the first."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return value.is_nan() if isinstance(value, Decimal) else bool(value != value)


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
