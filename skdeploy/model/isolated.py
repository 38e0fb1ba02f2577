"""Work that predicts, done in a forked child: the process that forks a service's workers never predicts.

Predicting starts threads and processes, OpenMP's and joblib's. They do not survive a fork, but what waits for
them does: a worker that is forked afterwards would wait for ever.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, TypeVar, cast

from skdeploy.errors import ModelUnavailable, SkdeployError
from skdeploy.forked import fork
from skdeploy.passport.walk import parts_of

T = TypeVar("T")

_NAME = "The process that proves the model"
# Of <sys/prctl.h>: the signal that the kernel sends to a process when its parent ends.
_PR_SET_PDEATHSIG = 1


def in_child(work: Callable[[], T], shared: Any = None, meanwhile: Callable[[], None] | None = None) -> T:
    """What `work` returns, or raises, in a forked child. Nothing that the child started outlives it.

    shared      an object, say a fitted pipeline: its parts in the result are those that this process has
    meanwhile   done in this process while the child works

    The result goes through a pipe as a pickle. The child ends if this process does. Raises ModelUnavailable
    if the child dies.
    """
    # Listed before the fork, they have the same places in both processes.
    parts = parts_of(shared)
    parent = os.getpid()
    reading, writing = os.pipe()

    def child() -> None:
        os.close(reading)
        # Collections would walk what the parent has, and thereby copy the memory that both share.
        gc.freeze()
        _close_in_forks(writing)
        _end_with(parent)
        os.setsid()
        _tell(writing, _outcome(work), parts)

    pid = fork(child, _NAME)
    os.close(writing)
    result, raised = _hear(pid, reading, parts, meanwhile)
    if raised is not None:
        raise raised
    return cast("T", result)


def _hear(pid: int, reading: int, parts: list[Any], meanwhile: Callable[[], None] | None) -> Any:
    """What the child tells; in the end it, and what it started, have ended."""
    ended = False
    try:
        with os.fdopen(reading, "rb") as pipe:
            if meanwhile is not None:
                meanwhile()
            _await(pipe)
            try:
                return _Unpickler(pipe, parts).load()
            except (EOFError, pickle.UnpicklingError) as error:  # it did not come to the end
                code = _wait(pid)
                ended = True
                raise ModelUnavailable(_how_it_died(code)) from error
    finally:
        if not ended:
            _kill(os.kill, pid)  # it may not have a session of its own yet
        _kill(os.killpg, pid)
        if not ended:
            _wait(pid)


def _await(pipe: BinaryIO) -> None:
    """Return when there is something to read, or its end.

    A signal that comes just before a wait does not interrupt it, and its handler has to wait: not for long.
    """
    poll = select.poll()
    poll.register(pipe)
    while not poll.poll(500):
        pass


def _close_in_forks(descriptor: int) -> None:
    """Have processes that this one forks close it: they would hide the end of this one from the parent."""
    descriptors = [descriptor]

    def close() -> None:
        while descriptors:  # theirs have nothing to close
            os.close(descriptors.pop())

    os.register_at_fork(after_in_child=close)


def _end_with(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends, whatever native code it is in."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before that
        os._exit(1)


def _outcome(work: Callable[[], Any]) -> tuple[Any, Exception | None]:
    """What `work` returns, or what it raises."""
    try:
        return work(), None
    except Exception as error:  # whatever it is, the parent raises it
        where = f"{_NAME} raised it:\n{''.join(traceback.format_exception(error))}"
        if not isinstance(error, SkdeployError):
            error.add_note(where)
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # an exception of the pipeline's modules
            return None, RuntimeError(where)
        return None, error


def _tell(writing: int, outcome: Any, parts: list[Any]) -> None:
    # Once it is heard this process may be killed.
    sys.stdout.flush()
    sys.stderr.flush()
    with os.fdopen(writing, "wb", closefd=False) as pipe:
        _Pickler(pipe, parts).dump(outcome)


class _Pickler(pickle.Pickler):
    """Writes the place of a part in place of the part."""

    def __init__(self, file: BinaryIO, parts: list[Any]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._places = {id(part): place for place, part in enumerate(parts)}

    def persistent_id(self, obj: Any) -> int | None:
        return self._places.get(id(obj))


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, parts: list[Any]) -> None:
        super().__init__(file)
        self._parts = parts

    def persistent_load(self, pid: Any) -> Any:
        return self._parts[pid]


def _kill(kill: Callable[[int, int], None], pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS forbids what is ending
        kill(pid, signal.SIGKILL)


def _wait(pid: int) -> int | None:
    """The child's exit code, or the signal that ended it with a minus; None if another call had it."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


def _how_it_died(code: int | None) -> str:
    if code is None or code >= 0:
        return f"{_NAME} ended before it had told the outcome (exit code {code}): the log above may say why."
    name = signal.Signals(-code).name
    if name == "SIGKILL":
        return (
            f"{_NAME} was killed by {name}, as the kernel does where memory does not suffice: give the "
            "service more memory, or serve a smaller model."
        )
    return (
        f"{_NAME} was killed by {name}: native code of the pipeline, or of a library, failed while it "
        "predicted. Load the model with skdeploy.load in a process of its own to find out where."
    )
