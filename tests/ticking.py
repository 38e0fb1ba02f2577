"""How long other threads wait while something runs."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable

_TICK = 0.001
# A pause of which nobody needs to know whether it was the machine's.
_SHORT = 0.05


def longest_pause(function: Callable[[], object]) -> float:
    """Seconds by which a thread that wakes every millisecond was late at most while `function` ran.

    The least of up to three runs: a busy machine delays a thread as well, but not each time.
    """
    least = _once(function)
    for _ in range(2):
        if least > _SHORT:
            least = min(least, _once(function))
    return least


def _once(function: Callable[[], object]) -> float:
    # As the service has it: what was there before is not looked at by every garbage collection.
    gc.collect()
    gc.freeze()
    over = threading.Event()
    late = 0.0

    def tick() -> None:
        nonlocal late
        last = time.monotonic()
        while not over.is_set():
            time.sleep(_TICK)
            now = time.monotonic()
            late = max(late, now - last - _TICK)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        function()
    finally:
        over.set()
        thread.join()
        gc.unfreeze()
    return late
