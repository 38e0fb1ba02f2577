"""A long list is read in pieces: what is read is the same, and other threads run in between."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skdeploy.errors import CallerError, TooManyRecords
from skdeploy.schema import Column, RecordReader, Schema
from skdeploy.schema.decoder import compile_fast, cut
from tests.schema.test_fast_equals_plain import COLUMNS, READERS, SPACE, _record, _said, bodies, objects
from tests.ticking import longest_pause

TEXT = Schema(container="frame", columns=[Column(name="t", type="str", dtype="str")])
WHOLE = Schema(container="frame", columns=[Column(name="a", type="int", dtype="int64")])
LARGE = 10_000_000


def in_pieces(
    schema: Schema, size: int, id_field: str | None, strict: bool = False, ignore: bool = False
) -> RecordReader:
    """A reader whose fast half cuts all lists of more than `size` bytes."""
    reader = RecordReader(schema, id_field=id_field, strict=strict, ignore_unknown=ignore)
    reader._fast = compile_fast(schema.columns, id_field, strict=strict, ignore_unknown=ignore, piece=size)
    return reader


ALL = Schema(container="frame", columns=COLUMNS)
CUTTING = {(which, size): in_pieces(ALL, size, *which) for which in READERS for size in (1, 7, 60, 400)}
# Cells that look like the place between two records.
TRAPS = ['"},{"', '"}, {"', r'"\"},{\""', '"}"', '"{"', '"[{"', r'"\\"', "[{},{}]", "{}", '"]"']


@st.composite
def long_lists(draw: st.DrawFn) -> bytes:
    """Lists of records, mostly good, whose cells and spaces may look like borders."""
    records = draw(st.lists(objects(flaws=0) | objects(flaws=1), min_size=1, max_size=6))
    if draw(st.booleans()):
        place = draw(st.integers(0, len(records) - 1))
        records[place] = _record(
            **{draw(st.sampled_from(["größe/μ", "other"])): draw(st.sampled_from(TRAPS))}
        )
    between = draw(SPACE) + "," + draw(SPACE)
    text = draw(SPACE) + "[" + draw(SPACE) + between.join(records) + draw(SPACE) + "]" + draw(SPACE)
    return text.encode("utf-8", "surrogatepass")


@settings(max_examples=400, database=None, suppress_health_check=list(HealthCheck))
@given(
    long_lists() | bodies(),
    st.sampled_from([1, 7, 60, 400]),
    st.sampled_from(["id", None, "größe"]),
    st.booleans(),
    st.booleans(),
)
def test_what_is_read_in_pieces_is_what_the_slow_half_reads(
    body: bytes, size: int, id_field: str | None, strict: bool, ignore: bool
) -> None:
    """Whatever a cut goes through: acceptance implies that of the slow half, with the same cells and keys."""
    way = (id_field, strict, ignore)
    fast = CUTTING[way, size].read_fast(body)
    if fast is not None:
        assert _said(fast) == _said(READERS[way][1].read_json(body))


@settings(max_examples=200, database=None)
@given(st.lists(objects(flaws=0), min_size=1, max_size=6), st.sampled_from([1, 7, 60, 400]))
def test_what_is_accepted_whole_is_accepted_in_pieces(records: list[str], size: int) -> None:
    """Ordinary records lose nothing by being cut between."""
    body = ("[" + ", ".join(records) + "]").encode()
    way = ("id", False, False)
    whole = READERS[way][0].read_fast(body)
    if whole is not None:
        fast = CUTTING[way, size].read_fast(body)
        assert fast is not None
        assert _said(fast) == _said(whole)


@pytest.mark.parametrize(
    "body",
    [
        '[{"t":"a"},{"t":"b"}],{"t":"c"}]',
        '[{"t":"a"}],[{"t":"b"},{"t":"c"}]',
        '[{"t":"a"},[{"t":"b"},{"t":"c"}]]',
        '[{"t":"a"},,{"t":"b"}]',
        '[{"t":"a"},{"t":"b"}',
        '{"t":"a"},{"t":"b"}]',
        '{"t":"a"},{"t":"b"}',
        '[{"t":"a"} {"t":"b"}]',
        '[{"t":"a"},\f{"t":"b"}]',
        '[{"t":"a","t":"b"},{"t":"b"},{}]',
        '[{"t":"a"},{"t":"b"},]',
        '[{"t":"a"},{"t":"b"}]]',
        '[{"t":"a},{"t":"b"}]',
    ],
)
def test_pieces_do_not_mend_what_is_broken(body: str) -> None:
    """Each piece is a list of its own; what is none as a whole is refused all the same."""
    for size in (1, 5, 10, 15):
        reader = in_pieces(TEXT, size, None)
        assert reader.read_fast(body.encode()) is None
        with pytest.raises(CallerError):
            reader.read_json(body.encode()).require_all_good()


def test_pieces_are_about_as_long_as_asked_for() -> None:
    """No piece exceeds the longest; where there is no border in sight there is no piece."""
    body = ("[" + ",".join([_record()] * 100) + "]").encode()
    pieces = [*cut(body, 1000, 2000)]
    assert [record for piece in pieces for record in json.loads(piece or b"[]")] == json.loads(body)
    assert all(piece is not None and 1000 <= len(piece) < 1300 for piece in pieces[:-1])
    assert [*cut(b'[{"t":"' + b"x" * 3000 + b'"}]', 1000, 2000)] == [None]


def test_a_list_that_is_too_long_is_refused_before_it_is_read() -> None:
    """Nobody looks at what follows: here it is no JSON."""
    body = b"[" + b'{"a":1},' * 1_000_000 + b"!"
    with pytest.raises(TooManyRecords, match="more than 10,000 records"):
        RecordReader(WHOLE, max_records=10_000).read_fast(body)


GOOD: dict[str, tuple[Schema, bytes]] = {
    "short records": (WHOLE, b'{"a":1}'),
    "doubles for integers": (WHOLE, b'{"a":1.0}'),
    "many columns": (ALL, _record().encode()),
    "texts": (TEXT, json.dumps({"t": "a: b" * 50}).encode()),
    "long texts": (TEXT, json.dumps({"t": "ü" * 100_000}, ensure_ascii=False).encode()),
}


@pytest.mark.parametrize("name", GOOD)
def test_other_threads_run_while_a_large_body_is_read(name: str) -> None:
    """Of 10 MB no piece keeps a thread waiting that wants to run every millisecond."""
    schema, record = GOOD[name]
    body = b"[" + b",".join([record] * (LARGE // (len(record) + 1))) + b"]"
    reader = RecordReader(schema)
    found: Any = None

    def read() -> None:
        nonlocal found
        found = reader.read_fast(body)

    pause = longest_pause(read)
    assert found is not None
    assert found.count == LARGE // (len(record) + 1)
    assert pause < 0.1
