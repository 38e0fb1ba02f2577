"""Which bins training data get, and that cells are counted alike in whatever form they come."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from skdeploy.drift import PREDICTION, Bins, Sketch
from skdeploy.drift.binning import counter
from skdeploy.drift.learning import learn
from skdeploy.schema import Coded, Column, Table
from tests.drift.sketches import sketch, table

BINS = {bins.name: bins for bins in sketch(table()).all}


def learned(kind: Any, cells: list[Any], **more: Any) -> Bins:
    """The bins of one column."""
    column = Column(name="a", type=kind, dtype="object", **more)
    return learn([column], Table([cells], len(cells)), [[0.0] * len(cells)]).columns[0]


def output(*columns: list[Any], **how: Any) -> list[Bins]:
    """The bins of predictions, a column per output."""
    column = Column(name="a", type="float", dtype="float64")
    count = len(columns[0])
    return learn([column], Table([[0.0] * count], count), columns, **how).outputs


def test_each_column_has_bins_of_its_kind() -> None:
    """Categories and few whole numbers by value, other numbers by quantiles, free texts by length."""
    kinds = {name: (bins.kind, bins.size) for name, bins in BINS.items()}
    assert kinds == {
        "size": ("ranges", 11),
        "kind": ("values", 7),
        "month": ("values", 11),
        "count": ("ranges", 11),
        "wet": ("values", 5),
        "at": ("moments", 11),
        "note": ("lengths", 11),
        PREDICTION: ("ranges", 11),
    }
    assert BINS["kind"].shares[3:] == [0, 0, 0, 0]
    assert all(sum(bins.shares) == pytest.approx(1) for bins in BINS.values())
    assert BINS["size"].shares[:-1] == pytest.approx([0.089] * 10, abs=0.001)


def test_frequent_values_have_bins_and_the_others_share_one() -> None:
    """Of a hundred categories 31 have bins of their own; the rest is known, and not unseen."""
    cells = [f"c{n}" for n in range(100) for _ in range(n + 1)]
    bins = learned("str", cells, categories=[f"c{n}" for n in range(120)])
    assert bins.values == [f"c{n}" for n in range(99, 68, -1)]
    assert len(bins.others) == 89
    assert counter(bins)(["c99", "c68", "c119", "c120", None]).nonzero()[0].tolist() == [0, 31, 32, 33]


def test_a_free_text_is_in_no_passport() -> None:
    """However often it occurs: only its length is counted."""
    assert "secret" not in repr(msgspec.to_builtins(learned("str", ["secret"] * 500)))


@pytest.mark.parametrize("least", [0.0, 7.5])
def test_what_is_beyond_a_constant_has_a_bin(least: float) -> None:
    """A column that never changed in training has bins below and above."""
    bins = learned("float", [least] * 100)
    assert bins.shares == [0, 1, 0, 0]
    assert counter(bins)([least - 1, least, least + 1, None]).tolist() == [1, 1, 1, 1]


def test_a_last_digit_moves_no_value_to_another_bin() -> None:
    """Predictions that many records share are in their bin whichever engine made them."""
    cells = [leaf / 7 for leaf in range(12) for _ in range(50)]
    bins = learned("float", cells)
    for factor in (1 - 1e-12, 1 + 1e-12):
        assert (counter(bins)([cell * factor for cell in cells]) == counter(bins)(cells)).all()


def test_a_column_of_nulls_has_one_bin_for_all_else() -> None:
    """And everything that ever comes is news."""
    assert learned("float", [None] * 10).shares == [0, 1]
    assert learned("str", [None] * 10, categories=[]).shares == [0, 0, 1]


def test_labels_clusters_and_several_outputs_have_bins() -> None:
    """Labels and numbered clusters by value, several outputs each under its name; no prediction is a null."""
    (labels,) = output(["no", "yes", "yes", None], classes=["no", "perhaps", "yes"])
    assert (labels.values, labels.shares) == (["yes", "no", "perhaps"], [0.5, 0.25, 0, 0, 0, 0.25])
    (clusters,) = output([1, -1, 1, 1])
    assert clusters.values == [1, -1]
    price, kind = output(
        [n / 7 for n in range(100)] + [None],
        [n % 2 for n in range(100)] + [None],
        names=["price", "kind"],
        classes=[[], [0, 1]],
    )
    assert (price.name, kind.name) == ("(prediction) price", "(prediction) kind")
    assert (kind.values, kind.shares[-1]) == ([0, 1], 1 / 101)


@pytest.mark.parametrize("name", list(BINS))
def test_lists_coded_cells_and_arrays_are_counted_alike(name: str) -> None:
    """As the web has them, as a batch job reads texts, and as it reads numbers."""
    records = table(seed=5)
    cells = (*records.cells, [None, 1.0, 5.0, *([900.0] * 1997)])[list(BINS).index(name)]
    count = counter(BINS[name])
    values = list(dict.fromkeys(cells))
    coded = Coded(values, np.array([values.index(cell) for cell in cells]))
    expected = count(cells).tolist()
    assert sum(expected) == 2000
    assert count(coded).tolist() == expected
    if name in ("size", "count", "month", PREDICTION):
        whole = name in ("count", "month")
        assert count(np.array(cells, dtype=np.int64 if whole else np.float64)).tolist() == expected


def test_a_sketch_survives_plain_values() -> None:
    """It is what it was after JSON, and its repr shows no edge."""
    made = sketch(table())
    plain = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(made)))
    assert msgspec.convert(plain, Sketch) == made
    assert repr(made) == "Sketch(7 columns, 2000 records)"
    assert repr(made.columns[1]) == "Bins('kind', values, 7)"
