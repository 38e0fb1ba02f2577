"""The types of columns: a class for each, found by its name in `TYPES`.

A class says how a cell is checked, decoded and written, how JSON Schema describes it, and which values are
worth trying. To add a type, write its class, and put it into `TYPES`. Nothing is coerced:
the string "12" is not accepted as a number, nor 2.9 as an integer, nor true as 1.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import numbers
import random
import re
import struct
from collections.abc import Callable, Collection, Iterator
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from msgspec import Meta

from skdeploy.schema.strict_json import EXACT_FLOAT, JsonNumber, is_null, shorten

if TYPE_CHECKING:
    from skdeploy.schema.column import Column

UNSEEN = "a category that training never saw"

_INT64 = 2**63
_NUMBERS: tuple[Any, ...] = (numbers.Integral, float, Decimal)

Check = Callable[[Any], Any]


class Unfit(Exception):
    """The value does not fit the column; `code` says why, as a `Rejection` does."""

    def __init__(self, code: str = "type") -> None:
        self.code = code
        super().__init__(code)


class ColumnType:
    """The type of one column; subclasses are the types.

    inferred     what `pandas.api.types.infer_dtype` calls values of the type
    cell_class   the class of a cell, if JSON has no such value; `to_json` and `from_json` translate
    plural       what messages call the cells
    is_exact     JSON numbers are read with all their digits; elsewhere as doubles
    is_rechecked   `converter` has to look at what msgspec has decoded as `decoded`
    is_numeric   `float(cell)` is what scikit-learn calculates with
    is_encoded   tables of a compiled engine can stand for an encoder of such cells
    has_enum     JSON Schema can list the categories, each of which has one spelling
    bins         how drift is measured where cells are not counted by value: see `skdeploy.drift.sketch`
    """

    inferred: ClassVar[tuple[str, ...]] = ()
    cell_class: ClassVar[type | None] = None
    plural: ClassVar[str]
    is_exact: ClassVar[bool] = False
    is_rechecked: ClassVar[bool] = False
    is_numeric: ClassVar[bool] = False
    is_encoded: ClassVar[bool] = False
    has_enum: ClassVar[bool] = True
    bins: ClassVar[Literal["ranges", "moments", "lengths"]] = "ranges"

    def __init__(self, column: Column) -> None:
        self.column = column

    def converter(self) -> Check:
        """A function from a value, no null, to the cell as the engine takes it; it raises Unfit."""
        raise NotImplementedError

    def expectation(self) -> str:
        """What the column takes, in words."""
        raise NotImplementedError

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema of a value that is not null."""
        raise NotImplementedError

    @property
    def decoded(self) -> Any:
        """The type to which msgspec decodes a value, no null; it may refuse what `converter` takes."""
        raise NotImplementedError

    @staticmethod
    def to_json(cell: Any) -> Any:
        """A cell of `cell_class` as JSON has it."""
        return cell

    @staticmethod
    def from_json(value: Any) -> Any:
        """The cell that `to_json` wrote."""
        return value

    def boundaries(self, seen: list[Any]) -> Iterator[tuple[str, Any]]:
        """Cells at which engines may differ, and what they are; `seen` are some of training's, not null."""
        return iter(())

    def unseen(self, known: Collection[Any]) -> Any:
        """A cell that is none of the known; None if there is none, or if that says nothing."""
        return None

    def draw(self, chance: random.Random) -> Any:
        """A value within the range seen in training, as JSON has it."""
        return self.column.example


class _Number(ColumnType):
    is_numeric = True
    is_encoded = True

    def unseen(self, known: Collection[Any]) -> Any:
        low, high = self.column.bounds
        near = range(-len(known) - 1, len(known) + 2)
        return next((cell for cell in near if cell not in known and low <= cell <= high), None)

    def boundaries(self, seen: list[Any]) -> Iterator[tuple[str, Any]]:
        column = self.column
        if column.refuses_unknown(strict=False):
            return
        low, high = column.minimum or 0, column.maximum or 0
        span = (high - low) or 1
        for value in (low, high, low - 1, high + 1, low - 1000 * span, high + 1000 * span, 0, -1):
            if column.bounds[0] <= value <= column.bounds[1]:
                yield "an extreme", self._cell(value)

    @staticmethod
    def _cell(value: Any) -> Any:
        return value


