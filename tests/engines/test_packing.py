"""Arrays and coded columns are packed as the lists that they stand for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from skdeploy.engines.graph import Feature, Lookup, Number, WideLookup, Words
from skdeploy.engines.onnx import Packer
from skdeploy.schema import Coded, Table, as_list

BIG = 2**53
DOUBLES = np.array([0.0, -0.0, math.nan, 1.0, 12.0, 1e308, float(BIG), 0.1])
WHOLE = np.array([0, 12, BIG, BIG + 1, -1, 2**63 - 1, 1, 12])
WIDE = np.array([0, 12, BIG, BIG + 1, 5, 2**64 - 1, 1, 12], dtype=np.uint64)
TEXTS = Coded(["oak", None, "ash"], np.array([0, 1, 2, 2, 0, 0, 1, 2]))
MAYBE = Coded([12, None, True], np.array([0, 1, 2, 2, 0, 0, 1, 2]))
CHANGED: dict[Any, float] = {12.0: 2.0, 0: 7.0, None: -1.0, float(BIG): 3.0, 0.1: 4.0, math.inf: 5.0}
MANY = CHANGED | {float(number): 0.5 for number in range(100, 300)}
CODES = {"ash": 1, None: 2, 12: 3, 1: 4}
APART = np.array([True, False, True, False, False])


@pytest.mark.parametrize("cells", [DOUBLES, WHOLE, WIDE, TEXTS, MAYBE], ids=lambda cells: str(type(cells)))
@pytest.mark.parametrize(
    "feature",
    [
        Number(0, {}, "float64"),
        Number(0, CHANGED, "float64"),
        Number(0, MANY, "float32"),
        Lookup(0, CODES, np.arange(5.0).reshape(5, 1), APART),
        Lookup(0, CODES, np.arange(10.0).reshape(5, 2), APART),
        WideLookup(0, CODES, np.array([0, 1, 2, 0, 1]), np.arange(5.0), APART, 3),
        Words(0, list, {"a": 0, "k": 1}, False, False, None, None),
    ],
    ids=lambda feature: type(feature).__name__,
)
@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
def test_arrays_are_packed_as_lists(feature: Feature, cells: Any) -> None:
    """The same tensor, bit by bit, and the same records apart."""
    numbers, texts = isinstance(feature, Number), isinstance(feature, Words)
    if (numbers and cells is TEXTS) or (texts and cells is not TEXTS):
        return
    packer = Packer([feature], largest=2.0**60)
    (packed, apart), (expected, others) = (
        packer.pack(Table([column], 8)) for column in (cells, as_list(cells))
    )
    assert apart == others
    kept = np.setdiff1d(np.arange(8), apart)
    assert packed[kept].tobytes() == expected[kept].tobytes()
