"""The bytes of a pickle's file: its compression, and the versions that stand behind the pickle.

`skdeploy.save` writes a trailer behind the pickle, inside the compressed stream:

    newline, a JSON object of versions, newline, its length in bytes, `SKDEPLOY`

joblib ignores it, and it is read without unpickling anything.
"""

from __future__ import annotations

import bz2
import json
import lzma
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

# A stream unpacks to so many bytes, or to so many times its own, whichever is more.
_MOST_UNPACKED = 2**28
_MOST_TIMES = 100

_MARK = b"SKDEPLOY"
# Stands among the versions where a pickle holds functions by value: the minor version of Python for it.
BYTECODE = "bytecode"
_LONGEST_TRAILER = 10_000
# What scikit-learn's estimators write before their version, and how pickle writes a short text.
_OF_ESTIMATOR = re.compile(rb"_sklearn_version[^.]{0,12}?([0-9]+\.[0-9]+[0-9a-z.+]*)", re.DOTALL)
_TRAILER = re.compile(rb"\n(\{[^\n]*\})\n([0-9]{1,5})" + _MARK + rb"\Z")


def _lz4() -> Any:
    import lz4.frame

    return lz4.frame.LZ4FrameDecompressor()


# What joblib compresses with, by how the stream begins. An old format of joblib's own is not read.
_DECOMPRESSORS: dict[bytes, Callable[[], Any]] = {
    b"x": zlib.decompressobj,
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"BZ": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_UNPACKED),
    b"]\x00": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_MOST_UNPACKED),
    b"\x04\x22\x4d\x18": _lz4,
}
_COMPRESSED = (*_DECOMPRESSORS, b"ZF")


def unpack(content: bytes, most: int | None = None) -> bytes:
    """The pickle in a file of joblib's, compressed or not, with what stands behind it.

    most   bytes that it may unpack to; by default 256 MB, or a hundred times the file

    Raises ValueError or EOFError if the stream is damaged, ends early, goes on behind its end, or unpacks to
    more; ModuleNotFoundError if lz4 is needed and missing. joblib takes such files, or all memory.
    """
    make = next((make for prefix, make in _DECOMPRESSORS.items() if content.startswith(prefix)), None)
    pickled = content if make is None else _decompressed(make(), content, most or most_unpacked(content))
    if pickled.startswith(_COMPRESSED):
        raise ValueError("it is compressed twice, or by a joblib older than 0.10")
    return pickled


def most_unpacked(content: bytes) -> int:
    """The bytes that a file may unpack to."""
    return max(_MOST_UNPACKED, _MOST_TIMES * len(content))


def _decompressed(decompressor: Any, content: bytes, most: int) -> bytes:
    try:
        pickled: bytes = decompressor.decompress(content, most + 1)
    except (zlib.error, lzma.LZMAError, OSError, RuntimeError) as error:
        raise ValueError(str(error)) from error
    if len(pickled) > most:
        raise ValueError(f"it unpacks to more than {most:,} bytes")
    if not decompressor.eof:
        raise EOFError("the file ends too early")
    if decompressor.unused_data:
        raise ValueError("there are bytes behind the pickle's end")
    return pickled


def trailer(versions: dict[str, str]) -> bytes:
    """The versions as `save` writes them behind the pickle."""
    text = json.dumps(versions).encode()
    return b"\n%s\n%d%s" % (text, len(text), _MARK)


def versions_in(pickled: bytes) -> dict[str, str]:
    """The versions that saved what `unpack` gives, as far as it tells; nothing is unpickled.

    A file without the trailer of `save` tells scikit-learn's alone, which its estimators keep.
    """
    match = _TRAILER.search(pickled[-_LONGEST_TRAILER:])
    if match is not None and len(match[1]) == int(match[2]):
        with suppress(msgspec.DecodeError):
            return msgspec.json.decode(match[1], type=dict[str, str])
    kept = _OF_ESTIMATOR.search(pickled)
    return {} if kept is None else {"scikit-learn": kept[1].decode()}
