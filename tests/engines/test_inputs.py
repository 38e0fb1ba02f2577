"""What the pipeline is given: the dtypes of training, nulls as training wrote them, few blocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from skdeploy.engines import inputs
from skdeploy.engines.inputs import InputBuilder
from skdeploy.schema import Coded, Column, Schema, Table
from tests.counting import calls

MOMENT = datetime(2013, 1, 1, 5, tzinfo=UTC)
# A column of each kind, two cells for it, and the Series that training would have held.
COLUMNS: list[tuple[Column, list[Any], pd.Series]] = [
    (Column(name="int", type="int", dtype="int64"), [1, 2], pd.Series([1, 2])),
    (Column(name="byte", type="int", dtype="uint8"), [1, 255], pd.Series([1, 255], dtype="uint8")),
    (Column(name="int too", type="int", dtype="int64"), [3, 2**53 + 1], pd.Series([3, 2**53 + 1])),
    (Column(name="null", type="int", dtype="int64", nullable=True), [None, None], pd.Series([np.nan] * 2)),
    (Column(name="none", type="int", dtype="int64", nullable=True), [4, 5], pd.Series([4, 5])),
    (
        Column(name="Int", type="int", dtype="Int64", null="NA"),
        [1, None],
        pd.Series([1, None], dtype="Int64"),
    ),
    (Column(name="real", type="float", dtype="float64"), [0.1, None], pd.Series([0.1, np.nan])),
    (Column(name="single", type="float", dtype="float32"), [0.1, 2.0], pd.Series([0.1, 2], dtype="float32")),
    (Column(name="flag", type="bool", dtype="bool"), [True, False], pd.Series([True, False])),
    (
        Column(name="flag or none", type="bool", dtype="bool", nullable=True, null="none"),
        [None, None],
        pd.Series([None, None], dtype=object),
    ),
    (Column(name="text", type="str", dtype="str"), ["a", None], pd.Series(["a", None], dtype="str")),
    (
        Column(name="object", type="str", dtype="object", null="none"),
        ["a", None],
        pd.Series(["a", None], dtype=object),
    ),
    (
        Column(name="object and nan", type="str", dtype="object", null="nan"),
        ["a", None],
        pd.Series(["a", np.nan], dtype=object),
    ),
    (
        Column(name="category", type="str", dtype="category", dtype_categories=["b", "a"]),
        ["a", None],
        pd.Series(pd.Categorical(["a", None], categories=["b", "a"])),
    ),
    (
        Column(name="new category", type="str", dtype="category", dtype_categories=["b", "a"], ordered=True),
        ["c", "a"],
        pd.Series(pd.Categorical(["c", "a"], categories=["b", "a", "c"], ordered=True)),
    ),
    (
        Column(name="at", type="datetime", dtype="datetime64[ns, UTC]", null="NaT"),
        [MOMENT, None],
        pd.Series([MOMENT, None], dtype="datetime64[ns, UTC]"),
    ),
]


@pytest.fixture(params=["blocks", "columns"])
def made(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The frame of all COLUMNS, as pandas 3 makes it and as older ones do."""
    if request.param == "columns":
        monkeypatch.setattr(inputs, "create_dataframe_from_blocks", None)
    else:
        assert vars(inputs)["create_dataframe_from_blocks"] is not None
    schema = Schema(container="frame", columns=[column for column, _, _ in COLUMNS])
    frame: pd.DataFrame = InputBuilder(schema).build(Table([cells for _, cells, _ in COLUMNS], 2))
    return frame


def test_a_frame_has_the_columns_of_training_in_their_order(made: pd.DataFrame) -> None:
    """Names, order and index are those of a frame made column by column."""
    expected = pd.DataFrame({column.name: series for column, _, series in COLUMNS})
    pd.testing.assert_frame_equal(made, expected, check_exact=True)


def test_every_cell_is_what_it_was_in_training(made: pd.DataFrame) -> None:
    """Each column has the dtype of training, and a null is the very null that training had."""
    for column, _, series in COLUMNS:
        assert made[column.name].dtype == series.dtype, column.name
        assert [*map(type, made[column.name])] == [*map(type, series)], column.name


def test_a_frame_is_its_own(made: pd.DataFrame) -> None:
    """A pipeline may write into its inputs: none of it is read-only."""
    for name in made.columns:
        made[name] = 0
    assert (made == 0).all(axis=None)


def as_array(column: Column, cells: list[Any]) -> Any:
    """The cells as the batch door has them."""
    if column.type == "float":
        return np.array(cells, dtype=np.float64)
    if column.type == "int" and None not in cells:
        return np.array(cells, dtype=np.int64)
    values = list(dict.fromkeys(cells))
    return Coded(values, np.array([values.index(cell) for cell in cells]))


@pytest.mark.parametrize("container", ["frame", "array", "dicts", "series", "texts"])
def test_arrays_make_what_lists_make(container: Any) -> None:
    """The same inputs, types and nulls, and the same groups of records, for every container."""
    for column, (one, other), _ in COLUMNS:
        cells = [one, other, one, one, other]
        builder = InputBuilder(Schema(container=container, columns=[column]))
        table, arrays = Table([cells], 5), Table([as_array(column, cells)], 5)
        assert builder.null_patterns(arrays) == builder.null_patterns(table)
        assert same(builder.build(arrays), builder.build(table)), column.name
        for rows in [*builder.null_patterns(table), [3], []]:
            assert same(builder.build(arrays.rows(rows)), builder.build(table.rows(rows))), column.name


def same(one: Any, other: Any) -> bool:
    """Equal, with the same types and nulls."""
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
        return all(same(one[name], other[name]) for name in other)
    if isinstance(one, pd.Series):
        return bool(one.dtype == other.dtype) and same(list(one), list(other))
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype) and same(one.ravel().tolist(), other.ravel().tolist())
    return repr(one) == repr(other)


@pytest.mark.parametrize("dtype", ["int64", "float64", "str", "object", "mixed"])
def test_many_columns_cost_no_more_than_their_number(dtype: str) -> None:
    """Twice the columns are at most twice the calls, and numbers of one dtype are a single block."""

    def cost(width: int) -> int:
        dtypes = ["int64", "float64", "str", "object"] if dtype == "mixed" else [dtype]
        columns = [
            Column(name=f"c{n}", type="str", dtype=dtypes[n % len(dtypes)], nullable=n % 3 == 0)
            for n in range(width)
        ]
        cells = [["1"] if column.dtype in ("str", "object") else [1] for column in columns]
        builder, table = InputBuilder(Schema(container="frame", columns=columns)), Table(cells, 1)
        builder.build(table)
        return calls(lambda: [builder.build(table.rows(rows)) for rows in builder.null_patterns(table)])

    assert cost(600) <= 2.1 * cost(300)
