"""Polls events; keeps the group while the process is busy; goes back to what is not committed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence, Set
from typing import Any, Protocol

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from skdeploy.errors import StreamError
from skdeploy.stream.events import Event
from skdeploy.stream.kafka.assignment import Assignment, Partition
from skdeploy.stream.kafka.brokers import Brokers
from skdeploy.stream.kafka.messages import event_of
from skdeploy.stream.kafka.worker import Worker, patiently
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)

# Seconds of work after which the group is kept by polls of paused partitions.
_BUSY = 1.0
# Seconds of one look at whether the work is done.
_LOOK = 0.1


class Leaving(Protocol):
    """Called before partitions go: with those, and whether they are lost already."""

    def __call__(self, partitions: set[Partition], *, lost: bool) -> None:
        """Called inside of a poll: it must neither poll nor raise, but for what ends the process."""


class Reader:
    """The consumer's side.

    most       the most events of a poll
    joined     whether the group has let us in
    leaving    what is done before partitions go
    rewinds    grows when events that were polled are read again
    """

    def __init__(
        self,
        consumer: Consumer,
        brokers: Brokers,
        stop: Stop,
        *,
        most: int,
        on_rebalance: Callable[[], None],
    ) -> None:
        self.assignment = Assignment()
        self.joined = False
        self.leaving: Leaving | None = None
        self.rewinds = 0
        self._consumer = consumer
        self._brokers = brokers
        self._stop = stop
        self._most = most
        self._on_rebalance = on_rebalance
        self._paused: set[Partition] = set()

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group."""
        self._consumer.subscribe(
            list(topics),
            on_assign=lambda _, partitions: self._assigned(partitions),
            on_revoke=lambda _, partitions: self._gone(partitions, lost=False),
            on_lost=lambda _, partitions: self._gone(partitions, lost=True),
        )

    def poll(self, timeout: float) -> list[Event]:
        """The events that are there; waits up to `timeout` seconds for a first one."""
        changes, rewinds = self.assignment.changes, self.rewinds
        first = self._consumer.poll(timeout)
        self._brokers.check()
        if first is None:
            return []
        messages = [first]
        if self._most > 1:
            messages += self._consumer.consume(self._most - 1, 0)
        events = self._events(messages)
        self.assignment.receive(events)
        if self.assignment.changes != changes:
            # They were read under another assignment, and part of them may have been put back.
            self._put_back(events, rewound=self.rewinds != rewinds)
            return []
        return events

    def wait(self, done: Callable[[float], bool]) -> None:
        """Call `done(seconds)` until it says so, and keep the group meanwhile.

        Raises StreamError if SIGTERM's time is over.
        """
        busy = time.monotonic() + _BUSY
        try:
            while not done(_LOOK):
                self._stop.check()
                self._brokers.check()
                if time.monotonic() > busy:
                    self._keep_alive()
        finally:
            self._resume()

    def pause_for(self, seconds: float) -> None:
        """Do nothing for so long, or until SIGTERM; the group is kept."""
        end = time.monotonic() + seconds

        def is_over(look: float) -> bool:
            time.sleep(max(0.0, min(look, end - time.monotonic())))
            return time.monotonic() >= end or self._stop.is_set()

        self.wait(is_over)

    def go_back(self, but: Set[Partition] = frozenset()) -> None:
        """Read again from what is committed; but partitions that go need it no more."""
        self.rewinds += 1
        for partition in self.assignment.go_back():
            if (partition.topic, partition.partition) not in but:
                self._seek(partition)

    def commit(self) -> None:
        """Commit what is finished. Raises KafkaException."""
        offsets = self.assignment.offsets()
        if not offsets:
            return
        done = self._consumer.commit(offsets=offsets, asynchronous=False)
        self.assignment.commit([one for one in done if one.error is None])
        for one in done:
            if one.error is not None:
                raise KafkaException(one.error)

    def group(self) -> Any:
        """What a transaction must know of the group."""
        return self._consumer.consumer_group_metadata()

    def lags(self) -> dict[Partition, int]:
        """Partition -> how many events are not committed, as of the last fetch."""
        found = {}
        for one, offset in self.assignment.committed.items():
            marks = self._consumer.get_watermark_offsets(TopicPartition(*one), cached=True)
            if marks is not None and marks[1] >= 0:
                found[one] = max(0, marks[1] - offset)
        return found

    def close(self) -> None:
        """Leave the group, so that others have the partitions at once.

        Raises StreamError if SIGTERM's time is over: a commit under way that has no end keeps it.
        """
        patiently(Worker("closing").submit(self._consumer.close), self._stop)

    def _events(self, messages: Sequence[Any]) -> list[Event]:
        good = [message for message in messages if message.error() is None]
        if len(good) < len(messages):
            for message in messages:
                if (error := message.error()) is not None:
                    self._say(error, message.topic())
        return [*map(event_of, good)]

    def _say(self, error: KafkaError, topic: str | None) -> None:
        if error.fatal():
            raise StreamError(f"The consumer can do no more: {error.str()}")
        if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            self._brokers.say(f"There is no topic {topic}: create it; it is read as soon as it is there")
        elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._brokers.say(f"The broker lets nobody of ours read {topic}: allow READ on it")
        elif error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED:
            self._brokers.say("The broker does not let us into the group: allow READ on it")
        elif error.code() != KafkaError._PARTITION_EOF:
            self._brokers.say(f"The consumer: {error.str()}")

    def _keep_alive(self) -> None:
        """A poll that brings nothing: all that is ours is paused."""
        owned = [TopicPartition(*one) for one in self.assignment.owned if one not in self._paused]
        if owned:
            self._consumer.pause(owned)
            self._paused.update((one.topic, one.partition) for one in owned)
        message = self._consumer.poll(0)
        if message is not None:
            events = self._events([message])
            self.assignment.receive(events)
            for one in events:
                self._seek(
                    TopicPartition(one.position.stream, int(one.position.shard), int(one.position.number))
                )

    def _resume(self) -> None:
        ours = [TopicPartition(*one) for one in self._paused if one in self.assignment.owned]
        self._paused.clear()
        if ours:
            self._consumer.resume(ours)

    def _put_back(self, events: Sequence[Event], *, rewound: bool) -> None:
        """They are read again, and nothing before them is; unless all that is not committed is."""
        first = {event.position[:2]: event.position.number for event in reversed(events)}
        for (topic, partition), offset in first.items():
            one = topic, int(partition)
            if one in self.assignment.owned:
                self._seek(TopicPartition(*one, self.assignment.committed[one] if rewound else int(offset)))

    def _seek(self, partition: TopicPartition) -> None:
        if (partition.topic, partition.partition) not in self.assignment.owned:
            return
        try:
            self._consumer.seek(partition)
        except KafkaException as error:
            # Reading on would skip what is not committed; a process that starts again does not.
            raise StreamError(f"{partition.topic} cannot be read again: {error.args[0].str()}") from None

    def _assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self.joined = True
        self._on_rebalance()
        self.assignment.add((one.topic, one.partition) for one in partitions)
        _log.info("Partitions that came: %s; %d in all", _named(partitions), len(self.assignment.owned))

    def _gone(self, partitions: Sequence[TopicPartition], *, lost: bool) -> None:
        self._on_rebalance()
        gone = {(one.topic, one.partition) for one in partitions}
        try:
            if self.leaving is not None:
                self.leaving(gone, lost=lost)
        finally:
            # A partition that is paused when it goes would come back so. One that is not must not be
            # resumed: it would be read again from where it was when it came.
            if paused := self._paused & gone:
                self._consumer.resume([TopicPartition(*one) for one in paused])
            self.assignment.remove(gone)
            self._paused -= gone
            how = "were lost" if lost else "went"
            _log.info(
                "Partitions that %s: %s; %d in all", how, _named(partitions), len(self.assignment.owned)
            )


def _named(partitions: Sequence[TopicPartition]) -> str:
    by_topic: dict[str, list[int]] = {}
    for one in partitions:
        by_topic.setdefault(one.topic, []).append(one.partition)
    return ", ".join(f"{topic} {sorted(numbers)}" for topic, numbers in by_topic.items()) or "none"
