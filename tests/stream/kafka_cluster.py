"""Consumers in processes of their own on a broker: events for them, and what came of these, counted."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import runpy
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from skdeploy.config import DECLARED

PARTITIONS = 3
# What a developer's shell may hold must neither help nor hurt.
# A consumer's own process, forked where all is imported: its start takes what the model takes.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.stream.preloaded"])
# Deaths are noticed soon, and so are newcomers.
QUICK = ("session.timeout.ms=1500", "heartbeat.interval.ms=200", "topic.metadata.refresh.interval.ms=1000")


def make_topics(bootstrap: str, *names: str, **settings: str) -> None:
    """Make topics, and wait until the broker has them."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    made = admin.create_topics([NewTopic(name, PARTITIONS, 1, config=settings) for name in names])
    for future in made.values():
        future.result()


def good(number: int) -> bytes:
    """An event that the small model of the tests predicts."""
    record = {"id": number, "size": number % 17 / 4 + 10, "kind": "ash", "age": number % 8 + 1}
    return json.dumps(record).encode()


def predicted(value: bytes) -> Any:
    """The number and the prediction of what `good` made: they belong together."""
    document = json.loads(value)
    return document["id"], document["prediction"]


class Fleet:
    """Consumers of one deployment, by the names of their instances.

    folder     of their logs and their configuration
    arguments  of each command line
    environ    beside the inherited variables
    config     lines of librdkafka's properties

    `ended` says which ended by themselves, and with what.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        config: Sequence[str] = QUICK,
    ) -> None:
        self._folder = folder
        self._arguments = list(arguments)
        settings = folder / "kafka.properties"
        settings.write_text("\n".join(config) + "\n")
        inherited = {name: value for name, value in os.environ.items() if name not in DECLARED}
        self._environ = (
            inherited
            | {"SKDEPLOY_METRICS_LISTEN": "0", "SKDEPLOY_KAFKA_CONFIG": str(settings)}
            | dict(environ)
        )
        self._running: dict[str, ForkServerProcess] = {}
        self.ended: list[tuple[str, int | None]] = []

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.join()

    def start(self, *names: str, **environ: str) -> None:
        """Start consumers, each with its name as SKDEPLOY_INSTANCE."""
        for name in names:
            whole = self._environ | {"SKDEPLOY_INSTANCE": name} | environ
            process = _FORKS.Process(target=_consume, args=(self._arguments, whole, self.log_file(name)))
            process.start()
            self._running[name] = process

    def kill(self, name: str) -> None:
        """SIGKILL, as the kernel's when memory is short."""
        process = self._running.pop(name)
        process.kill()
        process.join()

    def tend(self) -> None:
        """What a supervisor does: who ended is started again."""
        for name, process in [*self._running.items()]:
            if process.exitcode is not None:
                self.ended.append((name, process.exitcode))
                self.start(name)

    def stop(self, *names: str, seconds: float = 20) -> dict[str, int | None]:
        """SIGTERM to these, or all; their exit codes, None of who does not end."""
        stopped = {name: self._running.pop(name) for name in names or [*self._running]}
        for process in stopped.values():
            process.terminate()
        for process in stopped.values():
            process.join(seconds)
        codes = {name: process.exitcode for name, process in stopped.items()}
        for process in stopped.values():
            process.kill()
            process.join()
        return codes

    def log_file(self, name: str) -> Path:
        """Where it writes."""
        return self._folder / f"{name}.log"

    def logs(self) -> str:
        """The ends of what all have written, for who asks why."""
        return "\n".join(f"{path.name}:\n{path.read_text()[-3000:]}" for path in self._folder.glob("*.log"))


def _consume(arguments: Sequence[str], environ: Mapping[str, str], log_file: Path) -> None:
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = ["streaming/consume.py", *arguments]
    runpy.run_module("streaming.consume", run_name="__main__")


