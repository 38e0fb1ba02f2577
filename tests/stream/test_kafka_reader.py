"""The consumer's side alone, on the embedded broker."""

from __future__ import annotations

import time

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


def test_a_partition_that_was_lost_while_it_was_paused_is_read_when_it_comes_back(broker: Broker) -> None:
    """librdkafka remembers the pause; a broker that dies while the group is kept makes this happen."""
    create(broker, "paused")
    send(broker, "paused", [record(1)] * 90)
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "paused",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 6000,
            "log_level": 0,
        }
    )
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
