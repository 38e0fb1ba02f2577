"""A long list of records, cut into short ones: no call into C keeps other threads waiting for long."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Bytes. msgspec decodes that much in about a millisecond, and what is made of it takes a few more.
PIECE = 256 * 1024
# What cannot be cut below this is left to the slow half.
LONGEST = 1024 * 1024

# Possessive, so that white space is passed once.
_BETWEEN = re.compile(rb"\}[ \t\r\n]*+,[ \t\r\n]*+\{")


def cut(body: bytes, size: int = PIECE, longest: int = LONGEST) -> Iterator[bytes | None]:
    """Lists that hold together what `body`, a list of objects, holds; at last None, if one would be too long.

    size      where a piece is about to end, bytes
    longest   what no piece exceeds, bytes

    Whether a cut is between two records is not looked at: where it is in a string or in a nested value, the
    piece before it is not JSON. If all pieces are JSON lists, `body` is one, of all that they hold, in order.
    """
    start, opening = 0, b""
    while len(body) - start > size:
        between = _BETWEEN.search(body, start + size - 1, start + longest)
        if between is None:
            break
        yield opening + body[start : between.start() + 1] + b"]"
        start, opening = between.end() - 1, b"["
    yield opening + body[start:] if len(body) - start <= longest else None