class Int(_Number):
    """Whole numbers, in the range of the training dtype. 3.0 is one in JSON."""

    inferred = ("integer",)
    plural = "integers"

    def converter(self) -> Check:
        low, high = self.column.bounds

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

    def expectation(self) -> str:
        low, high = self.column.bounds
        return "integer" if high >= EXACT_FLOAT else f"integer from {low} to {high}"

    def json_schema(self) -> dict[str, Any]:
        low, high = self.column.bounds
        limits = {"format": "int64"} if high == _INT64 - 1 else {"minimum": low, "maximum": high}
        return {"type": "integer"} | limits

    @property
    def decoded(self) -> Any:
        low, high = self.column.bounds
        return Annotated[int, Meta(ge=max(int(low), -_INT64), le=min(int(high), _INT64 - 1))]

    def draw(self, chance: random.Random) -> Any:
        low, high = self.column.minimum, self.column.maximum
        return self.column.example if low is None else chance.randint(low, high)


class Float(_Number):
    """Doubles, or singles where training had those; finite. Integers up to 2**53 are among them."""

    inferred = ("floating", "mixed-integer-float")
    plural = "numbers"

    def converter(self) -> Check:
        low, high = self.column.bounds

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

    def expectation(self) -> str:
        return "number"

    def json_schema(self) -> dict[str, Any]:
        low, high = self.column.bounds
        return {"type": "number"} | ({"minimum": low, "maximum": high} if math.isfinite(high) else {})

    @property
    def decoded(self) -> Any:
        # Exclusive: 2**53 + 1 is rounded to 2**53 before msgspec compares.
        return Annotated[float, Meta(gt=float(-EXACT_FLOAT), lt=float(EXACT_FLOAT))]

    def boundaries(self, seen: list[Any]) -> Iterator[tuple[str, Any]]:
        yield from super().boundaries(seen)
        for value in [] if self.column.refuses_unknown(strict=False) else seen:
            for towards in (-math.inf, math.inf):
                yield "beside a seen value", math.nextafter(value, towards)
                width = math.copysign(abs(value) * 2e-7, towards)
                yield "a single's width beside a seen value", value + width

    def draw(self, chance: random.Random) -> Any:
        low, high = self.column.minimum, self.column.maximum
        return self.column.example if low is None else chance.uniform(low, high)

    @staticmethod
    def _cell(value: Any) -> Any:
        return float(value)


class Bool(ColumnType):
    """true and false; neither 0 nor "false"."""

    inferred = ("boolean",)
    plural = "booleans"
    is_numeric = True
    is_encoded = True

    def converter(self) -> Check:
        return _of_class(bool)

    def expectation(self) -> str:
        return "boolean"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "boolean"}

    @property
    def decoded(self) -> Any:
        return bool

    def boundaries(self, seen: list[Any]) -> Iterator[tuple[str, Any]]:
        return iter([("true", True), ("false", False)])

    def unseen(self, known: Collection[Any]) -> Any:
        return next((cell for cell in (False, True) if cell not in known), None)

    def draw(self, chance: random.Random) -> Any:
        return chance.random() < 0.5


class Str(ColumnType):
    """Texts."""

    inferred = ("string",)
    plural = "texts"
    is_encoded = True
    bins = "lengths"

    def converter(self) -> Check:
        return _of_class(str)

    def expectation(self) -> str:
        return "string"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string"}

    @property
    def decoded(self) -> Any:
        return str

    def boundaries(self, seen: list[Any]) -> Iterator[tuple[str, Any]]:
        if self.column.unknown == "accept":
            yield "an unseen category", UNSEEN
            yield "the empty text", ""
            yield "a text with a NUL in it", f"{seen[0] if seen else ''}\0"

    def unseen(self, known: Collection[Any]) -> Any:
        text = UNSEEN
        while text in known:
            text += "\0"
        return text


