"""`python -m skdeploy.schema.explaining`: explains bodies that come on its input, until that ends.

A long body takes the slow half of the reader seconds, hundreds of megabytes, and calls into C during which no
other thread runs. Here there is no other thread, and a failure ends nothing else. `skdeploy.schema.explainer`
starts this.

It ends when its input ends, because the process that asked is gone, and when nothing was asked for a while.
It may be killed at any time. It writes nothing but answers, so that no value of a record gets into a log.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import sys
from collections.abc import Iterator

import msgspec

from skdeploy.errors import CallerError
from skdeploy.schema.explainer import LENGTH, READY, Answer, Failed, Refused, encode, parts
from skdeploy.schema.reader import ReaderOptions, RecordReader

# Bytes of address space: a body that asks for more is not explained, and the machine's memory stays.
MOST_MEMORY = 2 * 1024**3
# Seconds.
MOST_TIME = 60
MOST_IDLE = 30


def main() -> None:
    """Answer questions until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    # Parsed JSON has no cycles, and a collection looks at all of it.
    gc.disable()
    source, sink = sys.stdin.fileno(), sys.stdout.fileno()
    readers: dict[bytes, tuple[ReaderOptions, RecordReader]] = {}
    _write(sink, READY)
    while (recipe := _read(source, MOST_IDLE)) is not None and (body := _read(source)) is not None:
        # The process that asked may be gone, and could not stop this one.
        signal.setitimer(signal.ITIMER_REAL, 2 * MOST_TIME)
        if recipe not in readers:
            options = msgspec.msgpack.decode(recipe, type=ReaderOptions)
            # One model is followed by another: the reader of the last one is not needed any more.
            readers = {recipe: (options, options.reader())}
        for answer in _explained(*readers[recipe], body):
            _write(sink, encode(answer))
        signal.setitimer(signal.ITIMER_REAL, 0)
        del body
        gc.collect()


def _explained(options: ReaderOptions, reader: RecordReader, body: bytes) -> Iterator[Answer]:
    try:
        yield from parts(reader.explain(body), options.schema)
    except CallerError as error:
        yield Refused(type(error).__name__, str(error))  # type: ignore[arg-type]  # those that explain raises
    except MemoryError:
        yield Failed(f"needs more than {MOST_MEMORY // 1024**3} GB of memory for it")
    except Exception as error:
        # Its text may hold what a record holds.
        yield Failed(f"raised {type(error).__name__}")


def _read(source: int, patience: float | None = None) -> bytes | None:
    """A frame; None if the input ends, or if there is none after `patience` seconds."""
    if patience is not None and not select.select([source], [], [], patience)[0]:
        return None
    header = _read_exactly(source, LENGTH.size)
    return None if header is None else _read_exactly(source, LENGTH.unpack(header)[0])


def _read_exactly(source: int, size: int) -> bytes | None:
    content = bytearray()
    while len(content) < size:
        more = os.read(source, min(size - len(content), 1024 * 1024))
        if not more:
            return None
        content += more
    return bytes(content)


def _write(sink: int, content: bytes) -> None:
    rest = memoryview(LENGTH.pack(len(content)) + content)
    while rest:
        rest = rest[os.write(sink, rest) :]


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:  # who asked is gone
        sys.exit(0)
