"""The fast half of the reader never says anything else than the slow half, which decides."""

from __future__ import annotations

import itertools
import json
import struct
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from skdeploy.errors import CallerError
from skdeploy.schema import Checked, Column, RecordReader, Schema

COLUMNS = [
    Column(name="whole", type="int", dtype="int64"),
    Column(name="byte", type="int", dtype="uint8"),
    Column(name="big", type="int", dtype="uint64"),
    Column(name="maybe", type="int", dtype="Int64", nullable=True, null="NA"),
    Column(name="was double", type="int", dtype="int64", nullable=True),
    Column(name="real", type="float", dtype="float64"),
    Column(name="single", type="float", dtype="float32", nullable=True),
    Column(name="flag", type="bool", dtype="bool"),
    Column(name="größe/μ", type="str", dtype="str", nullable=True),
    Column(name="grade", type="str", dtype="str", categories=["low", "hoch", 'a"b:'], unknown="refuse"),
    Column(name="level", type="int", dtype="int64", categories=[1, 2, 3], unknown="refuse"),
    Column(name="at", type="datetime", dtype="datetime64[ns]", null="NaT", nullable=True),
    Column(name="zoned", type="datetime", dtype="datetime64[us, UTC]", null="NaT"),
]

GOOD: dict[str, list[str]] = {
    "int": [
        "0",
        "-0",
        "1",
        "2",
        "3",
        "255",
        "3.0",
        "-0.0",
        "3e0",
        "30E-1",
        "2.9",
        "256",
        "-1",
        "1e2",
        "0.0",
    ],
    "float": [
        "0",
        "-0",
        "-0.0",
        "0.1",
        "1e-400",
        "5e-324",
        "1E+2",
        "3.5",
        "1e22",
        "2.5e38",
        "3.5e38",
        "1e400",
    ],
    "bool": ["true", "false"],
    "str": ['"low"', '"hoch"', r'"l\u006fw"', r'"a\"b:"', '""', r'"\/"', '"no"'],
    "datetime": [
        '"2013-01-01T05:00:00"',
        '"2013-01-01 05:00:00.5"',
        '"2013-01-01T05:00:00Z"',
        r'"2013-01-01T05:00:00\u002b01:00"',
        '"2013-02-30T05:00:00"',
        '"1600-01-01T00:00:00"',
        '"0001-01-01T00:00:00+14:00"',
        '"2013-01-01"',
        '"9999-12-31T23:59:59-14:00"',
    ],
}
# What the halves could disagree on: the edges of the number types, and what is not JSON.
NASTY = [
    *(
        str(sign * (2**bits + step))
        for bits in (8, 24, 31, 53, 63, 64)
        for step in (-1, 0, 1)
        for sign in (1, -1)
    ),
    *(f"{2**bits + step}.0" for bits in (53, 63) for step in (-1, 0, 1)),
    *(f"{2**53 + step}e0" for step in (-1, 0, 1)),
    "9007199254740993.0000000000000000001",
    "2.9999999999999999999999",
    "1.00000000000000000000001",
    "90071992547409930e-1",
    "0.30000000000000004441",
    "1e999999999",
    "1e-999999999",
    "0e999999999",
    "1" * 30,
    "0." + "1" * 40,
    *("01", "1.", ".5", "+1", "1e", "0x1", "NaN", "Infinity", "-Infinity", "nan", "True", "None", ""),
    *(r'"\ud800"', r'"\ud83d\ude00"', r'"\ude00\ud83d"', '"\ud800"', r'"\x41"', r'"\u00e9"', '"\t"', '"\0"'),
    *('"\x7f"', '"\u2028"', '"', "'low'", '"12"', '"true"', '"null"', '"":"', r'"\":"', '"{\\"a\\":1}"'),
    *("null", "true", "false", "[]", "{}", "[1]", '{"whole":1}', '{"a":1,"a":2}', "[" * 50 + "]" * 50),
]
SPACE = st.sampled_from(["", "", "", "", " ", "\n", "\t", "\r\n", "  ", "\f", "\v", "\xa0", "\ufeff", "/**/"])
STRINGS = st.text(max_size=6).map(json.dumps) | st.text(max_size=6).map(
    lambda text: json.dumps(text, ensure_ascii=False)
)
NUMBERS = (
    st.integers(-(2**65), 2**65).map(str)
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.decimals(allow_nan=False, allow_infinity=False).map(str)
)
IDENTIFIERS = st.sampled_from(
    [
        "1",
        '"a"',
        "null",
        "1.0",
        "true",
        "-0",
        str(2**63),
        str(2**63 - 1),
        str(-(2**63)),
        "1e999999999",
        "-1e-999999999",
        "[1]",
        r'"\u0061"',
        '"":"',
    ]
)


