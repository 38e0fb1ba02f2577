"""The fast half of the reader for many bodies with a record in each, as events have them.

Like `skdeploy.schema.fast` it only ever accepts: what is not plainly good is left to be read alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from skdeploy.schema.cells import Unfit
from skdeploy.schema.column import Column
from skdeploy.schema.fast import (
    cell_type,
    distinct_keys,
    integer_or_float,
    may_repeat_a_key,
    rechecks,
    record_type,
)

_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Read(NamedTuple):
    """What plainly fits.

    cells    by column
    ids      the pass-through keys, UNSET where there is none
    places   which bodies these are
    rest     the places of the others
    """

    cells: list[list[Any]]
    ids: list[Any]
    places: Sequence[int]
    rest: list[int]


ReadEach = Callable[[Sequence[bytes]], Read]


def compile_each(
    columns: Sequence[Column], id_field: str | None, *, strict: bool, ignore_unknown: bool = False
) -> ReadEach | None:
    """A function from bodies to what plainly fits; None if msgspec cannot compile a column's name."""
    try:
        record = record_type(columns, id_field, cell_type, ignore_unknown)
    except ValueError:
        return None
    decode = msgspec.json.Decoder(record, float_hook=integer_or_float).decode
    worded = [index for index, column in enumerate(columns) if column.type in ("str", "datetime")]
    recheck = rechecks(columns, strict)

    def is_sure(body: bytes, row: tuple[Any, ...]) -> bool:
        """Whether no key stands twice in `body`."""
        keys = len(columns) + (row[-1] is not UNSET)
        if ignore_unknown and body.count(b":") != keys:
            keys = distinct_keys(body, 1, single=True)
        return keys >= 0 and not may_repeat_a_key(body, keys, [row[-1:], [row[index] for index in worded]])

    def are_sure(bodies: Sequence[bytes], rows: list[tuple[Any, ...]]) -> bool:
        """The same of all together, without a look at each."""
        named = len(rows) - sum(row[-1] is UNSET for row in rows)
        body = b"".join(bodies)
        texts = [[row[index] for row in rows] for index in (-1, *worded)]
        return not may_repeat_a_key(body, len(rows) * len(columns) + named, texts)

    def read(bodies: Sequence[bytes]) -> Read:
        places, records = _decoded(decode, bodies)
        rows = [*map(astuple, records)]
        if not are_sure([bodies[place] for place in places], rows):
            kept = [n for n, place in enumerate(places) if is_sure(bodies[place], rows[n])]
            places, rows = [places[n] for n in kept], [rows[n] for n in kept]
        if recheck:
            places, rows = _rechecked(recheck, places, rows)
        *cells, ids = map(list, zip(*rows, strict=True)) if rows else ([] for _ in range(len(columns) + 1))
        rest = [] if len(places) == len(bodies) else sorted({*range(len(bodies))}.difference(places))
        return Read(cells, ids, places, rest)

    return read


def _decoded(decode: Callable[[bytes], Any], bodies: Sequence[bytes]) -> tuple[Sequence[int], list[Any]]:
    with contextlib.suppress(*_REFUSED):
        return range(len(bodies)), [*map(decode, bodies)]
    # One is refused: each is tried alone.
    places, records = [], []
    for place, body in enumerate(bodies):
        try:
            records.append(decode(body))
        except _REFUSED:
            continue
        places.append(place)
    return places, records


def _rechecked(
    recheck: list[tuple[int, Any]], places: Sequence[int], rows: list[tuple[Any, ...]]
) -> tuple[list[int], list[tuple[Any, ...]]]:
    """The rows with what the checks make of their cells, but for those that a check refuses."""
    kept: list[int] = []
    checked: list[tuple[Any, ...]] = []
    for place, row in zip(places, rows, strict=True):
        cells = list(row)
        try:
            for index, check in recheck:
                cells[index] = check(cells[index])
        except Unfit:
            continue
        kept.append(place)
        checked.append(tuple(cells))
    return kept, checked
