"""Fitted encoders and imputers as tables, made by calling them on every cell that they tell apart.

Whatever their options, the table says what they do: nothing is derived from the options but which
outputs belong to which column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from skdeploy.engines.compiling.cells import Cells, Probe, unseen, valid
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.graph import MOST_FEATURES, Analyzer, Feature, Lookup, Number, WideLookup, Words

# Numbers that an encoder makes at once, and the width from which a row is not stored number by number.
_AT_ONCE = 2**22
_WIDE = 256
# A record's counts are a dense row: with more words, many records take scikit-learn less time.
_MOST_WORDS = 10_000


def encode(encoder: Any, columns: list[Cells], probe: Probe) -> list[Feature]:
    """OneHotEncoder, OrdinalEncoder or TargetEncoder: one table per column, in the order of its outputs."""
    domains = [
        _domain(probe, one, learned.tolist())
        for one, learned in zip(columns, encoder.categories_, strict=True)
    ]
    schema = [probe.column(one) for one in columns]
    base = [domain[0] for domain in domains]
    call = _Calls(encoder, columns, base, probe)
    widths = _widths(encoder)
    if sum(widths) > MOST_FEATURES:
        raise NotCompilable(f"{type(encoder).__name__} with {sum(widths):,} outputs")
    others = call.one_by_one([unseen(column, domain) for column, domain in zip(schema, domains, strict=True)])
    nulls = call.one_by_one([[None] if column.nullable else [] for column in schema])
    known = call.side_by_side(domains, sum(widths))
    ends = np.cumsum([0, *widths]).tolist()
    return [
        _lookup(one.column, domain, [other, null], known, list(range(start, end)))
        for one, domain, other, null, start, end in zip(
            columns, domains, others, nulls, ends[:-1], ends[1:], strict=True
        )
    ]


def _domain(probe: Probe, cells: Cells, learned: list[Any]) -> list[Any]:
    """The cells, other than the null, that the encoder may tell apart; one at least."""
    column = probe.column(cells)
    if column.dtype.lower() in ("float32", "float16"):
        raise NotCompilable("categories of single precision")
    kind = str if column.type == "str" else (int, float)
    plain = [value.item() if isinstance(value, np.generic) else value for value in learned]
    domain = {value: None for value in plain if isinstance(value, kind) and value == value}
    domain.update((cell, None) for cell in cells.changed if cell is not None)
    return list(domain) or [valid(column)]


def _widths(encoder: Any) -> list[int]:
    """How many outputs each column has."""
    count = len(encoder.categories_)
    if isinstance(encoder, OneHotEncoder):
        return [int(width) for width in encoder._n_features_outs]
    if isinstance(encoder, TargetEncoder):
        return [len(encoder.encodings_) // count] * count
    return [1] * count


@dataclass(frozen=True, slots=True)
class _Calls:
    """Calls of one step on its columns; `base` is a record that it takes."""

    step: Any
    columns: list[Cells]
    base: list[Any]
    probe: Probe

    def side_by_side(self, domains: list[list[Any]], width: int) -> Any:
        """Outputs for records that go through all domains at once, the shorter ones over and over.

        width   how many outputs there are
        """
        longest = max(map(len, domains))
        rows = [[domain[row % len(domain)] for domain in domains] for row in range(longest)]
        # Few calls, since each costs an encoder as much as it has categories; what they return may be dense.
        count = max(1, _AT_ONCE // max(1, width))
        parts = [self._call(rows[start : start + count]) for start in range(0, longest, count)]
        return sparse.vstack(parts, format="csr")

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
            return self._call([row])
        except Exception:  # encoders raise ValueError or TypeError, and may raise anything
            return None

    def _call(self, rows: list[list[Any]]) -> Any:
        made = self.probe.transform(self.step, self.columns, rows)
        return sparse.csr_array(made.astype(float))


def _lookup(column: int, domain: list[Any], special: list[Any], known: Any, outputs: list[int]) -> Feature:
    """A table of `outputs` for the cells of `domain`; `special` has those of any other and of the null."""
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


def impute(imputer: Any, columns: list[Cells], probe: Probe) -> list[Cells | Feature]:
    """SimpleImputer: the columns that it keeps, with what it changes in them, and its indicators."""
    base = [valid(probe.column(one)) for one in columns]
    marked = imputer.indicator_.features_.tolist() if imputer.add_indicator else []
    width = np.asarray(probe.transform(imputer, columns, [base])).shape[1] - len(marked)
    kept = list(range(len(columns)))
    if width < len(columns):
        kept = [index for index in kept if imputer.statistics_[index] == imputer.statistics_[index]]
    made = [_outputs(imputer, columns, base, index, probe) for index in range(len(columns))]
    filled: list[Cells | Feature] = [
        Cells(columns[index].column, {cell: row[place] for cell, row in made[index].items()}, imputed=True)
        for place, index in enumerate(kept)
    ]
    return filled + [
        _indicator(columns[index].column, {cell: row[place] for cell, row in made[index].items()})
        for place, index in enumerate(marked, len(kept))
    ]


def _outputs(
    imputer: Any, columns: list[Cells], base: list[Any], index: int, probe: Probe
) -> dict[Any, list[Any]]:
    """Per cell of one column that the imputer may change, its outputs for a record with that cell."""
    made = {}
    for cell in _specials(imputer, columns[index], probe):
        try:
            outputs = probe.transform(imputer, columns, [[*base[:index], cell, *base[index + 1 :]]])
        except Exception:  # it raises on a null that it does not replace; such a column takes none
            if cell is not None or probe.column(columns[index]).nullable:
                raise
        else:
            made[cell] = outputs[0].tolist()
    return made


def _specials(imputer: Any, cells: Cells, probe: Probe) -> list[Any]:
    """The cells of a column that the imputer may change."""
    column, missing = probe.column(cells), imputer.missing_values
    specials = dict.fromkeys([None, *cells.changed])
    if isinstance(missing, str if column.type == "str" else (int, float)) and missing == missing:
        specials[missing] = None
    return list(specials)


def _indicator(column: int, marks: dict[Any, Any]) -> Feature:
    codes = {cell: code for code, cell in enumerate(marks, 1)}
    rows = np.array([[0.0], *([float(mark)] for mark in marks.values())])
    return Lookup(column, codes, rows, np.zeros(len(rows), dtype=bool))


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
    call = _Calls(vectorizer, [cells], [valid(column)], probe)
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
    known = call.side_by_side([domain], len(vectorizer.feature_names_))
    rows = sparse.vstack([known, *(row for row in special if row is not None)], format="csr")
    places = np.unique(rows.indices).tolist()
    return places, _lookup(cells.column, domain, special, known, places)


def count_words(vectorizer: Any, cells: Cells) -> Feature:
    """CountVectorizer or TfidfVectorizer: its own analyzer, its vocabulary and its weights."""
    if vectorizer.input != "content" or cells.imputed:
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
