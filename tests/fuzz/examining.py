"""What must hold of the readers whatever bytes come: asked by the fuzzer, and of its findings ever after."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from skdeploy.errors import InvalidRecord, MalformedBody, Rejection, TooManyRecords
from skdeploy.schema import Checked, Column, RecordReader, Schema
from skdeploy.schema.decoder import Read
from tests.schema.test_fast_equals_plain import COLUMNS, READERS, _said
from tests.schema.test_read_each import _alone, _together

MOST_RECORDS = 4
# Between the bodies of `read_each`: a byte that stands in no JSON.
SEPARATOR = b"\x1e"
# Of a message, however large the body: all columns and a handful of keys are in the longest.
LONGEST_MESSAGE = 2000
DOCUMENTED = (MalformedBody, InvalidRecord, TooManyRecords)
WAYS = list(READERS)
SCHEMA = Schema(container="frame", columns=COLUMNS)


def _bounded(way: tuple[str | None, bool, bool]) -> tuple[RecordReader, RecordReader]:
    """A reader with both halves, and one of the slow half alone."""
    id_field, strict, ignore = way
    both, slow = (
        RecordReader(
            SCHEMA, id_field=id_field, strict=strict, ignore_unknown=ignore, max_records=MOST_RECORDS
        )
        for _ in range(2)
    )
    slow._fast = None
    slow.read_each_fast = lambda bodies: Read([[] for _ in COLUMNS], [], [], [*range(len(bodies))])
    return both, slow


BOUNDED = [_bounded(way) for way in WAYS]


def examine(content: bytes, pairs: Sequence[tuple[RecordReader, RecordReader]] = BOUNDED) -> None:
    """Read `content`, whose first byte chooses the reader's options; AssertionError for what must not be.

    Any other exception is as much of a finding.
    """
    place = content[0] % len(WAYS) if content else 0
    body, strict = content[1:], WAYS[place][1]
    both, slow = pairs[place]
    got, expected = _outcome(both, body, strict), _outcome(slow, body, strict)
    assert got == expected, (got, expected)
    bodies = body.split(SEPARATOR)
    alone = [_alone(slow, one) for one in bodies]
    for reader in (both, slow):
        checked = reader.read_each(bodies)
        _require_sound(checked, strict)
        assert _together(checked) == alone


def _outcome(reader: RecordReader, body: bytes, strict: bool) -> Any:
    try:
        checked = reader.read_json(body)
    except DOCUMENTED as error:
        _require_sayable(message := str(error))
        return type(error), message
    assert 1 <= checked.count <= MOST_RECORDS
    assert checked.single <= (checked.count == 1)
    assert list(checked.positions) == sorted(checked.positions)
    _require_sound(checked, strict)
    return _said(checked)


def _require_sound(checked: Checked, strict: bool) -> None:
    """Every record is good, bad or malformed, once; good cells are of their columns' types and bounds."""
    further = [index for run in checked.further for index in run]
    places = [*checked.positions, *checked.bad, *checked.malformed, *further]
    assert sorted(places) == list(range(checked.count))
    assert len(checked.table.cells) == len(COLUMNS)
    assert checked.table.count == len(checked.positions)
    for column, cells in zip(COLUMNS, checked.table.cells, strict=True):
        assert len(cells) == checked.table.count
        for cell in cells:
            assert _fits(column, cell, strict), (column, cell)
    for index, bad in checked.bad.items():
        assert bad
        for cell in bad:
            _require_bounded(cell, index)
    for value in (checked.ids or {}).values():
        assert value is None or type(value) in (str, int)
        assert not isinstance(value, int) or -(2**63) <= value < 2**63


def _require_bounded(cell: Rejection, index: int) -> None:
    assert cell.record in (0, index)
    for text in (cell.column or "", cell.code, *cell.words):
        _require_sayable(text)


def _require_sayable(text: str) -> None:
    assert len(text) <= LONGEST_MESSAGE, len(text)
    text.encode("utf-8")


def _fits(column: Column, cell: Any, strict: bool) -> bool:
    if cell is None:
        return column.nullable
    if column.refuses_unknown(strict) and cell not in (column.categories or ()):
        return False
    return _TYPES[column.type](column, cell)


def _is_integer(column: Column, cell: Any) -> bool:
    return type(cell) is int and column.bounds[0] <= cell <= column.bounds[1]


def _is_number(column: Column, cell: Any) -> bool:
    return type(cell) is float and math.isfinite(cell) and column.bounds[0] <= cell <= column.bounds[1]


def _is_moment(column: Column, cell: Any) -> bool:
    return isinstance(cell, datetime) and (cell.tzinfo is not None) == ("," in column.dtype)


_TYPES: dict[str, Callable[[Column, Any], bool]] = {
    "int": _is_integer,
    "float": _is_number,
    "bool": lambda _column, cell: type(cell) is bool,
    "str": lambda _column, cell: type(cell) is str and cell.encode("utf-8").decode("utf-8") == cell,
    "datetime": _is_moment,
}
