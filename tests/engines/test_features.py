"""The columns of a graph's input, written down and read again."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdeploy.engines.features import Damaged, NotPlain, from_plain, to_plain
from skdeploy.engines.graph import Lookup, Number, WideLookup, Words

# With infinities and lone surrogates; a NaN is never a cell, since it would not be found again.
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=())),
)

NO_BOOLEANS = {"dtype": "|b1", "shape": [0], "base64": ""}


def again(feature: Any) -> Any:
    """The feature, through JSON."""
    return from_plain(json.loads(json.dumps(to_plain([feature]), allow_nan=False)), columns=4)[0]


def kinds(cells: Any) -> list[tuple[type, str]]:
    """What tells cells apart that are equal: 1, 1.0 and True; 0.0 and -0.0."""
    return [(type(cell), repr(cell)) for cell in cells]


@given(st.dictionaries(CELLS, st.floats()))
def test_numbers_are_the_same_to_the_last_bit(changed: dict[Any, float]) -> None:
    """Cells keep their types, and what stands in their places its bits."""
    got = again(Number(3, changed, precision="float32"))
    assert (got.column, got.precision, got.width) == (3, "float32", 1)
    assert kinds(got.changed) == kinds(changed)
    assert [number.hex() for number in got.changed.values()] == [
        number.hex() for number in map(float, changed.values())
    ]


@given(st.lists(CELLS, unique=True), st.integers(1, 3))
def test_tables_are_the_same_to_the_last_bit(cells: list[Any], width: int) -> None:
    """So are a lookup's rows, a NaN, an infinity and a number below the least normal one among them."""
    odd = [math.nan, math.inf, -0.0, 5e-324, 0.1]
    rows = np.resize(odd, (len(cells) + 1, width))
    apart = np.arange(len(cells) + 1) % 2 == 1
    codes = {cell: code for code, cell in enumerate(cells, 1)}
    got = again(Lookup(0, codes, rows, apart))
    assert kinds(got.codes) == kinds(codes)
    assert [*got.codes.values()] == [*codes.values()]
    assert got.rows.tobytes() == rows.tobytes()
    assert (got.rows.shape, got.apart.tolist(), got.width) == (rows.shape, apart.tolist(), width)


def test_wide_tables_are_the_same() -> None:
    """A wide lookup has its places, values and width again."""
    wide = WideLookup(
        2, {None: 1, "a": 2}, np.array([0, 3, 299]), np.array([0.0, -0.0, 1.5]), np.zeros(3, bool), 300
    )
    got = again(wide)
    assert (got.column, got.codes, got.width) == (2, wide.codes, 300)
    assert got.places.dtype == np.intp
    assert got.places.tolist() == [0, 3, 299]
    assert got.values.tobytes() == wide.values.tobytes()


def test_words_are_refused() -> None:
    """An analyzer is scikit-learn's own code, which no file holds."""
    words = Words(0, str.split, {"a": 0}, binary=False, sublinear=False, weights=None, norm=None)
    with pytest.raises(NotPlain, match="analyzer"):
        to_plain([words])


def test_other_cells_are_refused() -> None:
    """A cell that is no plain value is not written as a text of itself."""
    with pytest.raises(NotPlain, match="complex"):
        to_plain([Number(0, {1j: 1.0}, precision="float64")])


@pytest.mark.parametrize(
    "damage",
    [
        {"kind": "words"},
        {"codes": [[None, 9]]},
        {"codes": [[None, True]]},
        {"rows": {"dtype": "<f8", "shape": [2, 9], "base64": ""}},
        {"rows": {"dtype": "|O8", "shape": [1, 1], "base64": "AAAAAAAAAAA="}},
        {"apart": {"dtype": "|b1", "shape": [2], "base64": "A*=="}},
        {"codes": None},
        {"codes": [], "rows": {"dtype": "<f8", "shape": [0, 1], "base64": ""}, "apart": NO_BOOLEANS},
        {"rows": {"dtype": "<f8", "shape": [1, 1], "base64": "AAAAAAAAAAA="}},
        {"column": 4},
        {"column": -1},
        {"column": True},
    ],
)
def test_what_is_damaged_is_not_read(damage: dict[str, Any]) -> None:
    """A code without a row, an array that is none, and a kind that nobody knows raise Damaged."""
    plain = to_plain([Lookup(0, {None: 1}, np.zeros((2, 1)), np.zeros(2, bool))])[0] | damage
    with pytest.raises(Damaged):
        from_plain([plain], columns=4)


@pytest.mark.parametrize(
    "damage",
    [
        {"width": 10**12},
        {"width": 2},
        {"width": 1.5},
        {"places": {"dtype": "<i8", "shape": [0], "base64": ""}},
    ],
)
def test_a_wide_table_says_no_more_than_it_has(damage: dict[str, Any]) -> None:
    """A width that no memory holds, or that is below a place, raises Damaged."""
    wide = WideLookup(0, {"a": 1}, np.array([0, 2]), np.array([0.0, 1.5]), np.zeros(2, bool), 3)
    assert from_plain(to_plain([wide]), columns=1)
    with pytest.raises(Damaged):
        from_plain([to_plain([wide])[0] | damage], columns=1)


@pytest.mark.parametrize("plain", [[], None, 3, [3], {}, [[]], "number"])
def test_what_is_no_list_of_features_is_not_read(plain: Any) -> None:
    """Neither another type nor an empty list is the input of a graph."""
    with pytest.raises(Damaged):
        from_plain(plain, columns=1)
