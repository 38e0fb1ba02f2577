"""Many bodies with a record in each are read as each of them would be alone."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skdeploy.errors import MalformedBody
from skdeploy.schema import Checked, RecordReader
from tests.schema.test_fast_equals_plain import READERS, _exact, _record, bodies, objects


def _alone(reader: RecordReader, body: bytes) -> object:
    """What a body comes to by itself: its cells and key, its bad cells, or why it is none."""
    if body.lstrip()[:1] == b"[":
        return "a list"
    try:
        one = reader.read_json(body)
    except MalformedBody as error:
        return str(error)
    return one.bad[0] if one.bad else _row(one, 0)


def _row(checked: Checked, place: int) -> object:
    ids = checked.ids or {}
    index = checked.positions[place]
    key = _exact(ids[index]) if index in ids else None
    return [_exact(column[place]) for column in checked.table.cells], key


def _together(checked: Checked) -> list[object]:
    said: dict[int, object] = {
        index: "a list" if "is a list" in why else why for index, why in checked.malformed.items()
    }
    said |= checked.bad
    for place, index in enumerate(checked.positions):
        assert index not in said
        said[index] = _row(checked, place)
    assert len(said) == checked.count
    return [said[index] for index in range(checked.count)]


@settings(max_examples=200, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(bodies() | objects(flaws=0).map(str.encode), max_size=5),
    st.sampled_from(["id", None, "größe"]),
    st.booleans(),
    st.booleans(),
)
def test_each_body_is_read_as_if_it_were_alone(
    several: list[bytes], id_field: str | None, strict: bool, ignore: bool
) -> None:
    """Whatever stands beside it: cells, keys, bad cells and refusals are those of the body itself."""
    for reader in READERS[id_field, strict, ignore]:
        checked = reader.read_each(several)
        assert _together(checked) == [_alone(reader, body) for body in several]


def test_bodies_are_never_read_across_their_borders() -> None:
    """Halves of a record that would be one when put together, and two records in one body, are none."""
    reader, _ = READERS["id", False, False]
    whole = _record()
    one, other = whole[:20], whole[20:]
    checked = reader.read_each([one.encode(), other.encode(), f"{whole},{whole}".encode(), whole.encode()])
    assert sorted(checked.malformed) == [0, 1, 2]
    assert [*checked.positions] == [3]


def test_a_key_that_stands_twice_is_seen_among_many() -> None:
    """Also where another body's texts have as many colons fewer."""
    reader, _ = READERS["id", False, False]
    twice = _record()[:-1] + ',"whole":2}'
    checked = reader.read_each([_record().encode()] * 50 + [twice.encode()] + [_record().encode()] * 50)
    assert [*checked.malformed] == [50]
    assert "twice" in checked.malformed[50]
    assert len(checked.positions) == 100


def test_no_bodies_are_no_records() -> None:
    """An empty poll is an empty table."""
    reader, _ = READERS["id", False, False]
    checked = reader.read_each([])
    assert (checked.count, checked.table.count) == (0, 0)
