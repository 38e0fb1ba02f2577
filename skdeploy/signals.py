"""SIGTERM and SIGINT, the ways in which a process is told to end."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


@contextmanager
def told_to_stop(tell: Callable[[], None]) -> Iterator[None]:
    """Have `tell` called by the first SIGTERM or SIGINT; a second one ends the process at once."""

    def on_signal(number: int, _frame: object) -> None:
        _log.warning("Told to stop by %s", signal.Signals(number).name)
        tell()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
