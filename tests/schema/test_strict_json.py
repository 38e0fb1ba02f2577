from __future__ import annotations

import pytest

from skdeploy.errors import MalformedBody
from skdeploy.schema import parse_json


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"  \n", "empty"),
        (b'{"a": 1', "line 1, column"),
        (b'{"a": 1} x', "Extra data"),
        (b'{"a": \xff}', "not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a": "\\ud800"}', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'[{"x": ["\\ud800"]}]', "surrogate"),
        (b'{"a": 1, "b": 2, "a": 3}', '"a" stands twice'),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b"[" * 200_000, "nested"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 01}', "not JSON"),
    ],
)
def test_what_is_not_json_is_said_to_be_so(body: bytes, says: str) -> None:
    """Every way not to be I-JSON is refused with a message that says what and where."""
    with pytest.raises(MalformedBody, match=says):
        parse_json(body)


def test_numbers_are_kept_as_they_were_written() -> None:
    """Numbers beyond a double or an int64 survive parsing, for the checks to refuse."""
    values = parse_json(
        b"[1e400, 123456789012345678901234567890, 2.9999999999999999999, 1e-999999999999999999999]"
    )
    assert [str(value) for value in values[:3]] == [
        "1e400",
        "1" + "23456789012345678901234567890",
        "2.9999999999999999999",
    ]


def test_a_pair_of_surrogates_is_one_character() -> None:
    """Escaped characters beyond the basic plane are fine."""
    assert parse_json(b'"\\ud83d\\ude00"') == "\U0001f600"
