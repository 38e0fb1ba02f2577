"""What a process that explains bodies is told, and what it tells: frames of a length and as many bytes.

A question is two frames: how the reader is made (`RecordReader.recipe`), and the body. An answer is any
number of frames with a `Found`, and a last one with anything else. Each frame is small, because other threads
wait while one is decoded.
"""

from __future__ import annotations

import datetime
import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from skdeploy.errors import Rejection
from skdeploy.schema.checked import Checked
from skdeploy.schema.column import Schema
from skdeploy.schema.table import Table

# Before each frame: its length in bytes.
LENGTH = struct.Struct("<Q")
# The first frame of a process that can take questions.
READY = b"ready"
# Cells, keys or runs in a frame.
_MOST = 10_000


class Found(msgspec.Struct, array_like=True, tag=True):
    """A part of a `Checked`.

    cells       of some good records, by column; date-times as ISO 8601 writes them
    positions   of these records
    ids         index -> pass-through key
    bad         index, number of unlisted cells, and (column, code, expected, got) of each listed one
    further     of each run the first index and the one after its last, all in one list
    """

    cells: list[list[Any]] = []
    positions: list[int] = []
    ids: dict[int, int | str | None] = {}
    bad: list[tuple[int, int, list[tuple[str | None, str, str, str]]]] = []
    further: list[int] = []


class End(msgspec.Struct, array_like=True, tag=True):
    """All has been told. `count` records came; `single`: a lone one."""

    count: int
    single: bool


class Refused(msgspec.Struct, array_like=True, tag=True):
    """The body holds no records to check: the name of the exception, and its text."""

    error: Literal["MalformedBody", "InvalidRecord", "TooManyRecords"]
    text: str


class Failed(msgspec.Struct, array_like=True, tag=True):
    """The process cannot do it; `reason` ends a sentence that begins with it."""

    reason: str


Answer = Found | End | Refused | Failed
decode = msgspec.msgpack.Decoder(Answer).decode
encode = msgspec.msgpack.Encoder().encode


def parts(checked: Checked, schema: Schema) -> Iterator[Answer]:
    """What was found, in frames' worths, and the end of it."""
    moments = _moments(schema)
    rows = max(1, _MOST // len(schema.columns))
    for start in range(0, checked.table.count, rows):
        cells = [column[start : start + rows] for column in checked.table.cells]
        for place in moments:
            cells[place] = [value and value.isoformat() for value in cells[place]]
        yield Found(cells, [*checked.positions[start : start + rows]])
    for ids in _some((checked.ids or {}).items()):
        yield Found(ids=dict(ids))
    described = (
        (index, checked.unlisted.get(index, 0), [(c.column, c.code, c.expected, c.got) for c in cells])
        for index, cells in checked.bad.items()
    )
    for bad in _some(described, _MOST // 10):
        yield Found(bad=bad)
    for further in _some(checked.further):
        yield Found(further=[edge for run in further for edge in (run.start, run.stop)])
    yield End(checked.count, checked.single)


class Joining:
    """Puts together what `parts` took apart, part by part."""

    def __init__(self, schema: Schema) -> None:
        self._moments = _moments(schema)
        self._cells: list[list[Any]] = [[] for _ in schema.columns]
        self._positions: list[int] = []
        self._ids: dict[int, Any] = {}
        self._bad: dict[int, list[Rejection]] = {}
        self._unlisted: dict[int, int] = {}
        self._further: list[range] = []

    def add(self, part: Found) -> None:
        """The next part."""
        if part.positions:
            for place in self._moments:
                texts = part.cells[place]
                part.cells[place] = [text and datetime.datetime.fromisoformat(text) for text in texts]
            for column, more in zip(self._cells, part.cells, strict=True):
                column.extend(more)
            self._positions.extend(part.positions)
        self._ids.update(part.ids)
        for index, unlisted, cells in part.bad:
            self._bad[index] = [Rejection(index, *cell) for cell in cells]
            if unlisted:
                self._unlisted[index] = unlisted
        self._further.extend(map(range, part.further[::2], part.further[1::2]))

    def whole(self, end: End) -> Checked:
        """All of it."""
        return Checked(
            Table(self._cells, len(self._positions)),
            self._positions,
            end.count,
            self._bad,
            self._ids or None,
            end.single,
            unlisted=self._unlisted,
            further=self._further,
        )


def _some(values: Iterable[Any], most: int = _MOST) -> Iterator[list[Any]]:
    values = iter(values)
    while some := [*itertools.islice(values, most)]:
        yield some


def _moments(schema: Schema) -> Sequence[int]:
    return [place for place, column in enumerate(schema.columns) if column.type == "datetime"]
