"""Records with one column of each kind, their sketch, and what can happen to them."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np

from skdeploy.drift import Sketch
from skdeploy.drift.learning import learn
from skdeploy.schema import Column, Table

COLUMNS = [
    Column(name="size", type="float", dtype="float64", nullable=True),
    Column(name="kind", type="str", dtype="object", categories=["ash", "elm", "oak", "yew"]),
    Column(name="month", type="int", dtype="int64"),
    Column(name="count", type="int", dtype="int64"),
    Column(name="wet", type="bool", dtype="bool"),
    Column(name="at", type="datetime", dtype="datetime64[us]"),
    Column(name="note", type="str", dtype="object"),
]
NAMES = [column.name for column in COLUMNS]
_BEGIN = datetime.datetime(2026, 1, 1)


def table(records: int = 2000, seed: int = 0) -> Table:
    """Records as the doors have checked them."""
    random = np.random.default_rng(seed)
    sizes = random.normal(10, 3, records).tolist()
    hours = random.uniform(0, 1000, records).tolist()
    cells: list[list[Any]] = [
        [None if place % 9 == 0 else size for place, size in enumerate(sizes)],
        random.choice(["ash", "elm", "oak"], records).tolist(),
        random.integers(1, 9, records).tolist(),
        random.integers(0, 1000, records).tolist(),
        (random.uniform(0, 1, records) < 0.3).tolist(),
        [_BEGIN + datetime.timedelta(hours=hour) for hour in hours],
        ["x" * length for length in random.integers(0, 80, records).tolist()],
    ]
    return Table(cells, records)


def predictions(records: Table) -> list[Any]:
    """What a model might say of them, a column per output."""
    return [[float(count) for count in records.cells[NAMES.index("count")]]]


def sketch(records: Table) -> Sketch:
    """What they are like."""
    return learn(COLUMNS, records, predictions(records))


def changed(records: Table, name: str, change: Any) -> Table:
    """The same records, but for one column."""
    cells = list(records.cells)
    place = NAMES.index(name)
    cells[place] = [change(cell) for cell in cells[place]]
    return Table(cells, records.count)
