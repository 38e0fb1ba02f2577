"""A compiled pipeline: what `skdeploy.engines.compiling` makes and `OnnxEngine` runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from skdeploy.schema import Column, Schema

# A record is a dense row, of half a megabyte at most.
MOST_FEATURES = 65_536
# The graph's output with the records that it leaves to scikit-learn, (n, 1) truth values.
UNDECIDED_OUTPUT = "left"


class Feature(Protocol):
    """Some neighbouring columns of the graph's input, as they follow from one column of the schema."""

    @property
    def column(self) -> int:
        """The schema's column."""

    @property
    def width(self) -> int:
        """How many columns of the graph's input."""


@dataclass(frozen=True, slots=True)
class Number:
    """A column of numbers as they are; a null is NaN.

    changed     cell -> what stands in its place, as an imputer has it; None is the null
    precision   numpy's name of the precision that the pipeline sees the column in
    width       always 1
    """

    column: int
    changed: dict[Any, float]
    precision: str
    width: int = 1


@dataclass(frozen=True, slots=True)
class Lookup:
    """What an encoder makes of each cell that it tells apart.

    codes   cell -> its row in `rows`; None is the null, and a cell that is not there has row 0
    rows    (codes, width)
    apart   (codes,): whether the encoder raises, so that the record is scikit-learn's affair
    """

    column: int
    codes: dict[Any, int]
    rows: Any
    apart: Any

    @property
    def width(self) -> int:
        """Columns of `rows`."""
        return int(self.rows.shape[1])


@dataclass(frozen=True, slots=True)
class WideLookup:
    """A Lookup whose rows are wide and hold at most one number that is not zero.

    places, values   (codes,): that number and its place in the row; the value is 0 where there is none
    """

    column: int
    codes: dict[Any, int]
    places: Any
    values: Any
    apart: Any
    width: int


class Analyzer:
    """A fitted vectorizer's own analyzer: text -> its words.

    Its pickle holds the vectorizer: an analyzer can be a closure, which no pickle holds.
    """

    __slots__ = ("_analyze", "_vectorizer")

    def __init__(self, vectorizer: Any) -> None:
        self._vectorizer = vectorizer
        self._analyze: Callable[[str], list[str]] = vectorizer.build_analyzer()

    def __call__(self, text: str) -> list[str]:
        """The words of a text."""
        return self._analyze(text)

    def __reduce__(self) -> tuple[Any, ...]:
        return Analyzer, (self._vectorizer,)


@dataclass(frozen=True, slots=True)
class Words:
    """What a text vectorizer makes of a text: a number per word of its vocabulary.

    analyze      text -> its words, the fitted vectorizer's own
    vocabulary   word -> its place
    binary       a word counts once
    sublinear    counts become 1 + log(count)
    weights      (width,): by which counts are multiplied, or None
    norm         "l1", "l2" or None: which norm of a record's numbers becomes 1
    """

    column: int
    analyze: Callable[[str], list[str]]
    vocabulary: dict[str, int]
    binary: bool
    sublinear: bool
    weights: Any
    norm: str | None

    @property
    def width(self) -> int:
        """The size of the vocabulary."""
        return len(self.vocabulary)


@dataclass(frozen=True, slots=True)
class Graph:
    """A serialized ONNX model and the columns of its input, a tensor of doubles (n, columns).

    largest     the largest number that the graph takes as scikit-learn does; None for any
    split_most  the column of the input that trees split on most; None if none does
    undecided   whether its last output is UNDECIDED_OUTPUT
    widest      the most numbers that trees read of a record, which may be more than the input has
    """

    content: bytes
    features: list[Feature]
    largest: float | None = None
    split_most: int | None = None
    undecided: bool = False
    widest: int = 0

    def leaves_records(self, schema: Schema) -> bool:
        """Whether the schema accepts records that the graph leaves to scikit-learn."""
        if self.undecided or self.largest is not None:
            return True
        return any(_leaves_cells(feature, schema.columns[feature.column]) for feature in self.features)


def _leaves_cells(feature: Feature, column: Column) -> bool:
    if isinstance(feature, Words):
        return column.nullable
    if not isinstance(feature, Lookup | WideLookup):
        return False
    refused = set()
    if not column.nullable:
        refused.add(feature.codes.get(None))
    # A null without a row of its own has that of unknown categories.
    if column.refuses_unknown(strict=False) and (None in feature.codes or not column.nullable):
        refused.add(0)
    return any(apart for code, apart in enumerate(feature.apart) if code not in refused)