class Sender:
    """Sends events and counts those that the broker has. It rides out what the consumers must."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "linger.ms": 5,
                "message.max.bytes": 2_000_000,
                "log_level": 0,
            }
        )
        self._topic = topic
        self._failed: list[KafkaError] = []
        self.sent = 0

    def send(self, value: bytes, timestamp: int = 0) -> None:
        """The next event; its key is its number. `timestamp` in milliseconds; 0 is now."""
        key, self.sent = b"%d" % self.sent, self.sent + 1
        while True:
            try:
                self._producer.produce(self._topic, value, key, on_delivery=self._note, timestamp=timestamp)
            except BufferError:
                self._producer.poll(0.1)
            else:
                break
        self._producer.poll(0)

    def send_good(self, count: int) -> None:
        """As fast as possible."""
        for _ in range(count):
            self.send(good(self.sent))

    def flush(self) -> None:
        """Wait until the broker has all."""
        left = self._producer.flush(60)
        assert left == 0
        assert self._failed == []

    def _note(self, error: KafkaError | None, _: Message) -> None:
        if error is not None:
            self._failed.append(error)


@contextlib.contextmanager
def steady(sender: Sender, rate: int) -> Iterator[None]:
    """Good events at a rate per second, from a thread, until the context ends; then the broker has all."""
    enough = threading.Event()

    def send() -> None:
        began, first = time.monotonic(), sender.sent
        while not enough.wait(0.02):
            sender.send_good(int((time.monotonic() - began) * rate) - (sender.sent - first))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()
        sender.flush()


@dataclass(frozen=True, slots=True)
class Arrived:
    """What stands in a topic."""

    key: bytes
    value: bytes
    headers: Mapping[str, str | bytes | None]
    timestamp: int


class Reader:
    """Reads a topic from its beginning, and keeps what it has read.

    committed   whether what was aborted, or may still be, is left out
    """

    def __init__(self, bootstrap: str, topic: str, *, committed: bool = True) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": "reader",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed" if committed else "read_uncommitted",
                "log_level": 0,
            }
        )
        self._consumer.assign(
            [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in range(PARTITIONS)]
        )
        self.arrived: list[Arrived] = []
        self.counts: Counter[bytes] = Counter()
        self._places: set[tuple[int | None, int | None]] = set()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def until(self, count: int, seconds: float, meanwhile: Callable[[], object] = lambda: None) -> bool:
        """Read until so many different events are there; False if they are not in time."""
        deadline = time.monotonic() + seconds
        while len(self.counts) < count and time.monotonic() < deadline:
            self._read(0.2)
            meanwhile()
        return len(self.counts) >= count

    def to_the_end(self) -> Reader:
        """Read what is there."""
        places = self._consumer.position(self._consumer.assignment())
        for place in places:
            place.offset = place.offset if place.offset >= 0 else OFFSET_BEGINNING
        # Whose end was seen before is said to end once more.
        self._consumer.assign(places)
        ended: set[int | None] = set()
        deadline = time.monotonic() + 30
        while len(ended) < PARTITIONS:
            assert time.monotonic() < deadline, f"only {ended} end"
            ended |= self._read(0.5)
        return self

    def _read(self, seconds: float) -> set[int | None]:
        """The next messages; which partitions ended."""
        ended = set()
        for message in self._consumer.consume(5000, seconds):
            error = message.error()
            if error is None:
                self._keep(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                ended.add(message.partition())
        return ended

    def _keep(self, message: Message[bytes, bytes]) -> None:
        place = message.partition(), message.offset()
        if place in self._places:  # a position may lag behind what was read of a batch
            return
        self._places.add(place)
        key, headers = message.key() or b"", dict(message.headers() or ())
        self.arrived.append(Arrived(key, message.value() or b"", headers, message.timestamp()[1]))
        self.counts[key] += 1

    @property
    def repeated(self) -> int:
        """How many came again."""
        return len(self.arrived) - len(self.counts)

    @property
    def payloads(self) -> dict[bytes, set[bytes]]:
        """The different values of each event."""
        found: dict[bytes, set[bytes]] = {}
        for one in self.arrived:
            found.setdefault(one.key, set()).add(one.value)
        return found


def report(fault: str, **counted: int | float | str) -> None:
    """A line for the documents: `pytest -rP` shows it."""
    print(f"{fault}: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in counted.items()))
