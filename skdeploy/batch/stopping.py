"""SIGTERM and SIGINT, as an event."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from skdeploy import signals


@contextmanager
def told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; a second one ends the process at once."""
    stop = threading.Event()
    with signals.told_to_stop(stop.set):
        yield stop
