"""Columns of decimals: every digit counts, in JSON as in Python, and however a body is read."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skdeploy.errors import CallerError
from skdeploy.schema import Column, Explainer, RecordReader, Schema, Unfit, compile_check, json_schema
from tests.schema.test_fast_equals_plain import NASTY, NUMBERS, SPACE, STRINGS, _said

FREE = Column(name="free", type="decimal", dtype="object", nullable=True)
PRICE = Column(name="price", type="decimal", dtype="decimal128(10, 2)[pyarrow]", null="NA")
SCHEMA = Schema(
    container="frame",
    columns=[
        FREE,
        PRICE,
        Column(name="count", type="int", dtype="int64"),
        Column(name="real", type="float", dtype="float64"),
        Column(name="kind", type="str", dtype="str"),
    ],
)
READER = RecordReader(SCHEMA, id_field="id")


@pytest.mark.parametrize(
    ("token", "free", "price"),
    [
        ("12.30", "12.30", "12.30"),
        ('"12.30"', "12.30", "12.30"),
        ("12", "12", "12.00"),
        ("1e5", "100000", "100000.00"),
        ("0.1000", "0.1000", "0.10"),
        ('"-0.5"', "-0.5", "-0.50"),
        ("0.1", "0.1", "0.10"),
        ("0e999999999", "0", "0.00"),
        ("0.125", "0.125", "precision"),
        ("12345678.9", "12345678.9", "12345678.90"),
        ("123456789.0", "123456789.0", "range"),
        ("9" * 38, "9" * 38, "range"),
        ("9" * 39, "range", "range"),
        ("0." + "1" * 38, "0." + "1" * 38, "precision"),
        ("0." + "1" * 39, "precision", "precision"),
        ("1e999999999", "range", "range"),
        ("1e99999999999999999999", "range", "range"),
        ("1e-999999999", "precision", "precision"),
        ("1e-99999999999999999999", "precision", "precision"),
        ('"1e5"', "type", "type"),
        ('".5"', "type", "type"),
        ('"007"', "type", "type"),
        ('" 1"', "type", "type"),
        ('"1_0"', "type", "type"),
        ('"NaN"', "type", "type"),
        ('"\u0663"', "type", "type"),
        ("true", "type", "type"),
        ("[]", "type", "type"),
    ],
)
def test_a_decimal_has_the_digits_that_were_written(token: str, free: str, price: str) -> None:
    """A number or a string of digits; what has too many of them is refused, not rounded."""
    for name, expected in (("free", free), ("price", price)):
        tokens = {"free": "1", "price": "1", "count": "1", "real": "1", "kind": '"a"'} | {name: token}
        body = "{" + ",".join(f'"{key}":{value}' for key, value in tokens.items()) + "}"
        for checked in (READER.read_json(body.encode()), READER.explain(body.encode())):
            if checked.bad:
                assert [(cell.column, cell.code) for cell in checked.rejections] == [(name, expected)]
                continue
            (cell,) = checked.table.cells[SCHEMA.names.index(name)]
            assert (type(cell), str(cell)) == (Decimal, expected)


@pytest.mark.parametrize("value", [0.1, 2.0, float("inf")])
def test_a_double_is_no_decimal(value: float) -> None:
    """It does not say which digits it was made from."""
    with pytest.raises(Unfit, match="type"):
        compile_check(FREE)(value)


def test_nulls_of_tables_are_nulls() -> None:
    """None and a Decimal's NaN."""
    check = compile_check(FREE)
    assert [check(None), check(Decimal("NaN"))] == [None, None]


def _body(tokens: dict[str, str], between: str) -> str:
    return "{" + ",".join(f'{between}"{key}"{between}:{value}' for key, value in tokens.items()) + "}"


TOKENS = st.one_of(
    *[st.decimals(allow_nan=False, allow_infinity=False, places=2).map(str)] * 3,
    st.decimals(allow_nan=False, allow_infinity=False, places=2).map(lambda number: f'"{number}"'),
    NUMBERS,
    STRINGS,
    st.sampled_from(NASTY),
)
BODIES = st.builds(
    _body,
    st.fixed_dictionaries(
        {"free": TOKENS, "price": TOKENS, "count": NUMBERS, "real": NUMBERS, "kind": STRINGS}
    ),
    SPACE,
)


@settings(max_examples=300, database=None, suppress_health_check=list(HealthCheck))
@given(st.lists(BODIES, min_size=1, max_size=3), st.booleans())
def test_both_halves_of_the_reader_read_the_same_digits(several: list[str], listed: bool) -> None:
    """What the compiled decoder accepts has the cells that the strict parser gives."""
    body = ("[" + ",".join(several) + "]" if listed else several[0]).encode("utf-8", "surrogatepass")
    fast = READER.read_fast(body)
    if fast is None:
        return
    try:
        slow = READER.explain(body)
    except CallerError as error:
        raise AssertionError(f"accepted only by the fast half; the slow one says: {error}") from error
    assert [[str(cell) for cell in column] for column in fast.table.cells] == [
        [str(cell) for cell in column] for column in slow.table.cells
    ]
    assert _said(fast) == _said(slow)


def test_plain_decimals_are_read_fast() -> None:
    """Alone, in a list, and in bodies of their own."""
    body = b'{"free": "0.5", "price": 12.30, "count": 3, "real": 0.5, "kind": "a:b"}'
    expected = [Decimal("0.5"), Decimal("12.30"), 3, 0.5, "a:b"]
    for read in (READER.read_fast(body), READER.read_fast(b"[" + body + b"]")):
        assert read is not None
        assert [column[0] for column in read.table.cells] == expected
    each = READER.read_each_fast([body, body])
    assert (each.rest, [column[1] for column in each.cells]) == ([], expected)


def test_another_process_gives_the_same_decimals() -> None:
    """Those of a long body are as exact as those of a short one; zero is no null."""
    good = {"free": "0.00", "price": 1, "count": 1, "real": 1, "kind": "a"}
    body = json.dumps([good, good | {"free": None}, good | {"price": "0.001"}]).encode()
    with Explainer(long=0) as explainer:
        checked = explainer.explain(READER, body)
    assert _said(checked) == _said(READER.explain(body))
    assert [str(cell) for cell in checked.table.cells[0]] == ["0.00", "None"]


def test_a_decimal_is_described() -> None:
    """In words, and as JSON Schema: the format says that both numbers and strings are taken."""
    record: dict[str, Any] = {"free": None, "price": 1.5, "count": 1, "real": 1, "kind": "a"}
    (cell,) = READER.read([record]).rejections
    assert (cell.expected, cell.got) == (
        "decimal of at most 10 digits, 2 of them decimal places",
        "number 1.5",
    )
    properties = json_schema(SCHEMA)["properties"]
    assert properties["price"] == {
        "type": ["number", "string"],
        "format": "decimal",
        "pattern": r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$",
        "exclusiveMinimum": -1e8,
        "exclusiveMaximum": 1e8,
    }
    assert properties["free"]["type"] == ["number", "string", "null"]
