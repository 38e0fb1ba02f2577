"""A pickle followed opcode by opcode with stand-ins for its objects; nothing is imported or called.

joblib writes an array as a small object, the wrapper, and behind the opcode that gives the wrapper its
state the array's raw bytes, or a pickle of its own if the array holds objects. Whatever is not plainly
what joblib and pickle write raises Lost: a walk that guesses could be led past an opcode.
"""

from __future__ import annotations

import io
import math
import pickletools
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

_WRAPPER = ("joblib.numpy_pickle", "NumpyArrayWrapper")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_TUPLE": tuple, "EMPTY_SET": list}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset(
    [
        "INT",
        "BININT",
        "BININT1",
        "BININT2",
        "LONG",
        "LONG1",
        "LONG4",
        "FLOAT",
        "BINFLOAT",
        "UNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ]
)


class Lost(Exception):
    """The walk cannot be sure of what the unpickler would do; the message says where."""


@dataclass(frozen=True, slots=True)
class Global:
    """What an import would give."""

    module: str
    name: str


@dataclass(slots=True, eq=False)
class Made:
    """What a call would give."""

    by: Global
    args: Any
    state: Any = None


@dataclass(slots=True)
class _Walk:
    file: io.BytesIO
    found: dict[tuple[str, str], None]
    depth: int = 0
    stack: list[Any] = field(default_factory=list)
    marks: list[list[Any]] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    frame_end: int = 0

    def run(self) -> None:
        """Follow one pickle to its STOP."""
        for opcode, arg, position in pickletools.genops(self.file):
            here = self.file.tell()
            if (position or 0) < self.frame_end < here:
                raise Lost(f"an opcode crosses the end of its frame at byte {position}")
            if opcode.name == "STOP":
                return
            try:
                self.step(opcode.name, arg, here)
            except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
                raise Lost(f"{opcode.name} at byte {position} cannot be followed ({error})") from error

    def step(self, name: str, arg: Any, here: int) -> None:
        """One opcode."""
        if name in _VALUES:
            self.stack.append(arg)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif name in ("PROTO", "FRAME"):
            self.frame(name, arg, here)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[arg] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[arg])
        elif name in ("GLOBAL", "INST", "STACK_GLOBAL"):
            self.load_global(name, arg)
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            self.call(name)
        elif name == "BUILD":
            self.build(here)
        else:
            self.collect(name)

    def frame(self, name: str, size: int, here: int) -> None:
        if name == "FRAME":
            if here < self.frame_end:
                raise Lost("a frame in a frame")
            self.frame_end = here + size

    def collect(self, name: str) -> None:
        """The opcodes of containers."""
        if name == "MARK":
            self.marks.append(self.stack)
            self.stack = []
        elif name == "POP":
            self.stack.pop()
        elif name == "POP_MARK":
            self.to_mark()
        elif name in ("TUPLE", "LIST", "FROZENSET"):
            items = self.to_mark()
            self.stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("APPENDS", "APPEND", "ADDITEMS"):
            items = [self.stack.pop()] if name == "APPEND" else self.to_mark()
            self.grow(items)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            items = [self.stack.pop(-2), self.stack.pop()] if name == "SETITEM" else self.to_mark()
            if name == "DICT":
                self.stack.append({})
            self.set(items)
        else:
            raise Lost(f"the opcode {name} is none that a model needs")

    def grow(self, items: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(items)
        elif not isinstance(self.stack[-1], Made):
            raise Lost("something is appended to what is no list")

    def set(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            # Keys that are stand-ins are known by identity: only texts matter below.
            for key, value in zip(items[::2], items[1::2], strict=True):
                target[key if isinstance(key, str) else ("key", id(key))] = value
        elif not isinstance(target, Made):
            raise Lost("an item is set in what is no dict")

    def to_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.marks.pop()
        return items

    def load_global(self, opcode: str, arg: Any) -> None:
        if opcode == "STACK_GLOBAL":
            name, module = self.stack.pop(), self.stack.pop()
        else:
            module, _, name = arg.partition(" ")
        if not (isinstance(module, str) and isinstance(name, str)):
            raise Lost("a global's name is no text")
        self.found[module, name] = None
        if opcode == "INST" or not (_NAME.match(module) and _NAME.match(name)):
            raise Lost(f"{module!r} {name!r} is imported in a way that no model needs")
        self.stack.append(Global(module, name))

    def call(self, opcode: str) -> None:
        keywords = self.stack.pop() if opcode == "NEWOBJ_EX" else {}
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or not isinstance(args, tuple) or not isinstance(keywords, dict):
            raise Lost("what is called is no global, or its arguments are no tuple")
        wrapper = (function.module, function.name) == _WRAPPER
        if (wrapper and (opcode != "NEWOBJ" or args)) or Global(*_WRAPPER) in args:
            raise Lost("an array's wrapper is not made as joblib makes it")
        # Other codecs unpack: some bytes would become gigabytes.
        if function == Global("_codecs", "encode") and args[1:] not in (("latin1",), ("latin-1",)):
            raise Lost("_codecs.encode with another encoding than latin1, the only one that pickle writes")
        self.stack.append(Made(function, args))

    def build(self, here: int) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Made):
            raise Lost("a state is given to what was not made here")
        slots = state[1] if isinstance(state, tuple) and len(state) == 2 else None
        # Slots are set with setattr, which would change an object's class.
        if isinstance(slots, dict) and any(not isinstance(k, str) or k.startswith("__") for k in slots):
            raise Lost("a state sets an attribute with two underscores")
        if (target.by.module, target.by.name) == ("numpy", "dtype") and target.state is not None:
            raise Lost("a dtype is given two states")
        target.state = state
        if (target.by.module, target.by.name) == _WRAPPER:
            if here < self.frame_end:
                raise Lost("an array begins within a frame")
            self.stack[-1] = Made(Global("numpy", "ndarray"), ())
            self.skip_array(state)

    def skip_array(self, state: dict[str, Any]) -> None:
        """Go over an array's bytes, or follow the pickle that stands for it."""
        if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
            raise Lost("an array's wrapper has a state with keys that are no plain texts")
        kind, shape = state["dtype"], state["shape"]
        if state["subclass"] != Global("numpy", "ndarray") or not isinstance(shape, tuple):
            raise Lost("an array of a class that joblib does not write plainly")
        if any(type(length) is not int or length < 0 for length in shape):
            raise Lost("an array's shape is no tuple of lengths")
        size = _item_size(kind)
        if size is None:
            if self.depth > 20:
                raise Lost("arrays within arrays, too deep")
            _Walk(self.file, self.found, self.depth + 1).run()
            return
        if state.get("numpy_array_alignment_bytes") is not None:
            self.skip(self.file.read(1)[0])
        self.skip(math.prod(shape) * size)

    def skip(self, count: int) -> None:
        if count > len(self.file.getbuffer()) - self.file.tell():
            raise Lost("an array goes beyond the file's end")
        self.file.seek(count, io.SEEK_CUR)


def _item_size(kind: Any) -> int | None:
    """Bytes of one element; None if it is a Python object."""
    if not isinstance(kind, Made) or kind.by != Global("numpy", "dtype"):
        raise Lost("an array's dtype is none")
    code, state = kind.args[0], kind.state
    if not isinstance(code, str) or not re.fullmatch(r"[a-zA-Z]\d+", code):
        raise Lost(f"an array's dtype is {code!r}")
    size = np.dtype(code).itemsize
    # The flags in the state say whether numpy takes the elements for objects, whatever the code says.
    plain = isinstance(state, tuple) and len(state) in (8, 9) and state[0] in (3, 4) and type(state[7]) is int
    if not plain or bool(state[7] & 1) != (code[0] == "O"):
        raise Lost("an array's dtype has a state that is not plain")
    if code[0] == "O":
        return None
    if state[2] is not None or state[5] not in (-1, size):
        raise Lost("an array's dtype has a state that is not plain")
    if isinstance(state[4], dict) and any(_item_size(part[0]) is None for part in state[4].values()):
        raise Lost("an array of structures holds objects")
    return size


def walk(content: bytes, found: dict[tuple[str, str], None]) -> None:
    """Add to `found` each (module, name) that unpickling `content` would import. Raises Lost."""
    file = io.BytesIO(content)
    _Walk(file, found).run()
    if file.read(1):
        raise Lost("there are bytes behind the pickle's end")
