"""Brokers of Kafka's protocol for tests, and what is read from and written to them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from examples.servers.kafka import Broker, embedded_server, kafka_server
from examples.servers.process import ServerNotInstalled

QUIET = {"log_level": 0}


class Read(NamedTuple):
    """An event as a reader sees it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp: int
    position: str

    def header(self, name: str) -> str | None:
        """The header's text; None if there is no such header."""
        found = [value for header, value in self.headers if header == name]
        return found[0].decode() if found and found[0] is not None else None


@contextlib.contextmanager
def running(folder: Path, *, apache: bool = False) -> Iterator[Broker]:
    """A broker; the test is skipped where it is not installed."""
    try:
        with kafka_server(folder) if apache else embedded_server(folder) as broker:
            yield broker
    except ServerNotInstalled as error:
        pytest.skip(str(error))


def make_topics(broker: Broker, *names: str, partitions: int = 2) -> None:
    """Make topics, and wait until they can be used."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap, **QUIET})
    for made in admin.create_topics([NewTopic(name, partitions, 1) for name in names]).values():
        made.result(30)


def write(broker: Broker, topic: str, *events: dict[str, Any]) -> None:
    """Send events, each the arguments of `Producer.produce`, and wait for their acknowledgement."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True, **QUIET})
    for event in events:
        producer.produce(topic, **event)
    assert producer.flush(30) == 0


def read(broker: Broker, *topics: str, seconds: float = 30) -> list[Read]:
    """All events of topics, to the end of every partition, as a reader of committed events sees them."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": "tests-read",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # The end of a partition is told when a fetch is over.
            "fetch.wait.max.ms": 20,
            **QUIET,
        }
    )
    try:
        return list(_to_the_end(consumer, topics, seconds))
    finally:
        consumer.close()


def _to_the_end(consumer: Any, topics: Sequence[str], seconds: float) -> Iterator[Read]:
    deadline = time.monotonic() + seconds
    known = consumer.list_topics(timeout=10).topics
    open_ = {(topic, number) for topic in topics for number in known[topic].partitions}
    consumer.assign([TopicPartition(topic, number, 0) for topic, number in open_])
    while open_:
        assert time.monotonic() < deadline, f"no end of {open_} within {seconds} seconds"
        message = consumer.poll(1)
        if message is None:
            continue
        place = (message.topic(), message.partition())
        if message.error() is None:
            yield Read(
                message.topic(), message.key(), message.value(), message.headers() or [],
                message.timestamp()[1], f"{place[0]}/{place[1]}/{message.offset()}",
            )  # fmt: skip
        elif message.error().code() == KafkaError._PARTITION_EOF:
            open_.discard(place)
        else:
            raise KafkaException(message.error())
