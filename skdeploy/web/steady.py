"""GRACEFUL_TIMEOUT, measured by a clock that does not jump."""

from __future__ import annotations

from time import monotonic, sleep

from gunicorn import arbiter


class SteadyTime:
    """What gunicorn's main process uses of the module `time`, without the wall clock."""

    time = staticmethod(monotonic)
    monotonic = staticmethod(monotonic)
    sleep = staticmethod(sleep)


def measure_steadily() -> None:
    """Let gunicorn's main process wait for its workers by the monotonic clock.

    It asks the wall clock when the time for a graceful end is over: were that set ahead in the
    meantime, workers would be killed with their requests.
    """
    arbiter.time = SteadyTime