def _readers(id_field: str | None, strict: bool, ignore: bool) -> tuple[RecordReader, RecordReader]:
    schema = Schema(container="frame", columns=COLUMNS)
    both = RecordReader(schema, id_field=id_field, strict=strict, ignore_unknown=ignore)
    slow = RecordReader(schema, id_field=id_field, strict=strict, ignore_unknown=ignore)
    slow._fast = None
    return both, slow


BOTH = (False, True)
READERS = {which: _readers(*which) for which in itertools.product(("id", None, "größe"), BOTH, BOTH)}


@st.composite
def spelled(draw: st.DrawFn, name: str) -> str:
    """A key as JSON may write it: some of its characters escaped."""
    escaped = draw(st.sets(st.integers(0, max(len(name) - 1, 0)), max_size=2))
    return '"' + "".join(f"\\u{ord(c):04x}" if i in escaped else c for i, c in enumerate(name)) + '"'


def _cells(column: Column) -> st.SearchStrategy[str]:
    usual = st.sampled_from(GOOD[column.type] + ["null"] * column.nullable)
    return st.one_of(usual, usual, usual, st.sampled_from(NASTY), STRINGS, NUMBERS)


def _plainly_good(column: Column) -> st.SearchStrategy[str]:
    tokens = {
        "int": ["1", "2", "3", "1.0", "2.0", "3.0"],
        "float": ["0.5", "1", "1e3", "-7.25"],
        "bool": ["true", "false"],
        "str": ['"low"', r'"h\u006fch"', r'"a\"b:"'],
        "datetime": ['"2013-01-01T05:00:00Z"' if "," in column.dtype else '"2013-01-01T05:00:00"'],
    }[column.type]
    return st.sampled_from(tokens + ["null"] * column.nullable)


