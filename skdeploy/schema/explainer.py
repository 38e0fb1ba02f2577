"""Long bodies are explained by a process of their own, beside the one that serves.

The two exchange frames of a length and as many bytes. A question is two frames: how the reader is made
(`RecordReader.recipe`), and the body. An answer is any number of frames with a `Found`, and a last one with
anything else. Each frame is small, because other threads wait while one is decoded.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import select
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from skdeploy.errors import (
    CallerError,
    ExplainingFailed,
    InvalidRecord,
    MalformedBody,
    Rejection,
    TooManyRecords,
)
from skdeploy.schema.column import Schema
from skdeploy.schema.reader import RecordReader
from skdeploy.schema.table import Checked, Table
from skdeploy.schema.types import ColumnType

_log = logging.getLogger(__name__)

# Bytes. A megabyte of `[[],[],...]` keeps other threads waiting for a tenth of a second.
LONG = 256 * 1024
# Seconds, for one body; and for the start of the process.
MOST_TIME = 60.0
_START = 30.0

_ROOT = str(Path(__file__).parents[2])
_AT_ONCE = 256 * 1024
_PIPE = 1024 * 1024

# Before each frame: its length in bytes.
LENGTH = struct.Struct("<Q")
# The first frame of a process that can take questions.
READY = b"ready"
# Cells, keys or runs in a frame.
_MOST = 10_000


class _Died(Exception):
    """The process is gone."""


class _TooSlow(Exception):
    """It did not answer in time."""


class Explainer:
    """Reads bodies as a `RecordReader` does; a long one is explained by a process that is started for it.

    long      bodies of more bytes are explained by the process
    seconds   what it may take for one body

    May be used by any thread: the process has one body at a time, and the others wait. It belongs to the
    process that made the first call; a fork gets one of its own. It ends with `close`, with the process that
    started it, or when it had nothing to do for half a minute; the next long body starts another.
    """

    def __init__(self, *, long: int = LONG, seconds: float = MOST_TIME) -> None:
        self._long = long
        self._seconds = seconds
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._owner = os.getpid()
        self._closed = False

    def read_json(self, reader: RecordReader, body: bytes) -> Checked:
        """Read a body as `reader.read_json(body)` does.

        Raises ExplainingFailed if the process needs too long or too much memory for it, or dies of it.
        """
        fast = reader.read_fast(body)
        return self.explain(reader, body) if fast is None else fast

    def explain(self, reader: RecordReader, body: bytes) -> Checked:
        """Read a body as `reader.explain(body)` does; raises ExplainingFailed as well."""
        if len(body) <= self._long or reader.recipe is None:
            return reader.explain(body)
        if self._owner != os.getpid():
            self._forget()
        with self._lock:
            answer = self._ask(reader, body)
        return reader.explain(body) if answer is None else answer

    def close(self) -> None:
        """End the process at once; calls that wait for it raise ExplainingFailed."""
        self._closed = True
        if self._owner != os.getpid():
            self._forget()
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, reader: RecordReader, body: bytes) -> Checked | None:
        """None if there can be no process. One that dies is replaced once: chance may have killed it."""
        reason = None
        for _ in range(2):
            if self._closed:
                raise ExplainingFailed(len(body), "is closed")
            try:
                child = self._started()
            except (OSError, _Died, _TooSlow) as error:
                self._end()
                _log.warning("No process starts that explains long bodies (%r).", error)
                continue
            if self._closed:  # while it was started, and could not be seen
                self._end()
                raise ExplainingFailed(len(body), "is closed")
            try:
                return child.ask(reader, body, self._seconds)
            except _Died:
                # A body that ends two processes is not tried in the one that serves.
                reason = "died of it, twice"
                self._end()
                _log.warning("The process that explained a body of %d bytes died.", len(body))
            except _TooSlow:
                self._end()
                raise ExplainingFailed(len(body), f"took more than {self._seconds:g} s for it") from None
            except CallerError:
                raise
            except BaseException:
                # Frames that are still in the pipes would be taken for the next answer.
                self._end()
                raise
        if reason is not None:
            raise ExplainingFailed(len(body), reason)
        return None

    def _started(self) -> _Child:
        if self._child is not None and not self._child.is_alive():
            self._end()
        if self._child is None:
            self._child = _Child()
            self._child.wait_until_ready()
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def _forget(self) -> None:
        """After a fork: the process belongs to the parent, and so does the thread that holds the lock."""
        if self._child is not None:
            self._child.abandon()
        self._child, self._lock, self._owner = None, threading.Lock(), os.getpid()


class _Child:
    """A process, and its two pipes."""

    def __init__(self) -> None:
        environ = os.environ  # noqa: TID251 - a child has its parent's environment; nothing is read from it
        path = os.pathsep.join(filter(None, [_ROOT, environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            # Not what happens to be in the current folder.
            [sys.executable, "-P", "-m", "skdeploy.schema.explaining"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A traceback may hold what a record holds.
            stderr=subprocess.DEVNULL,
            env=environ | {"PYTHONPATH": path},
            bufsize=0,
            # A terminal's Ctrl-C is for the process that serves.
            start_new_session=True,
        )
        assert self._process.stdin is not None  # noqa: S101 - both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._pipes = self._process.stdin, self._process.stdout
        self._sink, self._source = (pipe.fileno() for pipe in self._pipes)
        for end in (self._sink, self._source):
            os.set_blocking(end, False)
            _widen(end)

    def wait_until_ready(self) -> None:
        """Raises _Died or _TooSlow."""
        if self._read(time.monotonic() + _START) != READY:
            raise _Died

    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def ask(self, reader: RecordReader, body: bytes, seconds: float) -> Checked:
        """Let it explain `body`. Raises _Died, _TooSlow, ExplainingFailed, and whatever the reader raises."""
        deadline = time.monotonic() + seconds
        for content in (reader.recipe or b"", body):
            self._write(LENGTH.pack(len(content)), deadline)
            self._write(content, deadline)
        joining = Joining(reader.options.schema)
        while isinstance(answer := self._answer(deadline), Found):
            joining.add(answer)
        if isinstance(answer, End):
            return joining.whole(answer)
        if isinstance(answer, Failed):
            raise ExplainingFailed(len(body), answer.reason)
        raise _refusal(answer)

    def end(self) -> None:
        """Let nothing of it remain."""
        self.kill()
        self._process.wait()
        self._close()

    def kill(self) -> None:
        """End the process; who reads from it gets _Died."""
        self._process.kill()

    def abandon(self) -> None:
        """Close what a fork has of it. The process goes on, as it is another's."""
        self._close()
        # Popen would complain that nobody waited for a child, which is none of this process.
        self._process.returncode = 0

    def _close(self) -> None:
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.close()

    def _answer(self, deadline: float) -> Answer:
        answer: Answer = decode(self._read(deadline))
        return answer

    def _write(self, content: bytes, deadline: float) -> None:
        rest = memoryview(content)
        while rest:
            _wait(self._sink, select.POLLOUT, deadline)
            try:
                rest = rest[os.write(self._sink, rest[:_AT_ONCE]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise _Died from None

    def _read(self, deadline: float) -> bytes:
        header = self._read_exactly(LENGTH.size, deadline)
        return self._read_exactly(LENGTH.unpack(header)[0], deadline)

    def _read_exactly(self, size: int, deadline: float) -> bytes:
        content = bytearray()
        while len(content) < size:
            _wait(self._source, select.POLLIN, deadline)
            try:
                more = os.read(self._source, min(size - len(content), _AT_ONCE))
            except BlockingIOError:
                continue
            except OSError:
                raise _Died from None
            if not more:
                raise _Died
            content += more
        return bytes(content)


def _wait(end: int, event: int, deadline: float) -> None:
    """Until the pipe is ready, or broken. Not select(), which knows no descriptor above 1023."""
    waiting = select.poll()
    waiting.register(end, event)
    if not waiting.poll(max(0.0, deadline - time.monotonic()) * 1000):
        raise _TooSlow


def _widen(end: int) -> None:
    """A pipe for more than 64 KB has fewer stops; where there may be none (Linux), it works as well."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, _PIPE)


def _refusal(answer: Refused) -> CallerError:
    if answer.error == "InvalidRecord":
        return InvalidRecord([], answer.text)
    kinds = {"MalformedBody": MalformedBody, "TooManyRecords": TooManyRecords}
    return kinds[answer.error](answer.text)


class Found(msgspec.Struct, array_like=True, tag=True):
    """A part of a `Checked`.

    cells       of some good records, by column, as JSON has them
    positions   of these records
    ids         index -> pass-through key
    bad         index, number of unlisted cells, and (column, code, expected, got) of each listed one
    further     of each run the first index and the one after its last, all in one list
    """

    cells: list[list[Any]] = []
    positions: list[int] = []
    ids: dict[int, int | str | None] = {}
    bad: list[tuple[int, int, list[tuple[str | None, str, str, str]]]] = []
    further: list[int] = []


class End(msgspec.Struct, array_like=True, tag=True):
    """The last frame. `count` records came; `single`: a lone one."""

    count: int
    single: bool


class Refused(msgspec.Struct, array_like=True, tag=True):
    """The body holds no records to check: the name of the exception, and its text."""

    error: Literal["MalformedBody", "InvalidRecord", "TooManyRecords"]
    text: str


class Failed(msgspec.Struct, array_like=True, tag=True):
    """The process cannot do it; `reason` ends a sentence that begins with it."""

    reason: str


Answer = Found | End | Refused | Failed
decode = msgspec.msgpack.Decoder(Answer).decode
encode = msgspec.msgpack.Encoder().encode


def parts(checked: Checked, schema: Schema) -> Iterator[Answer]:
    """The frames that tell all of `checked`, and the last one."""
    odd = _not_json(schema)
    rows = max(1, _MOST // len(schema.columns))
    for start in range(0, checked.table.count, rows):
        cells = [column[start : start + rows] for column in checked.table.cells]
        for place, kind in odd:
            cells[place] = [None if cell is None else kind.to_json(cell) for cell in cells[place]]
        yield Found(cells, [*checked.positions[start : start + rows]])
    for ids in _some((checked.ids or {}).items()):
        yield Found(ids=dict(ids))
    described = (
        (index, checked.unlisted.get(index, 0), [(c.column, c.code, c.expected, c.got) for c in cells])
        for index, cells in checked.bad.items()
    )
    for bad in _some(described, _MOST // 10):
        yield Found(bad=bad)
    for further in _some(checked.further):
        yield Found(further=[edge for run in further for edge in (run.start, run.stop)])
    yield End(checked.count, checked.single)


class Joining:
    """Puts together what `parts` took apart, part by part."""

    def __init__(self, schema: Schema) -> None:
        self._odd = _not_json(schema)
        self._cells: list[list[Any]] = [[] for _ in schema.columns]
        self._positions: list[int] = []
        self._ids: dict[int, Any] = {}
        self._bad: dict[int, list[Rejection]] = {}
        self._unlisted: dict[int, int] = {}
        self._further: list[range] = []

    def add(self, part: Found) -> None:
        """The next part."""
        if part.positions:
            for place, kind in self._odd:
                values = part.cells[place]
                part.cells[place] = [None if value is None else kind.from_json(value) for value in values]
            for column, more in zip(self._cells, part.cells, strict=True):
                column.extend(more)
            self._positions.extend(part.positions)
        self._ids.update(part.ids)
        for index, unlisted, cells in part.bad:
            self._bad[index] = [Rejection(index, *cell) for cell in cells]
            if unlisted:
                self._unlisted[index] = unlisted
        self._further.extend(map(range, part.further[::2], part.further[1::2]))

    def whole(self, end: End) -> Checked:
        """All of it."""
        return Checked(
            Table(self._cells, len(self._positions)),
            self._positions,
            end.count,
            self._bad,
            self._ids or None,
            end.single,
            unlisted=self._unlisted,
            further=self._further,
        )


def _some(values: Iterable[Any], most: int = _MOST) -> Iterator[list[Any]]:
    values = iter(values)
    while some := [*itertools.islice(values, most)]:
        yield some


def _not_json(schema: Schema) -> Sequence[tuple[int, ColumnType]]:
    """The columns whose cells are written in another way, and their types."""
    kinds = [(place, column.kind) for place, column in enumerate(schema.columns)]
    return [(place, kind) for place, kind in kinds if kind.cell_class is not None]
