"""A consumer and a producer, opened."""

from __future__ import annotations

import re
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer

from skdeploy.errors import SettingsError
from skdeploy.stream.kafka.brokers import Brokers, Quiet
from skdeploy.stream.kafka.properties import Properties


def open_consumer(properties: Properties, brokers: Brokers | None = None) -> Consumer:
    """`brokers` is told of outages. Raises SettingsError if librdkafka does not take a property."""
    consumer: Consumer = _opened(Consumer, properties, brokers, "consumer")
    return consumer


def open_producer(properties: Properties, brokers: Brokers | None = None) -> Producer:
    """`brokers` is told of outages. Raises SettingsError if librdkafka does not take a property."""
    producer: Producer = _opened(Producer, properties, brokers, "producer")
    return producer


def _opened(kind: Any, properties: Properties, brokers: Brokers | None, name: str) -> Any:
    callbacks = brokers.callbacks(name) if brokers else {}
    try:
        return kind({**properties, **callbacks}, logger=Quiet())
    except (KafkaException, ValueError, TypeError) as error:
        # Its message may hold a value, which may be a password.
        match = re.search(r'property: ?"([^"]+)"|property "([^"]+)"', str(error))
        which = f"the property {match[1] or match[2]}" if match else "a property"
        raise SettingsError(
            f"SKDEPLOY_KAFKA_CONFIG: librdkafka's {name} does not take {which}: see its CONFIGURATION.md."
        ) from None
