"""Training records and their predictions -> a sketch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from skdeploy.drift.binning import counter, numbers
from skdeploy.drift.sketch import PREDICTION, Bins, Sketch
from skdeploy.schema import Column, Table, as_list

# As many bins of numbers, each with as many training records.
_QUANTILES = 10
# Bins of single values; a day of the month finds room.
_MOST_VALUES = 31
# Whole numbers are taken value by value if each stands for so many records on average.
_RECORDS_PER_VALUE = 10

_Numeric = Literal["ranges", "moments", "lengths"]


def learn(
    columns: Sequence[Column],
    table: Table,
    outputs: Sequence[Sequence[Any]],
    *,
    names: Sequence[str] | None = None,
    classes: Sequence[Any] | None = None,
) -> Sketch:
    """The sketch of records and predictions.

    table     at least one record; its columns are lists
    outputs   what the model predicted, a column per output; None where a record has no prediction
    names     the outputs' names if there are several
    classes   the labels, if there are; a list per output if there are several
    """
    found = [_of_column(column, cells) for column, cells in zip(columns, table.cells, strict=True)]
    titles = [PREDICTION] if names is None else [f"{PREDICTION} {name}" for name in names]
    labels = [classes] if names is None else classes or [None] * len(titles)
    made = [
        _of_output(title, as_list(cells), known)
        for title, cells, known in zip(titles, outputs, labels, strict=True)
    ]
    return Sketch(columns=found, outputs=made, records=table.count)


def _of_column(column: Column, cells: list[Any]) -> Bins:
    known = [*(column.categories or ()), *(column.dtype_categories or ())]
    listed = column.categories is not None or column.dtype_categories is not None
    if column.type in ("int", "bool", "str") and (
        listed or column.type == "bool" or (column.type == "int" and _are_few(cells))
    ):
        return _by_value(column.name, cells, known)
    return _by_range(column.name, cells, column.kind.bins)


def _of_output(name: str, cells: list[Any], classes: Sequence[Any] | None) -> Bins:
    kinds = {type(cell) for cell in cells if cell is not None}
    # Clusters and outliers are numbered, and do not say how many there are.
    numbered = kinds <= {int, bool, str} and len(set(cells)) <= _MOST_VALUES
    if classes is not None or numbered or str in kinds:
        return _by_value(name, cells, classes or ())
    return _by_range(name, cells, "ranges")


def _are_few(cells: list[Any]) -> bool:
    distinct = len({*cells} - {None})
    return 0 < distinct <= min(_MOST_VALUES, len(cells) // _RECORDS_PER_VALUE)


def _by_value(name: str, cells: list[Any], known: Sequence[Any]) -> Bins:
    """The most frequent values have bins; of equally frequent ones those that are known first."""
    counts = Counter({value: 0 for value in known if value is not None})
    counts.update(cell for cell in cells if cell is not None)
    ordered = [value for value, _ in counts.most_common()]
    bins = Bins(name=name, kind="values", values=ordered[:_MOST_VALUES], others=ordered[_MOST_VALUES:])
    return _filled(bins, cells)


def _by_range(name: str, cells: list[Any], kind: _Numeric) -> Bins:
    found = numbers(kind, cells)
    present = found[~np.isnan(found)]
    edges = _edges(present) if len(present) else []
    return _filled(Bins(name=name, kind=kind, edges=edges), cells)


def _edges(present: npt.NDArray[np.float64]) -> list[float]:
    """Quantiles, each moved to the middle between two values that occur.

    At a value itself an edge would part those that are equal but for the last digit, as the predictions
    of two engines are.
    """
    distinct = np.unique(present)
    span = float(distinct[-1] - distinct[0]) or max(1.0, abs(float(distinct[0])))
    around = np.array([distinct[0] - span / 1000, *distinct, distinct[-1] + span / 1000])
    above = np.unique(
        distinct.searchsorted(np.quantile(present, np.arange(1, _QUANTILES) / _QUANTILES), "right")
    )
    if above[0] == 1:
        # What is less than all of training data must not be in one bin with its least.
        above = np.array([0, *above])
    edges: list[float] = ((around[above] + around[above + 1]) / 2).tolist()
    return edges


def _filled(bins: Bins, cells: list[Any]) -> Bins:
    shares = counter(bins)(cells) / len(cells)
    return msgspec.structs.replace(bins, shares=shares.tolist())
