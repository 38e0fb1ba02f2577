"""Sizes that a topic refuses, as its answers show."""

from __future__ import annotations

import logging

from skdeploy.stream.kafka.messages import Outgoing, size_of

_log = logging.getLogger(__name__)

# By how much less is tried.
_STEP = 4


class Sizes:
    """How many bytes a topic takes together, and in one message.

    largest   the bytes of a batch until a topic refuses one
    cut       the topic of messages that can be made smaller

    A topic refuses a batch as a whole, and librdkafka does not divide it. So the next ones are made
    smaller, until the message at fault stands alone.

    lessons   grows when something was learned: what was refused will be sent otherwise
    """

    def __init__(self, largest: int, *, cut: str) -> None:
        self.lessons = 0
        self._largest = largest
        self._cut = cut
        self._together: dict[str, int] = {}
        self._alone: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._only: tuple[str, int] | None = None
        self._refused: set[str] = set()
        # Whether something is on its way that was sent under another limit.
        self._stale = False

    def is_watched(self, topic: str) -> bool:
        """Whether the topic has refused a size yet."""
        return topic in self._together

    def most(self, topic: str) -> int:
        """The bytes that a message of the topic may have."""
        return self._alone.get(topic, self._largest)

    def has_room(self, topic: str, message: Outgoing) -> bool:
        """Whether it can be in one batch with what is not acknowledged yet."""
        waiting = self._waiting.get(topic, 0)
        return not self._stale and (not waiting or waiting + size_of(message) <= self._together[topic])

    def add(self, topic: str, message: Outgoing) -> bool:
        """It is in the producer's hands; whether it is to be waited for before the next one."""
        size = size_of(message)
        self._waiting[topic] = self._waiting.get(topic, 0) + size
        if size > self._together[topic]:
            self._only = topic, size
        return self._only is not None

    def drained(self) -> None:
        """Nothing is on its way."""
        self._waiting.clear()
        self._only, self._stale = None, False

    def refused(self, topic: str) -> None:
        """A batch for the topic was too large."""
        self._refused.add(topic)

    def learn(self) -> None:
        """Before the events are taken again."""
        topics, self._refused = self._refused, set()
        if not topics:
            # An aborted transaction may still say what it was aborted for: that is learned then.
            return
        if not self._stale:
            for topic in topics:
                self._shrink(topic)
        self.lessons += 1
        self._waiting.clear()
        self._only, self._stale = None, True

    def _shrink(self, topic: str) -> None:
        if self._only is not None and self._only[0] == topic:
            size = self._only[1]
            self._alone[topic] = size // _STEP if topic == self._cut else size - 1
            _log.warning("%s takes no message of %d bytes", topic, size)
            return
        together = self._together.get(topic, self._largest)
        self._together[topic] = together // _STEP
        _log.warning("%s takes no batch of %d bytes: smaller ones are tried", topic, together)
