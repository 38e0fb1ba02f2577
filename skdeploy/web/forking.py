"""A worker that is told to end before it can be told anything."""

from __future__ import annotations

import os
import signal

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def hold_signals() -> None:
    """Let signals to end wait until `release_signals`.

    Until a forked worker has handlers of its own, it has those of gunicorn's main process: they put
    the signal into a queue that the worker never reads, and it would be killed after GRACEFUL_TIMEOUT.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def release_signals() -> None:
    """Let them come, those that waited first."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)


os.register_at_fork(after_in_parent=release_signals)
