"""A serialized ONNX graph of unknown origin -> its bytes are checked before onnxruntime reads them.

A graph may name other files for its tensors, and operators of other domains than ONNX's own. This module
walks the protobuf messages that can hold either, without the `onnx` package.
Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import re

# The fields of a message that are walked: field number -> the message that it holds.
_MESSAGES: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 8: "OperatorSetIdProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **dict.fromkeys((5, 10), "TensorProto"),
        **dict.fromkeys((6, 11), "GraphProto"),
        **dict.fromkeys((22, 23), "SparseTensorProto"),
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "OperatorSetIdProto": {},
    "TensorProto": {},
}
_DOMAINS = {("OperatorSetIdProto", 1), ("NodeProto", 7)}
_ALLOWED_DOMAINS = (b"", b"ai.onnx.ml")
_REFUSED = {
    ("ModelProto", 20): "training steps",
    ("ModelProto", 25): "functions of its own",
    ("TensorProto", 13): "a tensor whose data are in another file",
}
# Where a tensor's data are: 0 is in the tensor itself.
_DATA_LOCATION = ("TensorProto", 14)

# Attributes hold numbers one by one, each with its tag: millions of them in a large forest.
_NUMBERS = re.compile(rb"(?:\x3d.{4})++|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++", re.DOTALL)
_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}
_LARGEST_TAG = 2**32 - 1


class UnsafeGraph(Exception):
    """The graph needs what is outside of it, or is damaged; `str(error)` says what."""


def vet_graph(content: bytes) -> None:
    """Refuse a graph that reads other files, uses operators beyond ONNX's own, or is no ONNX model.

    content   a ModelProto; onnxruntime's own format is refused

    Raises UnsafeGraph.
    """
    left = [("ModelProto", 0, len(content))]
    while left:
        kind, position, end = left.pop()
        while position < end:
            if kind == "AttributeProto" and (run := _NUMBERS.match(content, position, end)):
                position = run.end()
                continue
            field, value, begin, position = _read_field(content, position, end)
            where = (kind, field)
            if where in _REFUSED:
                raise UnsafeGraph(f"it has {_REFUSED[where]}")
            if where == _DATA_LOCATION and value != 0:
                raise UnsafeGraph(f"it has {_REFUSED['TensorProto', 13]}")
            inner = _MESSAGES[kind].get(field)
            if (inner or where in _DOMAINS) and value is not None:
                raise UnsafeGraph("it is damaged")
            if inner:
                left.append((inner, begin, position))
            elif where in _DOMAINS and content[begin:position] not in _ALLOWED_DOMAINS:
                domain = content[begin:position][:100].decode(errors="replace")
                raise UnsafeGraph(f"it uses operators of the domain {domain!r}")


def _read_field(content: bytes, position: int, end: int) -> tuple[int, int | None, int, int]:
    """A field's number, its value, and where its bytes begin and end.

    The value is None where the field is bytes or a message, and -1 where it is a number of fixed size.
    """
    tag, position = _read_varint(content, position, end)
    field, wire_type = tag >> 3, tag & 7
    if not field or tag > _LARGEST_TAG:
        raise UnsafeGraph("it is damaged")
    if wire_type == 0:
        value, after = _read_varint(content, position, end)
        return field, value, position, after
    if wire_type == _LENGTH_DELIMITED:
        length, position = _read_varint(content, position, end)
    else:
        # The others are groups, which ONNX does not have.
        length = _FIXED.get(wire_type, end + 1)
    if position + length > end:
        raise UnsafeGraph("it is damaged")
    return field, None if wire_type == _LENGTH_DELIMITED else -1, position, position + length


def _read_varint(content: bytes, position: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= end:
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise UnsafeGraph("it is damaged")
