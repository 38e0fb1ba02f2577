"""Counts beside a sketch -> how far records have moved away from training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skdeploy.drift.sketch import Bins, Sketch

# Smaller shares count as this one: an empty bin would make the index infinite.
SMALLEST_SHARE = 1e-4
# Chance alone makes the index about (bins - 1) / records: of fewer records none is given.
LEAST_RECORDS = 500


class Drifted(NamedTuple):
    """How a column, or an output, is beside training data.

    psi            the population stability index; None of fewer than 500 records
    null_share     of nulls; of an output, of records that have no prediction
    unseen_share   of values that training data had not; None where values are not told apart
    """

    psi: float | None
    null_share: float
    unseen_share: float | None


def psi(expected: Sequence[float], counts: Any) -> float:
    """The sum of (a - e) ln(a / e) over all bins; 0 where they agree, and never less.

    expected   (bins,), the shares e, 1 in total
    counts     (bins,), not all 0; the shares a are made of them

    Shares below 0.0001 are taken for 0.0001 on both sides.
    """
    found = np.asarray(counts, dtype=np.float64)
    a = np.maximum(found / found.sum(), SMALLEST_SHARE)
    e = np.maximum(np.asarray(expected, dtype=np.float64), SMALLEST_SHARE)
    return float(((a - e) * np.log(a / e)).sum())


def drifted(sketch: Sketch, counts: Mapping[str, Any]) -> dict[str, Drifted]:
    """By column, and `(prediction)`, what the counts say; columns without a record are left out.

    counts   by column: an array by bin, or a mapping of bin to count; of several processes, their sums
    """
    found = {}
    for bins in sketch.all:
        dense = _dense(bins, counts.get(bins.name, {}))
        if dense.sum() > 0:
            found[bins.name] = _drifted(bins, dense)
    return found


def records(sketch: Sketch, counts: Mapping[str, Any]) -> float:
    """How many records were counted."""
    bins = sketch.all[0]
    return float(_dense(bins, counts.get(bins.name, {})).sum())


def _drifted(bins: Bins, counts: Any) -> Drifted:
    total = counts.sum()
    return Drifted(
        psi(bins.shares, counts) if total >= LEAST_RECORDS else None,
        float(counts[bins.null] / total),
        None if bins.unseen is None else float(counts[bins.unseen] / total),
    )


def _dense(bins: Bins, counts: Any) -> Any:
    if not isinstance(counts, Mapping):
        return counts
    dense = np.zeros(bins.size)
    for place, count in counts.items():
        dense[int(place)] = count
    return dense