class DecimalNumber(ColumnType):
    """Decimals with all their digits: Python's Decimal, Arrow's decimal128, SQL's NUMERIC.

    JSON has them as numbers, of which every written digit counts, or as strings of digits such as "12.30".
    A double of Python is not accepted: it does not say which digits it was made from. Without a dtype that
    says less, decimals have up to 38 digits, as decimal128 has.
    """

    inferred = ("decimal",)
    cell_class = Decimal
    plural = "decimals"
    is_exact = True
    is_rechecked = True
    is_numeric = True
    has_enum = False

    _most_digits = 38
    _pattern = "-?(0|[1-9][0-9]*)(\\.[0-9]+)?"
    _of_dtype = re.compile(r"decimal\d+\((\d+), (-?\d+)\)\[pyarrow\]")

    def __init__(self, column: Column) -> None:
        super().__init__(column)
        match = self._of_dtype.fullmatch(column.dtype)
        self._digits = int(match[1]) if match else self._most_digits
        # How many digits stand behind the point; None where each number has its own.
        self._scale = int(match[2]) if match else None
        self._whole_digits = self._digits - (self._scale or 0)

    def converter(self) -> Check:
        context = Context(prec=self._digits, traps=[Inexact, InvalidOperation])
        spelling = re.compile(self._pattern, re.ASCII)

        def convert(value: Any) -> Decimal:
            if isinstance(value, str):
                if spelling.fullmatch(value) is None:
                    raise Unfit
                value = Decimal(value)
            elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
                value = Decimal(int(value))
            elif not isinstance(value, Decimal):
                raise Unfit
            elif not value and isinstance(value, JsonNumber) and value.has_digits:
                raise Unfit("precision")
            if not value.is_finite() or (value and value.adjusted() >= self._whole_digits):
                raise Unfit("range")
            try:
                return context.quantize(value, Decimal((0, (1,), -self._places(value))))
            except (Inexact, InvalidOperation):
                raise Unfit("precision") from None

        return convert

    def _places(self, value: Decimal) -> int:
        """How many digits the cell that `value` becomes has behind the point."""
        if self._scale is not None:
            return self._scale
        return min(max(0, -int(value.as_tuple().exponent)), self._most_digits)

    def expectation(self) -> str:
        if self._scale is None:
            return "decimal"
        return f"decimal of at most {self._digits} digits, {self._scale} of them decimal places"

    def json_schema(self) -> dict[str, Any]:
        limit = float(10**self._whole_digits)
        return {
            "type": ["number", "string"],
            "format": "decimal",
            "pattern": f"^{self._pattern}$",
            "exclusiveMinimum": -limit,
            "exclusiveMaximum": limit,
        }

    @property
    def decoded(self) -> Any:
        return Any

    @staticmethod
    def to_json(cell: Decimal) -> str:
        return format(cell, "f")

    @staticmethod
    def from_json(value: str) -> Decimal:
        return Decimal(value)

    def boundaries(self, seen: list[Any]) -> Iterator[tuple[str, Any]]:
        if self.column.refuses_unknown(strict=False):
            return
        low, high = (Decimal(edge or 0) for edge in (self.column.minimum, self.column.maximum))
        span = (high - low) or 1
        cells = [low, high, low - 1, high + 1, low - 1000 * span, high + 1000 * span, Decimal(0), Decimal(-1)]
        for cell in seen:
            unit = Decimal((0, (1,), -self._places(cell)))
            cells += [cell - unit, cell + unit]
        convert = self.converter()
        for cell in cells:
            with contextlib.suppress(Unfit):
                yield "an extreme, or beside a seen value", convert(cell)

    def unseen(self, known: Collection[Any]) -> Any:
        taken = {Decimal(cell) for cell in known}
        return next(Decimal(cell) for cell in range(len(taken) + 1) if cell not in taken)

    def draw(self, chance: random.Random) -> Any:
        if self.column.minimum is None:
            return self.column.example
        low, high = Decimal(self.column.minimum), Decimal(self.column.maximum)
        unit = Decimal((0, (1,), -self._places(Decimal(self.column.example))))
        return self.to_json(low + chance.randint(0, int((high - low) / unit)) * unit)


