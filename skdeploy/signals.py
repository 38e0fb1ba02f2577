"""SIGTERM and SIGINT, the ways in which a process is told to end.

The kernel drops a signal for which process 1, that of a container, has no handler.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

_log = logging.getLogger(__name__)

_ENDING = (signal.SIGINT, signal.SIGTERM)
# The exit code of a batch run that was told to stop: 128 and the number of SIGTERM, as shells have it.
STOPPED = 143


@dataclass(frozen=True)
class _Leave:
    """A handler that ends the process."""

    code: int

    def __call__(self, *_: object) -> None:
        os._exit(self.code)


def leave_when_told(code: int = 0) -> None:
    """Until `told_to_stop`, end with `code` at once.

    For a command to call before its long imports, when nothing has begun.
    """
    for number in _ENDING:
        signal.signal(number, _Leave(code))


@contextmanager
def told_to_stop(tell: Callable[[], None]) -> Iterator[None]:
    """Have `tell` called by the first SIGTERM or SIGINT; a second one ends the process at once."""

    def on_signal(number: int, _frame: object) -> None:
        signal.signal(number, _at_once(number))
        tell()
        _log.warning("Told to stop by %s", signal.Signals(number).name)

    before = {number: signal.signal(number, on_signal) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            # What has run has an exit code of its own.
            signal.signal(number, _at_once(number) if isinstance(handler, _Leave) else handler)


def _at_once(number: int) -> Any:
    """The kernel's own way to end a process does not wait for native code, but spares process 1."""
    return _Leave(128 + number) if os.getpid() == 1 else signal.SIG_DFL
