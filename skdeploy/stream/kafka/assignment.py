"""Which partitions are ours, and how far each is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from confluent_kafka import TopicPartition

from skdeploy.stream.events import Event

Partition = tuple[str, int]


class Assignment:
    """The partitions of this consumer.

    changes     grows with every change
    owned       partition -> the change that brought it: one that went and came back is another one
    committed   partition -> where its reader would begin again, as far as we know
    finished    partition -> the offset behind what was produced and is not committed
    """

    def __init__(self) -> None:
        self.changes = 0
        self.owned: dict[Partition, int] = {}
        self.committed: dict[Partition, int] = {}
        self.finished: dict[Partition, int] = {}

    def add(self, partitions: Iterable[Partition]) -> None:
        """They are ours now."""
        self.changes += 1
        for one in partitions:
            self.owned[one] = self.changes
            self.committed.pop(one, None)
            self.finished.pop(one, None)

    def remove(self, partitions: Iterable[Partition]) -> None:
        """They are another's."""
        self.changes += 1
        for one in partitions:
            self.owned.pop(one, None)
            self.committed.pop(one, None)
            self.finished.pop(one, None)

    def receive(self, events: Sequence[Event]) -> None:
        """The first event of a partition is where its reader would begin again."""
        first = {event.position[:2]: event.position.number for event in reversed(events)}
        for (topic, partition), offset in first.items():
            self.committed.setdefault((topic, int(partition)), int(offset))

    def finish(self, events: Sequence[Event], owned: Mapping[Partition, int]) -> None:
        """All of `events` is produced; `owned` is how things were when they were read."""
        last = {event.position[:2]: event.position.number for event in events}
        for (topic, partition), offset in last.items():
            one = topic, int(partition)
            if one in self.owned and self.owned[one] == owned.get(one):
                self.finished[one] = int(offset) + 1

    def offsets(self) -> list[TopicPartition]:
        """What is finished, to be committed."""
        return [TopicPartition(*one, offset) for one, offset in self.finished.items()]

    def commit(self, offsets: Iterable[TopicPartition]) -> None:
        """They are committed."""
        for one in offsets:
            partition = (one.topic, one.partition)
            if partition in self.owned:
                self.committed[partition] = one.offset
            if self.finished.get(partition) == one.offset:
                del self.finished[partition]

    def go_back(self) -> list[TopicPartition]:
        """Forget what is finished; where reading begins again."""
        self.finished.clear()
        return [TopicPartition(*one, offset) for one, offset in self.committed.items()]
