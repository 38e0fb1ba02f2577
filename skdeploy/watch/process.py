"""The watcher's process: a child of gunicorn's main process, whose memory it shares."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from skdeploy.forked import fork

_log = logging.getLogger(__name__)

_NAME = "The watcher's process"
# Seconds before a watcher that died is started again: it may have been the model's doing.
_PAUSE = 5.0


def own_folder() -> str:
    """A temporary folder of this service's own; in memory if no disk can be written to."""
    try:
        return tempfile.mkdtemp(prefix="skdeploy-")
    except OSError:
        return tempfile.mkdtemp(prefix="skdeploy-", dir="/dev/shm")


def end(pids: list[int]) -> None:
    """End what `start` started; the watcher itself ends when it sees that."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def start(watch: Callable[[Callable[[], bool]], None], close: Sequence[Any] = ()) -> int:
    """Fork a process that runs `watch` for as long as this one lives; its process id.

    watch   called with a function that says whether it is still wanted
    close   sockets of the parent's, which must not stay open when it has ended

    A watcher that dies, as a model can make it, is started again: what is forked is a process that
    does nothing but that.
    """
    parent = os.getpid()

    def supervise() -> None:
        for one in close:
            os.close(one.fileno())
        _supervise(parent, watch)

    pid = fork(supervise, _NAME)
    _log.info("The watcher's process is %d", pid)
    return pid


def _supervise(parent: int, watch: Callable[[Callable[[], bool]], None]) -> None:
    me = os.getpid()
    while os.getppid() == parent:
        pid = fork(lambda: watch(lambda: os.getppid() == me), _NAME)
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if os.getppid() != parent:
                return
            time.sleep(0.2)
        if os.getppid() == parent:
            _log.error("The watcher died, and is started again in %d seconds", _PAUSE)
            time.sleep(_PAUSE)
