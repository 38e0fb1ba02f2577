from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from skdeploy.errors import InvalidRecord, MalformedBody
from skdeploy.schema import Column, RecordReader, Schema
from tests.counting import calls

SCHEMA = Schema(
    container="frame",
    columns=[
        Column(name="sepal length (cm)", type="float", dtype="float64", nullable=True),
        Column(name="count", type="int", dtype="int64"),
        Column(name="kind", type="str", dtype="str", categories=["a", "b"], unknown="refuse"),
    ],
)
GOOD = {"sepal length (cm)": 1.5, "count": 2, "kind": "a"}


def read(value: Any, **options: Any) -> Any:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return RecordReader(SCHEMA, id_field="id", **options).read_json(body)


def test_a_record_becomes_columns() -> None:
    """One object is a single record; its cells come by column."""
    checked = read(GOOD)
    assert checked.single
    assert checked.table.cells == [[1.5], [2], ["a"]]
    assert checked.ids is None


def test_a_list_keeps_its_order() -> None:
    """Many records come in the order in which they were sent."""
    checked = read([GOOD | {"count": n} for n in range(5)])
    assert not checked.single
    assert checked.table.cells[1] == [0, 1, 2, 3, 4]


def test_every_bad_cell_of_every_record_is_listed() -> None:
    """Not only the first: record index, column, code, what was expected, what came."""
    checked = read([GOOD, GOOD | {"count": "2", "kind": None}, 7, {"count": 1, "kind": "a"}])
    with pytest.raises(InvalidRecord) as caught:
        checked.require_all_good()
    assert [(c.record, c.column, c.code, *c.words) for c in caught.value.cells] == [
        (1, "count", "type", "integer", 'string "2"'),
        (1, "kind", "null", 'string, one of "a", "b"', "null"),
        (2, None, "type", "object", "number 7"),
        (3, "sepal length (cm)", "missing", "number, or null", "nothing: the column is missing"),
    ]
    assert str(caught.value) == "4 bad cells in 3 records"


def test_good_records_survive_bad_neighbours() -> None:
    """The table holds the good records, and says where they stood."""
    checked = read([{}, GOOD, 3, GOOD | {"count": 9}])
    assert checked.positions == [1, 3]
    assert checked.table.cells[1] == [2, 9]
    assert checked.count == 4


def test_a_missing_column_is_no_null() -> None:
    """A nullable column must be present, too."""
    checked = read({"count": 1, "kind": "a"})
    assert checked.bad[0][0].code == "missing"


def test_unknown_columns_are_refused_unless_ignored() -> None:
    """An unknown column is a bad cell; a setting drops it instead."""
    record = GOOD | {"colour": "red"}
    assert [cell.column for cell in read(record).bad[0]] == ["colour"]
    assert not read(record, ignore_unknown=True).bad


@pytest.mark.parametrize("key", ["a-7", "é", 7, -(2**63), None])
def test_a_key_passes_through(key: Any) -> None:
    """Strings, 64-bit integers and null pass through unchanged, from either reader."""
    record = GOOD | {"id": key}
    assert read(record).ids == {0: key}
    assert read(json.dumps(record | {"count": 2.0}).encode()).ids == {0: key}


@pytest.mark.parametrize("key", [1.5, True, [], {}, 2**63])
def test_other_keys_are_bad_cells(key: Any) -> None:
    """What could not come back exactly is refused."""
    assert read(GOOD | {"id": key}).bad[0][0].column == "id"


def test_duplicate_keys_are_found_behind_the_fast_path() -> None:
    """Also with white space, escapes, and where a string hides another colon."""
    for twice in (
        b'{"sepal length (cm)":1.5,"count":2,"count":3,"kind":"a"}',
        b'{"sepal length (cm)" :1.5,"count" : 2,"count":3,"kind":"a"}',
        b'{"sepal length (cm)":1.5,"count":2,"c\\u006funt":3,"kind":"a"}',
        b'{"sepal length (cm)":1.5,"count":2,"kind":"b","kind":"a"}',
    ):
        with pytest.raises(MalformedBody, match="stands twice"):
            read(twice)


def test_colons_in_values_do_not_look_like_keys() -> None:
    """A text with colons and quotes is read for what it is."""
    schema = Schema(container="frame", columns=[Column(name="t", type="str", dtype="str")])
    for text in ("a:b", '":', '\\":"', "::::"):
        checked = RecordReader(schema).read_json(json.dumps({"t": text}).encode())
        assert checked.table.cells == [[text]]


@pytest.mark.parametrize("body", [b"3", b'"x"', b"null", b"true"])
def test_a_scalar_is_no_record(body: bytes) -> None:
    """A lone value is malformed."""
    with pytest.raises(MalformedBody, match="a record"):
        read(body)


def test_an_empty_list_is_refused() -> None:
    """There is nothing to predict for."""
    with pytest.raises(InvalidRecord, match="empty"):
        read([])


def test_another_protocols_envelope_is_malformed() -> None:
    """An object with none of the columns names those that a record has."""
    with pytest.raises(MalformedBody, match="sepal length"):
        read({"shape": [2, 2], "data": [1, 2, 3]})
    assert read({}).bad[0]


@pytest.mark.parametrize("name", ['q"uote', "back\\slash", "new\nline"])
def test_any_column_name_is_served(name: str) -> None:
    """Names that the compiled decoder cannot take go through the plain parser."""
    schema = Schema(container="frame", columns=[Column(name=name, type="int", dtype="int64")])
    reader = RecordReader(schema)
    assert reader.read_json(json.dumps([{name: 4}]).encode()).table.cells == [[4]]


def test_mappings_are_checked_like_json() -> None:
    """The other doors' records get the same refusals."""
    checked = RecordReader(SCHEMA).read([GOOD, GOOD | {"count": 2.5}])
    assert checked.positions == [0]
    assert checked.bad[1][0].column == "count"


def test_a_long_key_is_shortened() -> None:
    """Keys are echoed as values are: not at length."""
    checked = read(GOOD | {"k" * 5000: 1})
    assert len(str(checked.bad[0][0].column)) < 100


def test_a_lone_key_is_no_envelope() -> None:
    """{"id": 1} is a record that lacks its columns, alone as in a list."""
    assert len(read({"id": 1}).bad[0]) == len(read([{"id": 1}]).bad[0]) == 3


@pytest.mark.parametrize("null", [pd.NA, pd.NaT, float("nan"), Decimal("NaN"), Decimal("sNaN"), None])
def test_every_null_of_tables_is_null(null: Any) -> None:
    """What pandas and databases write for null is null, or a bad cell, never an exception."""
    checked = RecordReader(SCHEMA).read([GOOD | {"sepal length (cm)": null}, GOOD | {"count": null}])
    assert checked.table.cells[0] == [None]
    assert checked.bad[1][0].column == "count"


@pytest.mark.parametrize("value", ["1", "1.0", "1.5e0", '"a"'])
def test_many_columns_cost_no_more_than_their_number(value: str) -> None:
    """Twice the columns are at most twice the calls, whether the fast half or the slow one reads."""

    def cost(width: int) -> int:
        columns = [
            Column(name=f"c{n}", type="int" if n % 2 else "float", dtype="float64") for n in range(width)
        ]
        reader = RecordReader(Schema(container="frame", columns=columns))
        body = ("{" + ",".join(f'"c{n}":{value}' for n in range(width)) + "}").encode()
        return calls(lambda: reader.read_json(body))

    assert cost(600) <= 2.1 * cost(300)
