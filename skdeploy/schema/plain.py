"""A strict JSON parser (RFC 8259, I-JSON) that hides nothing from the checks behind it.

It is the slow half of the reader: it refuses duplicate keys, lone surrogates, NaN and Infinity,
and keeps every number exactly as it was written.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from skdeploy.errors import MalformedBody
from skdeploy.schema.cells import JsonNumber, describe_key
from skdeploy.schema.column import EXACT_FLOAT

# Python refuses to read longer integers; beyond 19 digits none fits in 64 bits anyway.
_LONGEST_INTEGER = 20


def parse_json(body: bytes) -> Any:
    """The JSON value in `body`; raises MalformedBody saying what is wrong and where."""
    if not body.strip():
        raise MalformedBody("The body is empty: a record or a list of records is expected.")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None
    try:
        value = _DECODER.decode(text)
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


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_float, parse_int=_integer, parse_constant=_constant
)