@st.composite
def objects(draw: st.DrawFn, *, flaws: int) -> str:
    """A record of which at most `flaws` things are odd: cells, keys, what stands between them."""
    tokens = {column.name: draw(_plainly_good(column)) for column in COLUMNS}
    pairs = [(draw(spelled(name)), token) for name, token in draw(st.permutations(list(tokens.items())))]
    for _ in range(draw(st.integers(0, flaws))):
        place = draw(st.integers(0, len(pairs) - 1))
        column = draw(st.sampled_from(COLUMNS))
        kind = draw(st.sampled_from(["cell", "cell", "cell", "cell", "drop", "twice", "unknown", "id", "id"]))
        if kind == "cell":
            pairs = [(k, draw(_cells(column)) if json.loads(k) == column.name else v) for k, v in pairs]
        elif kind == "drop" and len(pairs) > 1:
            del pairs[place]
        elif kind == "twice":
            pairs.insert(place, (draw(spelled(column.name)), draw(_cells(column))))
        elif kind == "id":
            pairs.insert(place, (draw(spelled("id") | spelled("größe")), draw(IDENTIFIERS)))
        elif kind == "unknown":
            pairs.insert(place, (draw(spelled("other") | STRINGS), draw(st.sampled_from(NASTY))))
    between = draw(st.lists(SPACE, min_size=4, max_size=4)) if draw(st.booleans()) else [""] * 4
    a, b, c, d = between
    return "{" + a + ",".join(f"{b}{key}{c}:{d}{token}" for key, token in pairs) + a + "}"


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A record or a list of them, mostly JSON, sometimes cut or with a byte changed."""
    if draw(st.booleans()):
        text = draw(objects(flaws=2))
    else:
        text = "[" + ",".join(draw(st.lists(objects(flaws=1), max_size=3))) + "]"
    text = draw(SPACE) + text + draw(SPACE)
    body = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0 and body:
        place = draw(st.integers(0, len(body) - 1))
        body = body[:place] + draw(st.binary(max_size=2)) + body[place + draw(st.integers(0, 2)) :]
    return body


def _exact(value: Any) -> Any:
    """A value with its type, and a double with its bits: 0.0 is not -0.0 here."""
    if isinstance(value, float):
        return "float", struct.pack("<d", value)
    return type(value).__name__, value.isoformat() if isinstance(value, datetime) else value


def _said(checked: Checked) -> Any:
    cells = [[_exact(value) for value in column] for column in checked.table.cells]
    ids = {index: _exact(value) for index, value in (checked.ids or {}).items()}
    bad = checked.bad, checked.unlisted, checked.further
    return cells, ids, list(checked.positions), checked.count, checked.single, bad


def assert_fast_says_what_plain_says(
    body: bytes, id_field: str | None = "id", strict: bool = False, ignore: bool = False
) -> bool:
    """Whether the fast half accepted; then the slow half must have, with the same cells and keys."""
    reader, slow = READERS[id_field, strict, ignore]
    assert reader._fast is not None
    if reader._fast(body, None) is None:
        return False
    fast = reader.read_json(body)
    try:
        plain = slow.read_json(body)
    except CallerError as error:
        raise AssertionError(f"accepted only by the fast half; the slow one says: {error}") from error
    assert plain.rejected == 0
    assert _said(fast) == _said(plain)
    return True


@settings(max_examples=300, database=None, suppress_health_check=list(HealthCheck))
@given(bodies(), st.sampled_from(["id", None, "größe"]), st.booleans(), st.booleans())
@example(b"[]", "id", False, False)
@example(b"", "id", False, True)
@example(b"{}", None, True, False)
def test_whatever_the_fast_half_accepts_the_slow_half_accepts_alike(
    body: bytes, id_field: str | None, strict: bool, ignore: bool
) -> None:
    """Fast acceptance implies slow acceptance with identical cells, keys and order."""
    assert_fast_says_what_plain_says(body, id_field, strict, ignore)


@settings(max_examples=300, database=None)
@given(st.lists(objects(flaws=0), min_size=1, max_size=4))
def test_what_is_plainly_good_is_accepted_fast(records: list[str]) -> None:
    """The property above is not empty: ordinary records, however spelled, take the fast half."""
    body = "[" + ",".join(records) + "]"
    if all(space not in body for space in ("\f", "\v", "\xa0", "\ufeff", "/**/")) and r"\":" not in body:
        reader, _ = READERS["id", False, False]
        assert reader.read_json(body.encode()).bad == {}
        if '"b:' not in body:
            assert assert_fast_says_what_plain_says(body.encode())


def _record(**changed: str) -> str:
    tokens = {
        "whole": "1",
        "byte": "1",
        "big": "1",
        "maybe": "null",
        "was double": "1",
        "real": "0.5",
        "single": "0.5",
        "flag": "true",
        "größe/μ": '"x"',
        "grade": '"low"',
        "level": "1",
        "at": "null",
        "zoned": '"2013-01-01T05:00:00Z"',
    } | changed
    return "{" + ",".join(f"{json.dumps(name)}:{token}" for name, token in tokens.items()) + "}"


@pytest.mark.parametrize("name", [column.name for column in COLUMNS])
def test_each_odd_cell_in_each_column(name: str) -> None:
    """Every odd number, string or non-JSON token, in a column of every type, is judged alike."""
    for token in [*NASTY, *(token for tokens in GOOD.values() for token in tokens)]:
        body = _record(**{name: token}).encode("utf-8", "surrogatepass")
        assert_fast_says_what_plain_says(body)
        assert_fast_says_what_plain_says(b" [" + body + b"\n,\t" + _record().encode() + b"]\r\n", strict=True)
        double = _record(**{"whole": "1.0", name: token}).encode("utf-8", "surrogatepass")
        assert_fast_says_what_plain_says(double)
        other = _record(other=token).encode("utf-8", "surrogatepass")
        assert_fast_says_what_plain_says(b"[" + double + b"," + other + b"]", ignore=True)


@pytest.mark.parametrize(
    "again", ['"whole"', r'"\u0077hole"', r'"whol\u0065"', r'"\u0077\u0068\u006F\u006c\u0065"']
)
@pytest.mark.parametrize("colon", [":", " :", "\n:\t", "\r\n :"])
def test_a_key_that_stands_twice_is_seen_however_it_is_spelled(again: str, colon: str) -> None:
    """A key that comes twice, by escapes or whitespace hidden, is refused and never last wins."""
    reader, _ = READERS["id", False, False]
    doubled = f"{_record()[:-1]},{again}{colon}2}}"
    for body in (doubled, f"[{_record()},{doubled}]", f"[{doubled},{_record()}]"):
        with pytest.raises(CallerError, match="twice"):
            reader.read_json(body.encode())


@pytest.mark.parametrize("dropped", ["whole", "at"])
def test_a_doubled_key_does_not_stand_in_for_a_missing_one(dropped: str) -> None:
    """One key twice and another missing: the number of keys is right, the record is not."""
    reader, _ = READERS["id", False, False]
    tokens = json.loads(_record())
    del tokens[dropped]
    body = json.dumps(tokens)[:-1] + ', "byte": 2}'
    with pytest.raises(CallerError):
        reader.read_json(body.encode())


def test_colons_in_strings_hide_no_doubled_key() -> None:
    """Text that looks like keys neither hides a doubled key nor is taken for one."""
    reader, _ = READERS["id", False, False]
    text = json.dumps('a":1,"whole":2')
    good = _record(**{"größe/μ": text})
    assert reader.read_json(good.encode()).table.cells[8] == ['a":1,"whole":2']
    with pytest.raises(CallerError, match="twice"):
        reader.read_json((good[:-1] + ',"id":1,"id":2}').encode())


INTEGERS = ["0.0", "-0.0", "255.0", "256.0", "-1.0", "9007199254740991.0", "9007199254740992.0"]
INTEGERS += ["9007199254740993.0", "9223372036854775807.0", "9223372036854775808.0", "18446744073709551615.0"]
INTEGERS += ["18446744073709551616.0", "1.0e0", "10000000000000000000.0", "-9223372036854775808.0", "1.00"]
INTEGERS += ["1.0000000000000000001", "0.9999999999999999999999.0", "1" * 5000 + ".0", "1e19", "01.0", "-.0"]


@pytest.mark.parametrize("name", ["whole", "byte", "big", "maybe", "was double", "level"])
def test_an_integer_written_as_a_double_is_that_integer(name: str) -> None:
    """719.0 is 719 up to the bounds of each dtype, exactly as the slow half has it."""
    accepted = [
        token for token in INTEGERS if assert_fast_says_what_plain_says(_record(**{name: token}).encode())
    ]
    good = [token for token in INTEGERS if not _is_bad(_record(**{name: token}).encode())]
    assert accepted == [token for token in good if token.endswith(".0")]
    assert len(good) >= (1 if name == "level" else 3)


def _is_bad(body: bytes) -> bool:
    _, slow = READERS["id", False, False]
    try:
        return bool(slow.read_json(body).bad)
    except CallerError:
        return True


USUAL = {
    "doubles": _record(whole="719.0", byte="3.0", level="2.0"),
    "one double among integers": _record(whole="719.0"),
    "a colon in a text": _record(**{"größe/μ": '"12:30: a"'}),
    "a date-time": _record(at='"2013-01-01T05:00:00"'),
    "an id with colons": _record(id='"urn:x:1"'),
    "escapes and colons": _record(**{"größe/μ": r'"gr\u00f6\u00dfe: \"x\""', "at": '"2013-01-01T05:00:00"'}),
}


@pytest.mark.parametrize("body", USUAL.values(), ids=USUAL)
@pytest.mark.parametrize("ignore", [False, True])
def test_what_clients_usually_send_is_accepted_fast(body: str, ignore: bool) -> None:
    """Doubles for integers, colons in texts: the fast half takes them, alone and in a list."""
    spaced = json.dumps(json.loads(body), indent=1)
    for one in (body, spaced):
        assert assert_fast_says_what_plain_says(one.encode(), ignore=ignore)
        assert assert_fast_says_what_plain_says(f"[{one}, {_record()}]".encode(), ignore=ignore)


@pytest.mark.parametrize(
    "more", ['"other":1', '"other":"a:b"', '"other":null,"another":1.5e3', '"o\\u0074her":true', '"":""']
)
def test_unknown_columns_to_be_ignored_are_ignored_fast(more: str) -> None:
    """SKDEPLOY_UNKNOWN_COLUMNS=ignore: plain cells of other columns do not need the slow half."""
    extra = f"{_record()[:-1]},{more}}}"
    for body in (extra, f"[{_record()},{extra}]", f"[{extra},{extra}]"):
        assert assert_fast_says_what_plain_says(body.encode(), ignore=True)
        assert not assert_fast_says_what_plain_says(body.encode())


@pytest.mark.parametrize(
    "more",
    [
        '"other":1,"other":1',
        '"other":1,"o\\u0074her":2',
        '"other":":","other" :1',
        '"other":1,"byte":2',
        '"other":{"a":1,"a":2}',
        '"other":[{"a":1,"a":2}]',
        '"other":"\\ud800"',
        '"\\ud800":1',
        '"other":NaN',
    ],
)
def test_unknown_columns_to_be_ignored_hide_nothing(more: str) -> None:
    """A key twice, known or not, nested or not, and what is no JSON is refused all the same."""
    reader, _ = READERS["id", False, True]
    extra = f"{_record()[:-1]},{more}}}"
    for body in (extra, f"[{_record()},{extra}]"):
        with pytest.raises(CallerError):
            reader.read_json(body.encode())


def test_a_key_twice_is_not_hidden_by_colons_in_texts() -> None:
    """An escaped colon in a text does not make up for the colon of a doubled key."""
    reader, _ = READERS["id", False, False]
    for text in (r'"a\u003ab"', '"a:b"', r'"a\u003a\u003a"'):
        body = _record(**{"größe/μ": text})[:-1] + ',"byte":2}'
        with pytest.raises(CallerError, match="twice"):
            reader.read_json(body.encode())
