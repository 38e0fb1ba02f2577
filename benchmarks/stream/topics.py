"""The flights of 2013 as events in topics, and how many a topic has."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import cycle, islice

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.processes import BenchmarkError
from examples.flights import data

PARTITIONS = 3
# What differs from flight to flight is as many as these; more events are the same flights again.
_FLIGHTS = 100_000
_SECONDS_TO_BE_THERE = 30


def bodies(count: int) -> Iterator[bytes]:
    """So many events, each a flight as JSON with its id."""
    flights = data.flights_table().head(min(count, _FLIGHTS)).drop(columns=[data.EVENT_TIME, data.ACTUAL])
    records = json.loads(flights.rename(columns={data.KEY: "id"}).to_json(orient="records"))
    return islice(cycle([json.dumps(record).encode() for record in records]), count)


def make(bootstrap: str, name: str) -> None:
    """Make a topic, and wait until it can be written: at first it has no leader."""
    # It is kept until the answer is there: without it nobody would get one.
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result()
    watched, deadline = Watched(bootstrap, name), time.monotonic() + _SECONDS_TO_BE_THERE
    try:
        while not _is_there(watched):
            if time.monotonic() > deadline:
                raise BenchmarkError(f"the topic {name} is not there")
            time.sleep(0.1)
    finally:
        watched.close()


def _is_there(watched: Watched) -> bool:
    try:
        return watched.count() == 0
    except KafkaException:
        return False


def forget(bootstrap: str, name: str) -> None:
    """Delete a topic: its events need memory and disk."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.delete_topics([name])[name].result()


def load(bootstrap: str, name: str, count: int) -> None:
    """Make a topic with so many events, with keys, as they come."""
    make(bootstrap, name)
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "acks": "all"})
    failed: list[KafkaError] = []

    def note(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    headers: list[tuple[str, str | bytes | None]] = [("source", b"flights")]
    for number, body in enumerate(bodies(count)):
        while True:
            try:
                producer.produce(name, body, b"%d" % number, headers=headers, on_delivery=note)
            except BufferError:
                producer.poll(0.1)
            else:
                break
    if producer.flush(120) or failed:
        raise BenchmarkError(f"the broker has not taken the events: {failed[:1]}")


class Watched:
    """How many events stand in a topic."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self._consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "watched", "log_level": 0})
        self._places = [TopicPartition(name, partition) for partition in range(PARTITIONS)]

    def count(self) -> int:
        """Now; the markers of transactions count, too."""
        ends = [self._consumer.get_watermark_offsets(place, timeout=10) for place in self._places]
        return sum(end[1] for end in ends if end is not None)

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()
