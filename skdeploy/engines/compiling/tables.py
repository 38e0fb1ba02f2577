"""Fitted encoders and vectorizers as tables, made by calling them on every cell that they tell apart.

Whatever their options, the table says what they do: nothing is derived from the options but which
outputs belong to which column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from skdeploy.engines.compiling.cells import Cells, Probe, unseen, valid
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.graph import MOST_FEATURES, Analyzer, Feature, Lookup, Number, WideLookup, Words
from skdeploy.schema import Column, is_null

# Numbers that an encoder makes at once, and the width from which a row is not stored number by number.
_AT_ONCE = 2**22
_WIDE = 256
# A record's counts are a dense row: with more words, many records take scikit-learn less time.
_MOST_WORDS = 10_000


def encode(encoder: Any, columns: list[Cells], probe: Probe) -> list[Feature]:
    """OneHotEncoder, OrdinalEncoder or TargetEncoder: one table per column, in the order of its outputs."""
    domains = [
        told_apart(probe.column(one), [*learned.tolist(), *probe.told_apart(one)])
        or [valid(probe.column(one))]
        for one, learned in zip(columns, encoder.categories_, strict=True)
    ]
    schema = [probe.column(one) for one in columns]
    base = [domain[0] for domain in domains]
    call = Calls(_sparse(encoder, columns, probe), base)
    widths = _widths(encoder)
    if sum(widths) > MOST_FEATURES:
        raise NotCompilable(f"{type(encoder).__name__} with {sum(widths):,} outputs")
    others = call.one_by_one([unseen(column, domain) for column, domain in zip(schema, domains, strict=True)])
    nulls = call.one_by_one([[None] if column.nullable else [] for column in schema])
    known = sparse.vstack([*call.side_by_side(domains, sum(widths))], format="csr")
    ends = np.cumsum([0, *widths]).tolist()
    return [
        lookup(one.column, domain, [other, null], known, list(range(start, end)))
        for one, domain, other, null, start, end in zip(
            columns, domains, others, nulls, ends[:-1], ends[1:], strict=True
        )
    ]


def told_apart(column: Column, learned: list[Any]) -> list[Any]:
    """The cells among what an encoder has learned that a column can hold, the null aside."""
    kind = str if column.type == "str" else (int, float)
    plain = [value.item() if isinstance(value, np.generic) else value for value in learned]
    cells = list(dict.fromkeys(value for value in plain if isinstance(value, kind) and value == value))
    if cells and column.dtype.lower() in ("float32", "float16"):
        raise NotCompilable("categories of single precision")
    return cells


def place_of_category(cells: Cells, categories: list[Any], other: float | None) -> Lookup:
    """What a model makes of a column whose categories it knows: their places, and NaN of a null.

    other   the place of any other category; None where the model raises
    """
    unlisted, null, strange, first = range(4)
    numbers = [0.0, np.nan, np.nan if other is None else other, *range(len(categories))]
    apart = [False, False, other is None] + [False] * len(categories)
    known = {category: row for row, category in enumerate(categories, first) if not is_null(category)}

    def row_of(value: Any) -> int:
        return null if is_null(value) else known.get(value, strange)

    codes = {None: null, **(known if cells.is_kept else {})}
    numbers[unlisted], apart[unlisted] = numbers[strange], apart[strange]
    if cells.source is not None:
        answers = cells.source.answers[cells.column]
        made = answers.rows[:, cells.place].tolist()
        codes |= {cell: row_of(value) for cell, value in zip(answers.cells, made, strict=True)}
        if not cells.is_kept and answers.others:
            row = row_of(answers.others[0][0, cells.place])
            numbers[unlisted], apart[unlisted] = numbers[row], apart[row]
        elif not cells.is_kept:
            apart[unlisted] = True
    return Lookup(cells.column, codes, np.array(numbers)[:, None], np.array(apart))


def place_of_code(codes: Lookup, categories: list[Any]) -> Lookup:
    """The same of what an encoder makes of a column; NaN for any other number."""
    places = {category: float(place) for place, category in enumerate(categories)}
    rows = [[places.get(number, np.nan)] for number in codes.rows[:, 0].tolist()]
    return Lookup(codes.column, codes.codes, np.array(rows), codes.apart)


def _widths(encoder: Any) -> list[int]:
    """How many outputs each column has."""
    count = len(encoder.categories_)
    if isinstance(encoder, OneHotEncoder):
        return [int(width) for width in encoder._n_features_outs]
    if isinstance(encoder, TargetEncoder):
        return [len(encoder.encodings_) // count] * count
    return [1] * count


@dataclass(frozen=True, slots=True)
class Calls:
    """Calls of one step; `ask` gives its outputs for rows of cells, and `base` is a row that it takes."""

    ask: Callable[[list[list[Any]]], Any]
    base: list[Any]

    def side_by_side(self, domains: list[list[Any]], width: int) -> Iterator[Any]:
        """Outputs for records that go through all domains at once, the shorter ones over and over, in parts.

        width   how many outputs there are
        """
        longest = max(map(len, domains))
        rows = [[domain[row % len(domain)] for domain in domains] for row in range(longest)]
        # Few calls, since each costs an encoder as much as it has categories; what they return may be dense.
        count = max(1, _AT_ONCE // max(1, width))
        return (self.ask(rows[start : start + count]) for start in range(0, longest, count))

    def one_by_one(self, chosen: list[list[Any]]) -> list[Any]:
        """Per column, the outputs of a record that has the chosen cell there.

        None if none is chosen or the step raises, in which case scikit-learn is to raise it.
        """
        together = [cells[0] if cells else base for cells, base in zip(chosen, self.base, strict=True)]
        if (made := self._try(together)) is not None:
            return [made if cells else None for cells in chosen]
        return [
            self._try([*self.base[:index], *cells, *self.base[index + 1 :]]) if cells else None
            for index, cells in enumerate(chosen)
        ]

    def _try(self, row: list[Any]) -> Any:
        try:
            return self.ask([row])
        except Exception:  # encoders raise ValueError or TypeError, and may raise anything
            return None


def _sparse(step: Any, columns: list[Cells], probe: Probe) -> Callable[[list[list[Any]]], Any]:
    def ask(rows: list[list[Any]]) -> Any:
        made = probe.transform(step, columns, rows)
        made = made.to_numpy() if isinstance(made, pd.DataFrame) else made
        return sparse.csr_array(made.astype(float))

    return ask


def lookup(
    column: int, domain: list[Any], special: list[Any], known: Any, outputs: list[int]
) -> Lookup | WideLookup:
    """A table of `outputs` for the cells of `domain`.

    special   those of any other and of the null come first; None where the step raises
    """
    blank = sparse.csr_array((1, len(outputs)))
    rows = sparse.vstack(
        [
            *(blank if made is None else made[:, outputs] for made in special),
            known[: len(domain), outputs],
        ],
        format="csr",
    )
    codes = {None: 1, **{cell: code for code, cell in enumerate(domain, len(special))}}
    apart = np.array([made is None for made in special] + [False] * len(domain))
    filled = np.diff(rows.indptr)
    if rows.shape[1] < _WIDE or filled.max() > 1:
        return Lookup(column, codes, rows.toarray(), apart)
    places, values = np.zeros(len(filled), dtype=np.intp), np.zeros(len(filled))
    places[filled > 0], values[filled > 0] = rows.indices, rows.data
    return WideLookup(column, codes, places, values, apart, rows.shape[1])


def vectorize(vectorizer: Any, columns: list[Cells], probe: Probe) -> tuple[list[int], list[Feature]]:
    """DictVectorizer: one feature per column that it knows, and which of its outputs they are."""
    made = [_entry(vectorizer, one, probe) for one in columns]
    placed = sorted(((places, feature) for places, feature in made if places), key=lambda one: one[0])
    order = [place for places, _ in placed for place in places]
    if sorted(order) != list(range(len(vectorizer.feature_names_))):
        raise NotCompilable("DictVectorizer has outputs of no column, or of two")
    return order, [feature for _, feature in placed]


def _entry(vectorizer: Any, cells: Cells, probe: Probe) -> tuple[list[int], Feature]:
    """The outputs that a column has, and what stands there."""
    column = probe.column(cells)
    call = Calls(_sparse(vectorizer, [cells], probe), [valid(column)])
    null = call.one_by_one([[None]])[0]
    if column.type != "str":
        if (place := vectorizer.vocabulary_.get(column.name)) is None:
            return [], Number(cells.column, {}, precision="float64")
        changed = {} if null is None else {None: float(null.toarray()[0, place])}
        return [place], Number(cells.column, changed, precision="float64")
    prefix = f"{column.name}{vectorizer.separator}"
    names = [name.removeprefix(prefix) for name in vectorizer.feature_names_ if name.startswith(prefix)]
    domain = names or [valid(column)]
    special = [*call.one_by_one([unseen(column, domain)]), null]
    known = sparse.vstack([*call.side_by_side([domain], len(vectorizer.feature_names_))], format="csr")
    rows = sparse.vstack([known, *(row for row in special if row is not None)], format="csr")
    places = np.unique(rows.indices).tolist()
    return places, lookup(cells.column, domain, special, known, places)


def count_words(vectorizer: Any, cells: Cells) -> Feature:
    """CountVectorizer or TfidfVectorizer: its own analyzer, its vocabulary and its weights."""
    if vectorizer.input != "content" or cells.source is not None:
        raise NotCompilable("texts that are not read as they are")
    vocabulary = {word: int(place) for word, place in vectorizer.vocabulary_.items()}
    if len(vocabulary) > _MOST_WORDS:
        raise NotCompilable(f"a vocabulary of more than {_MOST_WORDS:,} words")
    weighs = isinstance(vectorizer, TfidfVectorizer)
    return Words(
        cells.column,
        Analyzer(vectorizer),
        vocabulary,
        binary=vectorizer.binary,
        sublinear=weighs and vectorizer.sublinear_tf,
        weights=vectorizer.idf_ if weighs and vectorizer.use_idf else None,
        norm=vectorizer.norm if weighs else None,
    )
