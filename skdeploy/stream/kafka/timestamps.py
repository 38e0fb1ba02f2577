"""Event times that a topic refuses, as its answers show."""

from __future__ import annotations

import logging
import time

from skdeploy.stream.events import OURS
from skdeploy.stream.kafka.messages import Outgoing

_log = logging.getLogger(__name__)

# Milliseconds. What Kafka's own default refuses (message.timestamp.after.max.ms).
_HOUR = 3_600_000.0
TIMESTAMP_HEADER = OURS + "timestamp"


class Timestamps:
    """Which distances from now are refused.

    A broker refuses a batch as a whole and does not say for whose sake. So it is the furthest of a
    batch that is taken to be at fault; if the topic still refuses, the furthest of the rest.
    """

    def __init__(self) -> None:
        self._limit = float("inf")
        self._furthest = 0.0

    def refused(self, timestamp: int) -> None:
        """A message of this time was in a batch that the topic refused."""
        self._furthest = max(self._furthest, _distance(timestamp))

    def learn(self) -> None:
        """Before the events are taken again."""
        if self._furthest:
            self._limit = _HOUR if self._furthest > _HOUR < self._limit else self._furthest - 1
            self._furthest = 0.0
            _log.warning(
                "What is further than %.0f s from now is sent on without its time, which the header %s has",
                self._limit / 1000,
                TIMESTAMP_HEADER,
            )

    def apply(self, message: Outgoing) -> Outgoing:
        """The message as the topic takes it."""
        timestamp = message.timestamp
        if not timestamp or _distance(timestamp) <= self._limit:
            return message
        headers = [*message.headers, (TIMESTAMP_HEADER, str(timestamp).encode())]
        return message._replace(headers=headers, timestamp=0)

    @property
    def any(self) -> bool:
        """Whether a time was refused yet."""
        return self._limit != float("inf")


def _distance(timestamp: int) -> float:
    return abs(timestamp - time.time() * 1000)
