"""Topics of a broker for tests: events put in, predictions and dead letters counted, consumers that run."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, Message, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from examples.servers.kafka import Broker
from skdeploy.config import DECLARED, KafkaSettings
from skdeploy.stream.kafka.command import consume
from skdeploy.stream.stopping import Stop
from tests.live import ROOT, wait_until

Headers = list[tuple[str, Any]]
QUICK = ROOT / "tests" / "stream" / "quick.properties"


class Sent(NamedTuple):
    """An event to send."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers | None = None
    timestamp: int = 0


def record(age: int, **more: Any) -> bytes:
    """A record of the tests' small models."""
    return json.dumps({"size": 11.5, "kind": "elm", "age": age, **more}).encode()


def create(broker: Broker, *names: str, partitions: int = 3, **settings: str) -> None:
    """Topics of these names."""
    client = AdminClient({"bootstrap.servers": broker.bootstrap})
    for future in client.create_topics(
        [NewTopic(name, partitions, 1, config=settings) for name in names]
    ).values():
        future.result(20)


def send(broker: Broker, topic: str, events: Iterable[bytes | Sent]) -> None:
    """All of them are in the topic when it returns."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "log_level": 0})
    failed = []
    for event in events:
        one = event if isinstance(event, Sent) else Sent(event)
        while True:
            try:
                producer.produce(
                    topic,
                    one.value,
                    one.key,
                    headers=one.headers or [],
                    timestamp=one.timestamp,
                    on_delivery=lambda error, _: failed.append(error) if error else None,
                )
                break
            except BufferError:
                producer.poll(0.1)
    assert producer.flush(30) == 0
    assert not failed


def received(
    broker: Broker, topics: Sequence[str], count: int, seconds: float = 40, more: float = 0.5
) -> dict[str, list[Message]]:
    """What is in the topics, once there are `count` messages in all; and what comes a moment later."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap,
            "group.id": f"reader-{time.monotonic_ns()}",
            "auto.offset.reset": "earliest",
            # The embedded broker takes half of it for a join.
            "session.timeout.ms": 2000,
            "heartbeat.interval.ms": 300,
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    found: dict[str, list[Message]] = {topic: [] for topic in topics}
    consumer.subscribe(list(topics))
    deadline, extra = time.monotonic() + seconds, None
    while time.monotonic() < (extra or deadline):
        for message in consumer.consume(10000, 0.1):
            if message.error() is None:
                found[str(message.topic())].append(message)
        if extra is None and sum(map(len, found.values())) >= count:
            extra = time.monotonic() + more
    consumer.close()
    assert extra is not None, f"{ {topic: len(one) for topic, one in found.items()} }, not {count}"
    return found


def documents(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The values, read."""
    return [json.loads(message.value() or b"") for message in messages]


def ids(messages: Iterable[Message]) -> set[str]:
    """The ids of predictions."""
    return {document["prediction_id"] for document in documents(messages)}


@dataclass
class Running:
    """A consumer in a thread of this process."""

    stop: Stop
    thread: threading.Thread
    errors: list[BaseException] = field(default_factory=list)

    def end(self) -> None:
        """As SIGTERM does."""
        self.stop.set()
        self.thread.join(40)
        assert not self.thread.is_alive()


@contextlib.contextmanager
def consuming(broker: Broker, model: Path, **settings: str) -> Generator[Running]:
    """A consumer that runs; what it raises is raised in the end."""
    environ = environment(broker, model, settings)
    stop = Stop(20)

    def work() -> None:
        try:
            consume(KafkaSettings.from_env(environ), stop)
        except BaseException as error:
            running.errors.append(error)

    running = Running(stop, threading.Thread(target=work))
    running.thread.start()
    try:
        yield running
    finally:
        running.end()
    if running.errors:
        raise running.errors[0]


def environment(broker: Broker, model: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of a consumer that is quick to start and to commit."""
    ours = {
        "SKDEPLOY_MODEL_URI": str(model),
        "SKDEPLOY_ENGINE": "sklearn",
        "SKDEPLOY_KAFKA_BOOTSTRAP": broker.bootstrap,
        "SKDEPLOY_COMMIT_SECONDS": "0.1",
        "SKDEPLOY_METRICS_LISTEN": "0",
        "SKDEPLOY_KAFKA_CONFIG": str(QUICK),
    }
    return {**ours, **settings}


@contextlib.contextmanager
def command(
    folder: Path, arguments: Sequence[str], environ: Mapping[str, str]
) -> Generator[tuple[subprocess.Popen[bytes], Path]]:
    """`python -m streaming.consume`, and its log."""
    log_file = folder / f"consumer-{time.monotonic_ns()}.log"
    inherited = {name: value for name, value in os.environ.items() if name not in DECLARED}
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streaming.consume", *arguments],
            cwd=ROOT,
            env={**inherited, **environ},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process, log_file
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def said(log_file: Path, text: str, seconds: float = 40) -> None:
    """Wait until the log says so."""
    wait_until(lambda: text in log_file.read_text(), f"{text} in {log_file}", seconds)
