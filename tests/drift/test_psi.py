"""The population stability index, and what a column's counts say."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skdeploy.drift import PREDICTION, Drifted, Meter, Tally, drifted, psi
from skdeploy.drift.meter import with_outputs
from tests.drift.sketches import NAMES, changed, predictions, sketch, table

TRAINING = table()
SKETCH = sketch(TRAINING)


def said(records: Any, values: Any = None) -> dict[str, Drifted]:
    """What the sketch of the training records says of others."""
    tally = Tally(SKETCH)
    tally.add(records, predictions(records) if values is None else values)
    return drifted(SKETCH, tally.counts)


def test_the_formula() -> None:
    """The sum over bins of (a - e) ln(a / e); a share of nothing counts as one in 10,000."""
    assert psi([0.5, 0.5], [3, 1]) == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))
    assert psi([1.0, 0.0], [9, 1]) == pytest.approx(
        (0.9 - 1) * math.log(0.9) + (0.1 - 1e-4) * math.log(0.1 / 1e-4)
    )
    assert psi([1.0, 0.0], [7, 0]) == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 10**6)), min_size=1, max_size=40))
def test_it_is_finite_and_not_negative(bins: list[tuple[float, int]]) -> None:
    """Whatever is empty, on whichever side."""
    total = sum(share for share, _ in bins) or 1.0
    counts = [count for _, count in bins]
    found = psi([share / total for share, _ in bins], [*counts[:-1], counts[-1] + 1])
    assert math.isfinite(found)
    assert found >= 0


def test_training_data_have_not_moved() -> None:
    """Against itself the index is 0 in every column, and in the predictions."""
    found = said(TRAINING)
    assert list(found) == [*NAMES, PREDICTION]
    assert {name: one.psi for name, one in found.items()} == pytest.approx(dict.fromkeys(found, 0), abs=1e-12)
    assert found["size"] == pytest.approx((0, 223 / 2000, None), abs=1e-12)
    assert found["kind"] == pytest.approx((0, 0, 0), abs=1e-12)


def test_other_records_like_them_have_hardly_moved() -> None:
    """Chance alone moves no column by as much as anybody would look at."""
    assert all(one.psi is not None and one.psi < 0.05 for one in said(table(seed=1)).values())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("size", lambda cell: None if cell is None else cell + 3),
        ("size", lambda _: None),
        ("kind", lambda _: "oak"),
        ("kind", lambda _: "yew"),
        ("kind", lambda _: "fir"),
        ("month", lambda cell: cell + 6),
        ("count", lambda cell: cell // 2),
        ("count", lambda cell: cell - 2000),
        ("wet", lambda cell: not cell),
        ("at", lambda cell: cell + datetime.timedelta(days=20)),
        ("note", lambda cell: cell + "and more than there ever was in this place"),
    ],
    ids=[
        "higher", "null", "one category", "rare category", "unseen category", "unseen numbers", "half",
        "lower", "inverted", "later", "longer",
    ],
)  # fmt: skip
def test_a_column_that_moved_is_named_and_no_other(name: str, change: Any) -> None:
    """More than 0.25 where values changed, less than 0.1 elsewhere."""
    others = table(seed=2)
    found = said(changed(others, name, change), predictions(others))
    moved = found.pop(name).psi
    assert moved is not None
    assert moved > 0.25
    assert all(one.psi is not None and one.psi < 0.1 for one in found.values())


def test_nulls_and_what_is_unseen_are_shares() -> None:
    """Of nulls, of categories that neither encoder nor training data had, of records without prediction."""
    records = changed(changed(TRAINING, "kind", lambda _: "fir"), "size", lambda _: None)
    found = said(records, [[None] * 500 + predictions(TRAINING)[0][500:]])
    assert found["kind"].unseen_share == 1
    assert found["size"].null_share == 1
    assert found[PREDICTION].null_share == 0.25
    assert said(changed(TRAINING, "kind", lambda _: "yew"))["kind"].unseen_share == 0


def test_few_records_say_nothing_of_their_distribution() -> None:
    """Of fewer than 500 there are shares, and no index; of none there is nothing."""
    few = said(TRAINING.rows(range(0, 2000, 5)))
    assert {one.psi for one in few.values()} == {None}
    assert few["size"].null_share == pytest.approx(1 / 9, abs=0.01)
    assert said(TRAINING.rows([])) == {}


def test_counts_of_several_processes_are_summed() -> None:
    """By column and bin, as mappings; what is not there is 0."""
    meter = Meter(SKETCH)
    halves = [TRAINING.rows(range(1000)), TRAINING.rows(range(1000, 2000))]
    counted = [meter.by_column(meter.count(with_outputs(half, predictions(half)))) for half in halves]
    summed = {
        name: {place: n for place, n in enumerate((counted[0][name] + counted[1][name]).tolist()) if n}
        for name in counted[0]
    }
    assert drifted(SKETCH, summed) == said(TRAINING)


def test_a_large_table_is_looked_at_in_part() -> None:
    """Its shares are those of all, its weight is that of all, and a small table beside it has its own."""
    large = table(records=20_000, seed=3)
    tally = Tally(SKETCH)
    tally.add(large, predictions(large))
    assert tally.counts["wet"].sum() == pytest.approx(20_000)
    assert tally.counts["wet"] / 20_000 == pytest.approx(np.array(SKETCH.columns[4].shares), abs=0.05)
    tally.merge(tally.plain)
    assert tally.counts["wet"].sum() == pytest.approx(40_000)
