"""Calls that are made again until they work, or the process must end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from skdeploy.stream.kinesis.client import passes, transport_errors
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")
_FIRST_DELAY, _LONGEST_DELAY = 0.1, 3.0


def until_it_works(call: Callable[[], _Answer], what: str, stop: Stop) -> _Answer:
    """What the call answers in the end. Raises its own error where no trying again would help.

    Raises StreamError once the patience of `stop` is over.
    """
    delay = _FIRST_DELAY
    while True:
        try:
            return call()
        except transport_errors() as error:
            if not passes(error):
                raise
            _log.warning("%s: %s", what, error)
        stop.check()
        time.sleep(delay)
        delay = min(2 * delay, _LONGEST_DELAY)
