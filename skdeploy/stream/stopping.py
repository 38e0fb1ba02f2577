"""SIGTERM and SIGINT, as something to look at."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from skdeploy.errors import StreamError

_log = logging.getLogger(__name__)


class Stop:
    """Whether the process was told to end, and how long it may still take.

    patience   seconds from the signal on
    """

    def __init__(self, patience: float = 30.0) -> None:
        self._patience = patience
        self._deadline: float | None = None

    def set(self) -> None:
        """From now on it is told."""
        # No threading.Event: a signal's handler can wait for ever for a lock that its own thread holds.
        if self._deadline is None:
            self._deadline = time.monotonic() + self._patience

    def is_set(self) -> bool:
        """Whether it is told."""
        return self._deadline is not None

    def check(self) -> None:
        """Raises StreamError when the patience is over."""
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise StreamError(
                f"What was begun did not end within GRACEFUL_TIMEOUT ({self._patience:g} seconds): "
                "it is not committed, and its events come again."
            )


@contextmanager
def told_to_stop(patience: float) -> Iterator[Stop]:
    """What SIGTERM and SIGINT set; a second one ends the process at once."""
    stop = Stop(patience)

    def on_signal(number: int, _frame: object) -> None:
        _log.warning("Told to stop by %s", signal.Signals(number).name)
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
