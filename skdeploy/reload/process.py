"""The source poller's process: a child of the service's main process, whose memory it shares."""

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

_NAME = "The source poller's process"
# Seconds before a poller that died is started again: the model may have killed it.
_PAUSE = 5.0


def own_folder() -> str:
    """A temporary folder of this service's own; in memory if no disk can be written to."""
    try:
        return tempfile.mkdtemp(prefix="skdeploy-")
    except OSError:
        return tempfile.mkdtemp(prefix="skdeploy-", dir="/dev/shm")


def end(pids: list[int]) -> None:
    """End what `start` started; the poller itself ends when its parent has."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def start(poll: Callable[[Callable[[], bool]], None], close: Sequence[Any] = ()) -> int:
    """Fork a process that runs `poll` for as long as this one lives; its process id.

    poll    called with a function that says whether it should go on
    close   sockets of the parent's, which must not stay open when it has ended

    A poller that dies, as a model can make it, is started again: the forked process only supervises.
    """
    parent = os.getpid()

    def supervise() -> None:
        for one in close:
            os.close(one.fileno())
        _supervise(parent, poll)

    pid = fork(supervise, _NAME)
    _log.info("The source poller's process is %d", pid)
    return pid


def _supervise(parent: int, poll: Callable[[Callable[[], bool]], None]) -> None:
    me = os.getpid()
    while os.getppid() == parent:
        pid = fork(lambda: poll(lambda: os.getppid() == me), _NAME)
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if os.getppid() != parent:
                return
            time.sleep(0.2)
        if os.getppid() == parent:
            _log.error("The source poller died, and is started again in %d seconds", _PAUSE)
            time.sleep(_PAUSE)