class DateTime(ColumnType):
    """Date-times as RFC 3339, section 5.6, writes them, with a zone exactly where training data had one.

    JSON has them as strings. They are kept in UTC, to the microsecond.
    """

    inferred = ("datetime",)
    cell_class = datetime.datetime
    plural = "date-times"
    is_rechecked = True
    bins = "moments"

    _pattern = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
    _nanoseconds = re.compile(r":\d\d\.\d{7,}", re.ASCII)
    _without_zone = (
        "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])[Tt ]"
        "([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?$"
    )

    def converter(self) -> Check:
        zoned = self.column.has_zone
        # Moments that every time zone has in its calendar.
        first, last = (2, 9998) if zoned else (1, 9999)
        if "[ns" in self.column.dtype:
            # The whole years of a 64-bit count of nanoseconds since 1970.
            first, last = 1678, 2261

        def convert(value: Any) -> datetime.datetime:
            moment = self._parse(value) if isinstance(value, str) else value
            if not isinstance(moment, datetime.datetime) or (moment.tzinfo is not None) != zoned:
                raise Unfit
            if not first <= moment.year <= last:
                raise Unfit("range")
            return moment.astimezone(datetime.UTC) if zoned else moment

        return convert

    def _parse(self, text: str) -> datetime.datetime:
        if self._pattern.fullmatch(text) is None:
            raise Unfit("precision" if self._nanoseconds.search(text) else "type")
        try:
            return datetime.datetime.fromisoformat(text.upper())
        except ValueError:
            raise Unfit from None

    def expectation(self) -> str:
        return f"date-time as RFC 3339 writes it, {'with' if self.column.has_zone else 'without'} a zone"

    def json_schema(self) -> dict[str, Any]:
        if self.column.has_zone:
            return {"type": "string", "format": "date-time"}
        # RFC 3339, and so that format, demands a zone.
        return {"type": "string", "format": "date-time-local", "pattern": self._without_zone}

    @property
    def decoded(self) -> Any:
        return str

    @staticmethod
    def to_json(cell: datetime.datetime) -> str:
        return cell.isoformat()

    @staticmethod
    def from_json(value: str) -> datetime.datetime:
        return datetime.datetime.fromisoformat(value)

    def unseen(self, known: Collection[Any]) -> Any:
        """The day after the last that training had."""
        if self.column.maximum is None:
            return None
        try:
            return datetime.datetime.fromisoformat(self.column.maximum) + datetime.timedelta(days=1)
        except OverflowError:
            return None


# The name that a schema has for a type -> its class.
TYPES: dict[str, type[ColumnType]] = {
    "int": Int,
    "float": Float,
    "decimal": DecimalNumber,
    "bool": Bool,
    "str": Str,
    "datetime": DateTime,
}


def as_json(cell: Any) -> Any:
    """A cell of any type as JSON has it."""
    for kind in TYPES.values():
        if kind.cell_class is not None and isinstance(cell, kind.cell_class):
            return kind.to_json(cell)
    return cell


def compile_check(column: Column, *, strict: bool = False) -> Check:
    """A function that returns the cell as the engine takes it, or raises Unfit.

    `strict` refuses categories unseen in training even where the pipeline accepts them.
    """
    convert = column.kind.converter()
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


def expectation(column: Column, *, strict: bool = False, reveal: bool = True) -> str:
    """What the column takes, in words: "integer from 0 to 255, or null".

    `reveal` False keeps the categories of the training data out of the text.
    """
    text = column.kind.expectation()
    if column.refuses_unknown(strict):
        text += _describe_categories(column) if reveal else " of a known category"
    return f"{text}, or null" if column.nullable else text


def _describe_categories(column: Column) -> str:
    known = column.categories or []
    if not known:
        return " of a known category, of which there is none"
    shown = ", ".join(shorten(json.dumps(value, ensure_ascii=False)) for value in known[:20])
    return f", one of {shown}" + (f" and {len(known) - 20} more" if len(known) > 20 else "")


def _as_kept(column: Column) -> Callable[[Any], Any]:
    """A function from a number to the number that the column's dtype keeps of it."""
    if column.dtype.lower() == "float32":
        return lambda number: struct.unpack("f", struct.pack("f", number))[0]
    return lambda value: value


def _is_integer(value: Any) -> bool:
    """An integer, or a JSON number written as one that is too long for an int."""
    if isinstance(value, JsonNumber):
        return str(value).removeprefix("-").isdigit()
    return isinstance(value, numbers.Integral)


def _loses(value: Any, number: float) -> bool:
    """Whether a decimal from a database has digits that the double drops."""
    is_decimal = isinstance(value, Decimal) and not isinstance(value, JsonNumber)
    return is_decimal and Decimal(repr(number)) != value


def _of_class(kind: type) -> Check:
    def convert(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Unfit
        return value

    return convert
