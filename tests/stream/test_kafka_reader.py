"""The consumer's side alone, on the embedded broker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Consumer

from examples.servers.kafka import Broker
from skdeploy.stream.kafka.brokers import Brokers
from skdeploy.stream.kafka.reader import Reader
from skdeploy.stream.stopping import Stop
from tests.stream.topics import create, record, send


def count(reader: Reader, most: int) -> int:
    """How many events come, until there are so many."""
    found, deadline = 0, time.monotonic() + 15
    while found < most and time.monotonic() < deadline:
        found += len(reader.poll(0.1))
    return found


def opened(broker: Broker, group: str) -> Consumer:
    """As the consumer's own is."""
    return Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
            # The embedded broker takes half of it for a join.
            "session.timeout.ms": 2000,
            "heartbeat.interval.ms": 300,
            "log_level": 0,
        }
    )


def test_a_partition_that_was_lost_while_it_was_paused_is_read_when_it_comes_back(broker: Broker) -> None:
    """librdkafka remembers the pause; a broker that dies while the group is kept makes this happen."""
    create(broker, "paused")
    send(broker, "paused", [record(1)] * 90)
    consumer = opened(broker, "paused")
    reader = Reader(consumer, Brokers(), Stop(), most=1000, on_rebalance=lambda: None)
    reader.subscribe(["paused"])
    assert count(reader, 90) == 90
    began = time.monotonic()

    def is_done(look: float) -> bool:
        """After a second the group is kept by polls of paused partitions; then these go."""
        time.sleep(look)
        if not left and time.monotonic() > began + 2:
            left.append(True)
            consumer.unsubscribe()
        return time.monotonic() > began + 4

    left: list[bool] = []
    reader.wait(is_done)
    assert not reader.assignment.owned
    reader.subscribe(["paused"])
    assert count(reader, 90) == 90
    reader.close()


class Disturbed:
    """A consumer during whose polls something happens."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self.meanwhile: Callable[[], object] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def poll(self, timeout: float) -> Any:
        """A message, and what happens."""
        message = self._consumer.poll(timeout)
        if message is not None:
            self.meanwhile()
        return message


def test_what_is_produced_is_not_read_again_where_a_rebalance_moves_nothing(broker: Broker) -> None:
    """It is in a transaction that is still open: it would be committed twice in it."""
    create(broker, "stays", partitions=1)
    send(broker, "stays", [record(1)] * 30)
    consumer = Disturbed(opened(broker, "stays"))
    reader = Reader(consumer, Brokers(), Stop(), most=10, on_rebalance=lambda: None)  # type: ignore[arg-type]
    reader.subscribe(["stays"])
    found: list[int | str] = []
    deadline = time.monotonic() + 15
    while len(found) < 30 and time.monotonic() < deadline:
        events = reader.poll(0.1)
        reader.assignment.finish(events, dict(reader.assignment.owned))
        if events and not found:
            consumer.meanwhile = lambda: reader.assignment.add(())
        else:
            consumer.meanwhile = lambda: None
        found += [event.position.number for event in events]
    reader.close()
    assert found == [*range(30)]
