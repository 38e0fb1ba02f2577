"""SIGTERM and SIGINT, as something to look at."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from skdeploy import signals
from skdeploy.errors import StreamError


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
                f"What was begun did not end within SKDEPLOY_GRACEFUL_TIMEOUT ({self._patience:g} seconds): "
                "it is not committed, and its events come again."
            )


@contextmanager
def told_to_stop(patience: float) -> Iterator[Stop]:
    """What SIGTERM and SIGINT set; a second one ends the process at once."""
    stop = Stop(patience)
    with signals.told_to_stop(stop.set):
        yield stop
