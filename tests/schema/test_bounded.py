"""A bad body is refused in a time and with an answer that its own length bounds."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skdeploy.errors import InvalidRecord, MalformedBody, Rejection
from skdeploy.schema import Checked, Column, RecordReader, Schema
from tests.counting import calls

NAMES = ["a", "b", "c"]
SCHEMA = Schema(container="frame", columns=[Column(name=name, type="int", dtype="int64") for name in NAMES])
MOST_BYTES = 64 * 1024

cells: st.SearchStrategy[Any] = st.sampled_from([1, 2, 1.5, "x", None, [], {}])
records = st.one_of(
    st.fixed_dictionaries(
        dict.fromkeys(NAMES, st.integers(0, 9)), optional={"id": st.sampled_from(["k", 1.5])}
    ),
    st.dictionaries(st.sampled_from([*NAMES, "id", "d", "e", "f"]), cells, max_size=6),
    cells,
)


def _wide(columns: int, **options: Any) -> RecordReader:
    return RecordReader(
        Schema(
            container="frame",
            columns=[Column(name=f"c{n}", type="int", dtype="int64") for n in range(columns)],
        ),
        **options,
    )


def _refusal(checked: Checked) -> InvalidRecord:
    with pytest.raises(InvalidRecord) as caught:
        checked.require_all_good()
    return caught.value


@settings(max_examples=300, database=None)
@given(st.lists(records, min_size=1, max_size=12), st.integers(1, 12), st.booleans())
def test_only_descriptions_are_bounded(several: list[Any], most: int, ignore: bool) -> None:
    """The first cells are described, no record is judged otherwise, and the others are counted exactly."""
    few = RecordReader(SCHEMA, id_field="id", ignore_unknown=ignore, max_described=most).read(several)
    every = RecordReader(SCHEMA, id_field="id", ignore_unknown=ignore, max_described=None).read(several)
    assert (few.table, few.positions, few.count) == (every.table, every.positions, every.count)
    assert few.rejections == every.rejections[:most]
    further = [index for run in few.further for index in run]
    assert [*few.bad, *further] == list(every.bad)
    assert few.rejected == every.rejected == len(every.bad)
    assert few.unlisted == {
        index: len(every.bad[index]) - len(cells)
        for index, cells in few.bad.items()
        if len(every.bad[index]) > len(cells)
    }
    assert (every.unlisted, every.further) == ({}, [])
    assert {index: key for index, key in (every.ids or {}).items() if index not in further} == (few.ids or {})


@settings(max_examples=200, database=None)
@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(["d", "e", "f", ""])), st.booleans())
def test_missing_and_unknown_columns_are_all_named(missing: set[str], unknown: set[str], keyed: bool) -> None:
    """Also where as many columns are missing as are unknown: a misspelled one is both."""
    record = {name: 1 for name in [*NAMES, *sorted(unknown)] if name not in missing}
    if keyed:
        record["id"] = 7
    checked = RecordReader(SCHEMA, id_field="id").read([record])
    named = {(cell.column, cell.code) for cell in checked.rejections}
    assert named == {(name, "missing") for name in missing} | {(name, "unknown_column") for name in unknown}


def test_a_misspelled_column_is_named() -> None:
    """`cc` in the place of `c`: the one is missing, the other unknown."""
    body = json.dumps({"a": 1, "b": 2, "cc": 3}).encode()
    assert RecordReader(SCHEMA).read_json(body).bad == {
        0: [
            Rejection(0, "c", "missing", "integer", ""),
            Rejection(0, "cc", "unknown_column", "", "number 3"),
        ]
    }


def test_unknown_columns_of_a_wide_model_are_named_beside_missing_ones() -> None:
    """A client that writes all names in capitals learns so, although the missing columns fill the list."""
    record = {f"C{n}": 1 for n in range(600)}
    checked = _wide(600).read([record])
    cells = checked.bad[0]
    assert [cell.column for cell in cells[:11]] == [*(f"C{n}" for n in range(10)), "c0"]
    assert len(cells) + checked.unlisted[0] == 1200


def test_one_record_with_many_unknown_columns() -> None:
    """A hundred of them are listed, all are counted."""
    record = dict.fromkeys(NAMES, 1) | {f"k{n}": 1 for n in range(100_000)}
    error = _refusal(RecordReader(SCHEMA).read_json(json.dumps(record).encode()))
    assert len(error.cells) == 100
    assert str(error) == "100,000 bad cells in 1 record; only the first 100 cells are listed"


def test_many_empty_records() -> None:
    """Records past the list are refused and counted; of those on it every cell is counted."""
    checked = _wide(13).read_json(b"[" + b",".join([b"{}"] * 5300) + b"]")
    assert checked.rejected == 5300
    assert checked.further == [range(8, 5300)]
    error = _refusal(checked)
    assert len(error.cells) == 100
    assert str(error) == (
        "104 bad cells in 8 records; only the first 100 cells are listed; "
        "5,292 more bad records are not listed"
    )


@pytest.mark.parametrize(
    "record", [b"{}", b"1", b'{"c0":1}', b'{"x":1}', b'{"c0":"x"}'], ids=["{}", "1", "c0", "x", "bad c0"]
)
def test_the_time_of_bad_records_does_not_grow_with_the_columns(record: bytes) -> None:
    """2,000 records that lack 1,000 columns take a few calls each, as those that lack ten."""
    body = b"[" + b",".join([record] * 2000) + b"]"

    def cost(columns: int) -> int:
        reader = _wide(columns)
        return calls(lambda: reader.explain(body))

    # What remains is the description of a hundred bad cells, and one record's count of its columns.
    assert cost(1000) <= cost(10) + 100 * 100


LONG = {
    "columns": Schema(
        container="frame",
        columns=[Column(name=f"{n}" + "ü" * 5000, type="int", dtype="int64") for n in range(200)],
    ),
    "control characters": Schema(
        container="frame",
        columns=[Column(name=f"{n}" + "\x01" * 5000, type="int", dtype="int64") for n in range(200)],
    ),
    "categories": Schema(
        container="frame",
        columns=[
            Column(
                name=f"{n}",
                type="str",
                dtype="str",
                categories=[f"{m}" + "\x01ü" * 5000 for m in range(50)],
                unknown="refuse",
            )
            for n in range(200)
        ],
    ),
}
BODIES = {
    "an empty record": b"{}",
    "empty records": b"[" + b",".join([b"{}"] * 300) + b"]",
    "an envelope": b'{"instances": []}',
    "long values": json.dumps([{"0": "\x01" * 5000}] * 10).encode(),
    "long keys": json.dumps({f"{n}" + "\x01" * 5000: 1 for n in range(10)} | {"0": 1}).encode(),
    "many keys": json.dumps({"0": 1} | {f"{n}": '"' * 80 for n in range(1000, 1200)}).encode(),
}


@pytest.mark.parametrize("schema", LONG.values(), ids=LONG)
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_answer_is_no_larger_than_ten_times_the_body_or_64_kb(schema: Schema, body: bytes) -> None:
    """However long the names of columns and categories are."""
    with pytest.raises((InvalidRecord, MalformedBody)) as caught:
        RecordReader(schema).read_json(body).require_all_good()
    cells = getattr(caught.value, "cells", None)
    answer = msgspec.json.encode({"detail": str(caught.value), "errors": cells})
    assert len(answer) <= max(10 * len(body), MOST_BYTES)
