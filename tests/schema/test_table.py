"""Columns of three kinds, which say the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdeploy.schema import Coded, Table, as_list

some_cells = st.lists(st.sampled_from(["a", "b", None, "c"]), max_size=12)


def coded(cells: list[Any]) -> Coded:
    """The cells, each that occurs once."""
    values = list(dict.fromkeys(cells))
    return Coded(values, np.array([values.index(cell) for cell in cells], dtype=np.int32))


@given(some_cells, st.data())
def test_coded_cells_are_a_sequence(cells: list[Any], data: st.DataObject) -> None:
    """Of what they code; rows of them code nothing that does not occur in these."""
    made = coded(cells)
    assert (list(made), len(made)) == (cells, len(cells))
    assert [made[row] for row in range(len(cells))] == cells
    assert [cell in made for cell in ("a", "b", None, "d")] == [
        cell in cells for cell in ("a", "b", None, "d")
    ]
    rows = data.draw(st.lists(st.sampled_from(range(len(cells))), max_size=9)) if cells else []
    chosen = [cells[row] for row in rows]
    taken = made.take(np.array(rows, dtype=np.intp))
    assert (list(taken), set(taken.values), len(taken.values)) == (chosen, set(chosen), len(set(chosen)))


@pytest.mark.parametrize(
    ("cells", "listed"),
    [
        (np.array([1.5, math.nan, -0.0]), [1.5, None, -0.0]),
        (np.array([1, 2**63 - 1, 3]), [1, 2**63 - 1, 3]),
        (coded(["a", None, "a"]), ["a", None, "a"]),
        ([1, None, "a"], [1, None, "a"]),
    ],
)
def test_every_kind_of_column_says_null_as_none(cells: Any, listed: list[Any]) -> None:
    """Listed, in rows, and of a record alone, which is a list always."""
    assert as_list(cells) == listed
    assert [*map(type, as_list(cells))] == [*map(type, listed)]
    assert as_list(Table([cells], 3).rows([2, 1]).cells[0]) == [listed[2], listed[1]]
    assert Table([cells], 3).rows([1]) == Table([[listed[1]]], 1)
    assert as_list(Table([cells], 3).rows([]).cells[0]) == []
