"""The fast half of the reader: msgspec decoders compiled from the schema, for one body and for many.

It only ever accepts. Whatever it does not plainly accept (a bad cell, 3e0 for an integer, a key
twice, ...) goes to `skdeploy.schema.reader`, which decides and explains; so its answer is None
for "not plainly good", never an error.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta, UnsetType
from msgspec.structs import astuple

from skdeploy.schema.column import Column
from skdeploy.schema.strict_json import JsonNumber
from skdeploy.schema.types import Check, Unfit, compile_check

# Bytes. msgspec decodes that much in about a millisecond, and what is made of it takes a few more.
PIECE = 256 * 1024
# A list that cannot be cut into pieces below this size is left to the slow half. Bytes.
LONGEST = 1024 * 1024
# Between two records. Possessive, so that white space is passed once.
_BETWEEN = re.compile(rb"\}[ \t\r\n]*+,[ \t\r\n]*+\{")

_INT64 = 2**63
_STRUCTURAL_COLON = re.compile(rb'"\s*:')

# Seconds. With less, a thread that waits for the interpreter's lock is not awake before it is taken again.
_PAUSE = 0.0001

# Records that are tuples at a time: with more than 700 of them a garbage collection begins, and with some ten
# thousand one of all that the process has. A few may be; they are faster together.
_AT_ONCE = 500
_FEW = 2000

# With a sign and the ".0"; no longer one fits in 64 bits.
_LONGEST_INTEGER = 23

# A pass-through key: the values that msgspec writes back exactly as it read them.
Identifier = Annotated[int, Meta(ge=-_INT64, le=_INT64 - 1)] | str | None

# A list of cells by column, the keys' last.
Cells = list[list[Any]]
_ReadPiece = Callable[[bytes, bool], "tuple[Cells, bool] | None"]
FastDecode = Callable[[bytes, int | None], "tuple[Cells, list[Any] | None, bool] | None"]


def compile_fast(
    columns: Sequence[Column],
    id_field: str | None,
    *,
    strict: bool,
    ignore_unknown: bool = False,
    piece: int = PIECE,
) -> FastDecode | None:
    """A function from bytes to (columns of cells, ids or None, whether a single record came).

    Its second argument is a limit of records: beyond it decoding stops, and at least one record more than the
    limit is returned. A list of more than `piece` bytes is read in pieces, and other threads run in between.

    None in place of the function if a column's name is one that msgspec cannot compile.
    """
    read = _compile_piece(columns, id_field, strict=strict, ignore_unknown=ignore_unknown)
    if read is None:
        return None

    def decode(body: bytes, most: int | None = None) -> tuple[Cells, list[Any] | None, bool] | None:
        single = body.lstrip()[:1] == b"{"
        if len(body) <= piece or single:
            found = read(body, single) if len(body) <= LONGEST else None
        else:
            found = _joined(read, cut(body, piece), most)
        if found is None:
            return None
        (*cells, ids), named = found
        return cells, ids if named else None, single

    return decode


def cut(body: bytes, size: int = PIECE, longest: int = LONGEST) -> Iterator[bytes | None]:
    """Lists that hold together what `body`, a list of objects, holds; at last None, if one would be too long.

    size      where a piece is about to end, bytes
    longest   what no piece exceeds, bytes

    Whether a cut is between two records is not looked at: where it is in a string or in a nested value, the
    piece before it is not JSON. If all pieces are JSON lists, `body` is one, of all that they hold, in order.
    """
    start, opening = 0, b""
    while len(body) - start > size:
        between = _BETWEEN.search(body, start + size - 1, start + longest)
        if between is None:
            break
        yield opening + body[start : between.start() + 1] + b"]"
        start, opening = between.end() - 1, b"["
    yield opening + body[start:] if len(body) - start <= longest else None


def _joined(read: _ReadPiece, pieces: Iterable[bytes | None], most: int | None) -> tuple[Cells, bool] | None:
    cells: Cells = []
    named = False
    for piece in pieces:
        found = None if piece is None else read(piece, False)
        if found is None:
            return None
        named |= found[1]
        if cells:
            for column, more in zip(cells, found[0], strict=True):
                column.extend(more)
        else:
            cells = found[0]
        if most is not None and len(cells[-1]) > most:
            break
        time.sleep(_PAUSE)
    return cells, named


def _compile_piece(
    columns: Sequence[Column], id_field: str | None, *, strict: bool, ignore_unknown: bool
) -> _ReadPiece | None:
    """A function from a body, and whether it is a single record, to its cells, and whether any key came."""
    try:
        exact = _decoder(columns, id_field, _cell_type, ignore_unknown)
        loose = _decoder(columns, id_field, _loose_type, ignore_unknown)
    except ValueError:  # a quote, backslash or control character in a name
        return None
    whole = [(n, column.nullable, *column.bounds) for n, column in enumerate(columns) if column.type == "int"]
    worded = _worded(columns)
    recheck = _rechecks(columns, strict)

    def decode(body: bytes, single: bool) -> tuple[Cells, bool] | None:
        cells = exact(body, single)
        if cells is None and whole and b".0" in body:
            cells = loose(body, single)
            if cells and not all(_are_integers(cells[n], null, low, high) for n, null, low, high in whole):
                return None
        if cells is None:
            return None
        ids = cells[-1]
        named = len(ids) - ids.count(UNSET)
        keys = len(ids) * len(columns) + named
        if ignore_unknown and body.count(b":") != keys:
            keys = _distinct_keys(body, len(ids), single)
        if keys < 0 or _may_repeat_a_key(body, keys, [ids, *(cells[index] for index in worded)]):
            return None
        try:
            for index, check in recheck:
                cells[index] = [check(value) for value in cells[index]]
        except Unfit:
            return None
        return cells, named > 0

    return decode


def _may_repeat_a_key(body: bytes, keys: int, texts: Iterable[Iterable[Any]]) -> bool:
    """Whether `body` could hold more than the `keys` distinct keys that were decoded.

    Every key ends in a quote and a colon. There may be more such places than keys (in strings),
    never fewer; so if they are as many as the keys, no key came twice. The same holds of colons
    alone, less those in the cells of `texts`, if there is no escape that could hide one.
    """
    colons = body.count(b":")
    if colons == keys:
        return False
    if b"\\" not in body:
        inside = sum(text.count(":") for cells in texts for text in cells if isinstance(text, str))
        if colons == keys + inside:
            return False
    return len(_STRUCTURAL_COLON.findall(body)) != keys


def _distinct_keys(body: bytes, count: int, single: bool) -> int:
    """How many different keys the `count` records in `body` have, unknown ones too; -1 if any is nested."""
    if body.count(b"{") != count or body.count(b"[") != (not single):
        return -1
    try:
        if single:
            return len(msgspec.json.decode(body, type=dict[str, Any]))
        return sum(map(len, msgspec.json.decode(body, type=list[dict[str, Any]])))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return -1


def _decoder(
    columns: Sequence[Column], id_field: str | None, type_of: Callable[[Column], Any], ignore_unknown: bool
) -> Callable[[bytes, bool], Cells | None]:
    """A function from a body, and whether it is a single record, to its cells; ValueError for a name."""
    record = _record_type(columns, id_field, type_of, ignore_unknown)
    hook = _float_hook(columns)
    one = msgspec.json.Decoder(record, float_hook=hook)
    many = msgspec.json.Decoder(list[record], float_hook=hook)  # type: ignore[valid-type]

    def decode(body: bytes, single: bool) -> Cells | None:
        try:
            if single:
                return [[value] for value in astuple(one.decode(body))]
            return _transposed(many.decode(body)) or None
        except _REFUSED:
            return None

    return decode


def _transposed(records: list[msgspec.Struct]) -> Cells:
    if len(records) <= _FEW:
        return list(map(list, zip(*map(astuple, records), strict=True)))
    cells: Cells = [[] for _ in records[0].__struct_fields__]
    for start in range(0, len(records), _AT_ONCE):
        some = zip(*map(astuple, records[start : start + _AT_ONCE]), strict=True)
        for column, more in zip(cells, some, strict=True):
            column.extend(more)
    return cells


def _record_type(
    columns: Sequence[Column], id_field: str | None, type_of: Callable[[Column], Any], ignore_unknown: bool
) -> type[msgspec.Struct]:
    """The type that msgspec decodes a record to: its cells, and last the pass-through key or UNSET.

    Raises ValueError if msgspec cannot compile a column's name.
    """
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = [
        (f"f{index}", type_of(column)) for index, column in enumerate(columns)
    ]
    # Without a pass-through key the field has a name that no JSON key can have been meant for.
    names = {f"f{index}": column.name for index, column in enumerate(columns)}
    names["id"] = _unused_name(columns) if id_field is None else id_field
    fields.append(("id", UnsetType if id_field is None else Identifier | UnsetType, UNSET))
    return msgspec.defstruct(
        "Record", fields, rename=names, forbid_unknown_fields=not ignore_unknown, gc=False
    )


def _float_hook(columns: Sequence[Column]) -> Callable[[str], Any]:
    return JsonNumber if any(column.kind.is_exact for column in columns) else _integer_or_float


def _integer_or_float(token: str) -> int | float:
    """Called for what stands in a column of integers and is written as a double.

    719.0 is how a client that holds doubles writes 719: an exact integer, however long. Other
    spellings stay doubles, and so unfit, because the double of 2.9999999999999999999 is 3.
    """
    return int(token[:-2]) if token.endswith(".0") and len(token) <= _LONGEST_INTEGER else float(token)


def _are_integers(cells: list[Any], nullable: bool, low: float, high: float) -> bool:
    kinds = set(map(type, cells))
    if nullable and type(None) in kinds:
        kinds.discard(type(None))
        cells = [cell for cell in cells if cell is not None]
    return not kinds or (kinds == {int} and low <= min(cells) and max(cells) <= high)


def _unused_name(columns: Sequence[Column]) -> str:
    name = "\N{REPLACEMENT CHARACTER}"
    while any(column.name == name for column in columns):
        name += "\N{REPLACEMENT CHARACTER}"
    return name


def _cell_type(column: Column) -> Any:
    """The type of a cell, its bounds included."""
    decoded = column.kind.decoded
    return decoded | None if column.nullable else decoded


def _loose_type(column: Column) -> Any:
    """Integers are typed later, because msgspec calls `float_hook` for untyped numbers alone."""
    return Any if column.type == "int" else _cell_type(column)


def _worded(columns: Sequence[Column]) -> list[int]:
    """The columns whose cells may hold a colon."""
    return [index for index, column in enumerate(columns) if column.kind.decoded is str]


def _rechecks(columns: Sequence[Column], strict: bool) -> list[tuple[int, Check]]:
    """The columns for which msgspec's type is not the whole check."""
    return [
        (index, compile_check(column, strict=strict))
        for index, column in enumerate(columns)
        if column.kind.is_rechecked or column.refuses_unknown(strict)
    ]


_REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Read(NamedTuple):
    """The records that plainly fit.

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
) -> ReadEach:
    """A function from bodies, a record in each, to what plainly fits; the `rest` takes a closer look."""
    try:
        record = _record_type(columns, id_field, _cell_type, ignore_unknown)
    except ValueError:  # a name that msgspec cannot compile: all take a closer look
        return lambda bodies: Read([[] for _ in columns], [], [], [*range(len(bodies))])
    decode = msgspec.json.Decoder(record, float_hook=_float_hook(columns)).decode
    worded = _worded(columns)
    recheck = _rechecks(columns, strict)

    def is_sure(body: bytes, row: tuple[Any, ...]) -> bool:
        """Whether no key stands twice in `body`."""
        keys = len(columns) + (row[-1] is not UNSET)
        if ignore_unknown and body.count(b":") != keys:
            keys = _distinct_keys(body, 1, single=True)
        return keys >= 0 and not _may_repeat_a_key(body, keys, [row[-1:], [row[index] for index in worded]])

    def read(bodies: Sequence[bytes]) -> Read:
        places: Sequence[int] = range(len(bodies))
        try:
            rows = [*map(astuple, map(decode, bodies))]
        except _REFUSED:
            places, rows = _decoded_apart(decode, bodies)
        *cells, ids = map(list, zip(*rows, strict=True)) if rows else ([] for _ in range(len(columns) + 1))
        together = bodies[0] if len(bodies) == 1 else b"".join([bodies[place] for place in places])
        keys = len(rows) * len(columns) + len(ids) - ids.count(UNSET)
        # As many colons as keys: no key stands twice, and no text need be looked at.
        if together.count(b":") != keys and _may_repeat_a_key(
            together, keys, [ids, *(cells[index] for index in worded)]
        ):
            kept = [n for n, place in enumerate(places) if is_sure(bodies[place], rows[n])]
            places = [places[n] for n in kept]
            cells, ids = [[column[n] for n in kept] for column in cells], [ids[n] for n in kept]
        if recheck:
            places, cells, ids = _rechecked(recheck, places, cells, ids)
        rest = [] if len(places) == len(bodies) else sorted({*range(len(bodies))}.difference(places))
        return Read(cells, ids, places, rest)

    return read


def _decoded_apart(
    decode: Callable[[bytes], Any], bodies: Sequence[bytes]
) -> tuple[list[int], list[tuple[Any, ...]]]:
    """Which bodies can be decoded, and their cells."""
    places, rows = [], []
    for place, body in enumerate(bodies):
        try:
            rows.append(astuple(decode(body)))
        except _REFUSED:
            continue
        places.append(place)
    return places, rows


def _rechecked(
    recheck: list[tuple[int, Any]], places: Sequence[int], cells: Cells, ids: list[Any]
) -> tuple[list[int], Cells, list[Any]]:
    """The records with what the checks make of their cells, but for those that a check refuses."""
    kept: list[int] = []
    for row in range(len(places)):
        with contextlib.suppress(Unfit):
            checked = [(index, check(cells[index][row])) for index, check in recheck]
            for index, value in checked:
                cells[index][row] = value
            kept.append(row)
    if len(kept) < len(places):
        cells, ids = [[column[row] for row in kept] for column in cells], [ids[row] for row in kept]
    return [places[row] for row in kept], cells, ids
