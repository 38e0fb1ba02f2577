"""A topic read once more, from where a group is to the end as it was, and how far that group is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from skdeploy.errors import StreamError

# By partition, the offset of what comes next.
Offsets = dict[int, int]
_SILENCE_SECONDS = 30
_TRIES = 60


class Progress:
    """How far groups are in a topic, by partition.

    opened   a consumer of a group; it subscribes to nothing
    """

    def __init__(self, opened: Callable[[str], Consumer], topic: str, partitions: list[int]) -> None:
        self._opened = opened
        self._topic = topic
        self._partitions = partitions
        self._consumers: dict[str, Consumer] = {}
        self._known: dict[str, Offsets] = {}

    def of(self, group: str) -> Offsets:
        """The group's committed offsets, 0 where there is none. Raises StreamError."""
        if group not in self._known:
            consumer = self._consumer(group)
            asked = [TopicPartition(self._topic, number) for number in self._partitions]
            found = patiently(lambda: consumer.committed(asked, timeout=10))
            self._known[group] = {place.partition: max(0, place.offset) for place in found}
        return self._known[group]

    def commit(self, group: str, offsets: Mapping[int, int]) -> None:
        """Say that the group is so far; it never goes back. Raises StreamError."""
        known = self.of(group)
        ahead = {number: offset for number, offset in offsets.items() if offset > known[number]}
        if ahead:
            consumer = self._consumer(group)
            places = [TopicPartition(self._topic, *place) for place in ahead.items()]
            patiently(lambda: consumer.commit(offsets=places, asynchronous=False))
            known |= ahead

    def close(self) -> None:
        """Close the consumers."""
        for consumer in self._consumers.values():
            consumer.close()

    def _consumer(self, group: str) -> Consumer:
        if group not in self._consumers:
            self._consumers[group] = self._opened(group)
        return self._consumers[group]


def partitions_of(consumer: Consumer, topic: str) -> list[int]:
    """The topic's partitions. Raises StreamError if there is no such topic, or no broker."""
    found = patiently(lambda: consumer.list_topics(topic, timeout=5), tries=2).topics[topic]
    if found.error is not None:
        raise StreamError(f"The topic {topic} cannot be read: {found.error.str()}.")
    return sorted(found.partitions)


class Rereading:
    """The messages of a topic from `starts` on, up to `ends` if they are given, else to the end.

    reached   by partition, the offset that comes next; in the end, where each partition ended

    The end is found by reading to it: not every broker of Kafka's protocol can say where it is.
    """

    def __init__(
        self, consumer: Consumer, topic: str, starts: Mapping[int, int], ends: Mapping[int, int] | None = None
    ) -> None:
        self.reached: Offsets = dict(starts)
        self._consumer = consumer
        self._topic = topic
        self._ends = ends

    def __iter__(self) -> Iterator[Any]:
        """Raises StreamError if the brokers refuse, or say nothing."""
        self._consumer.assign([TopicPartition(self._topic, *place) for place in self.reached.items()])
        left = set(self.reached)
        heard = time.monotonic()
        while left:
            message = self._consumer.poll(0.5)
            if message is not None:
                heard = time.monotonic()
                yield from self._taken(message, left)
            elif time.monotonic() - heard > _SILENCE_SECONDS:
                raise StreamError(f"{self._topic}: no broker said anything for {_SILENCE_SECONDS} seconds.")

    def _taken(self, message: Any, left: set[int]) -> Iterator[Any]:
        number, offset, error = message.partition(), message.offset(), message.error()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:
            if not error.retriable():
                raise StreamError(f"The topic {self._topic} cannot be read: {error.str()}.")
            return
        if number not in left:
            return
        end = None if self._ends is None else self._ends[number]
        if error is None and (end is None or offset < end):
            self.reached[number] = offset + 1
            yield message
            if offset + 1 != end:
                return
        # What a transaction leaves at the end is no message, but has an offset.
        self.reached[number] = max(self.reached[number], offset if end is None else end)
        left.discard(number)


def patiently(ask: Callable[[], Any], tries: int = _TRIES) -> Any:
    """What the broker answers, once it can: a group's coordinator may be moving. Raises StreamError."""
    for tried in range(tries):
        try:
            return ask()
        except KafkaException as error:
            reason = error.args[0]
            if tried + 1 == tries or not _passes(reason):
                raise StreamError(f"The brokers cannot be reached, or refuse: {reason.str()}.") from None
        time.sleep(0.25)
    raise AssertionError


def _passes(reason: KafkaError) -> bool:
    return reason.retriable() or reason.code() in (
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._TRANSPORT,
    )
