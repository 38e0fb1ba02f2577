from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from skdeploy.schema import Column, Unfit, compile_check, describe
from skdeploy.schema.strict_json import JsonNumber
from skdeploy.schema.types import expectation


def column(type_: Any, dtype: str, **more: Any) -> Column:
    return Column(name="c", type=type_, dtype=dtype, **more)


@pytest.mark.parametrize(
    ("cell", "kept"),
    [(3, 3), (3.0, 3), (JsonNumber("3e0"), 3), (-0.0, 0), (Decimal(7), 7), (2**63 - 1, 2**63 - 1)],
)
def test_integers_are_taken_in_every_spelling(cell: Any, kept: int) -> None:
    """An integer column takes numbers of integral value and gives ints."""
    value = compile_check(column("int", "int64"))(cell)
    assert value == kept
    assert type(value) is int


@pytest.mark.parametrize(
    "cell",
    ["12", 2.9, True, None, 2**63, JsonNumber("1e400"), JsonNumber("2.9999999999999999999"), [], {}],
)
def test_nothing_is_coerced_into_an_integer(cell: Any) -> None:
    """Text, fractions, booleans, nulls and what does not fit in 64 bits are no integers."""
    with pytest.raises(Unfit):
        compile_check(column("int", "int64"))(cell)


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("int8", -128, 127), ("uint16", 0, 65535), ("UInt8", 0, 255)]
)
def test_an_integer_fits_its_dtype(dtype: str, low: int, high: int) -> None:
    """The range of an integer column is its training dtype's."""
    check = compile_check(column("int", dtype))
    assert [check(low), check(high)] == [low, high]
    for outside in (low - 1, high + 1):
        with pytest.raises(Unfit, match="range"):
            check(outside)


def test_an_integer_column_that_was_stored_as_double_keeps_53_bits() -> None:
    """An "int?" column over float64 refuses integers that a double would change."""
    check = compile_check(column("int", "float64", nullable=True))
    assert check(2**53) == 2**53
    with pytest.raises(Unfit):
        check(2**53 + 1)


@pytest.mark.parametrize(
    "cell", ["1.5", True, 2**53 + 1, float("inf"), JsonNumber("1e400"), Decimal("0.12345678901234567890123")]
)
def test_nothing_is_coerced_into_a_float(cell: Any) -> None:
    """Integers beyond 2**53, infinities and decimals that a double would change are refused."""
    with pytest.raises(Unfit):
        compile_check(column("float", "float64"))(cell)


def test_floats_take_integers_and_exact_decimals() -> None:
    """A float column takes integers up to 2**53, JSON numbers, and decimals that survive."""
    check = compile_check(column("float", "float64"))
    cells = [5, 2**53, JsonNumber("1e300"), Decimal("12.34")]
    assert [check(cell) for cell in cells] == [5.0, 2.0**53, 1e300, 12.34]


def test_float32_refuses_what_would_become_infinite() -> None:
    """A float32 column refuses numbers beyond its range."""
    with pytest.raises(Unfit, match="range"):
        compile_check(column("float", "float32"))(1e39)


def test_booleans_are_only_booleans() -> None:
    """0, 1, "false" are no booleans."""
    check = compile_check(column("bool", "bool"))
    assert check(False) is False
    for cell in (0, 1, "false"):
        with pytest.raises(Unfit):
            check(cell)


def test_null_and_nan_are_null_where_nullable() -> None:
    """A NaN from a table is a null; both are refused where the column is not nullable."""
    check = compile_check(column("float", "float64", nullable=True))
    assert check(None) is None
    assert check(float("nan")) is None
    with pytest.raises(Unfit):
        compile_check(column("float", "float64"))(float("nan"))


@pytest.mark.parametrize(
    ("dtype", "text", "fits"),
    [
        ("datetime64[us]", "2013-01-01T05:00:00", True),
        ("datetime64[us]", "2013-01-01 05:00:00.123456", True),
        ("datetime64[us]", "2013-01-01T05:00:00Z", False),
        ("datetime64[us]", "2013-02-30T05:00:00", False),
        ("datetime64[us]", "2013-01-01", False),
        ("datetime64[us]", "2013-01-01T05:00:00.123456789", False),
        ("datetime64[ns]", "1500-01-01T05:00:00", False),
        ("datetime64[us, UTC]", "2013-01-01T05:00:00+02:00", True),
        ("datetime64[us, UTC]", "2013-01-01T05:00:00", False),
    ],
)
def test_date_times_are_rfc_3339_with_a_zone_where_training_had_one(
    dtype: str, text: str, fits: bool
) -> None:
    """Date-times are neither guessed nor rounded, and zones neither added nor dropped."""
    check = compile_check(column("datetime", dtype))
    if fits:
        assert isinstance(check(text), datetime.datetime)
    else:
        with pytest.raises(Unfit):
            check(text)


def test_a_category_that_the_pipeline_refuses_is_refused() -> None:
    """Unknown categories are bad cells if the pipeline raises on them, or if strict."""
    known = {"categories": ["a", "b"]}
    lenient = column("str", "str", **known)
    assert compile_check(lenient)("z") == "z"
    for check in (
        compile_check(lenient, strict=True),
        compile_check(column("str", "str", unknown="refuse", **known)),
    ):
        assert check("a") == "a"
        with pytest.raises(Unfit, match="category"):
            check("z")


def test_expectations_are_said_in_words() -> None:
    """A message says type, range, categories and nullability; categories only if revealed."""
    assert expectation(column("int", "uint8", nullable=True)) == "integer from 0 to 255, or null"
    strict = column("str", "str", categories=["a"], unknown="refuse")
    assert expectation(strict) == 'string, one of "a"'
    assert expectation(strict, reveal=False) == "string of a known category"


def test_values_are_described_briefly() -> None:
    """What came is shown with its JSON type, and cut if long."""
    assert describe(True) == "true"
    assert describe(JsonNumber("1E+2")) == "number 1E+2"
    assert len(describe("x" * 1000)) < 100


def test_a_category_in_single_precision_is_known_by_its_short_name() -> None:
    """0.1 is the category that training data of the dtype float32 has as 0.10000000149011612."""
    check = compile_check(column("float", "float32", categories=[0.10000000149011612], unknown="refuse"))
    assert check(0.1) == 0.1
    with pytest.raises(Unfit):
        check(0.2)
