"""Where events go: a topic of Kafka, or a stream of Kinesis. Each has `send` and `close`, and counts."""

from __future__ import annotations

import random
import time
from typing import Any, Protocol

from examples.flights.events import FlightEvent
from skdeploy.stream.kinesis.putting import MOST_BYTES, MOST_RECORDS

_TRIES = 10
_FLUSH_SECONDS = 30


class SendingFailed(Exception):
    """The broker cannot be reached or refuses; it says which and what."""


class Sender(Protocol):
    """Takes events, and has them acknowledged.

    acknowledged   events that the broker has said it keeps
    """

    acknowledged: int

    def send(self, event: FlightEvent, moment: int | None) -> None:
        """Send it sooner or later, `moment` (milliseconds since 1970 UTC; None: now) being its time."""

    def flush(self) -> None:
        """Wait until everything is acknowledged; SendingFailed if something is not."""


class KafkaSender:
    """To a topic, with an idempotent producer: what is sent is there once, in order within a partition."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        from confluent_kafka import KafkaException, Producer

        self.acknowledged = 0
        self._topic = topic
        self._failure = ""
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "client.id": "flights",
                "enable.idempotence": True,
                "linger.ms": 5,
                # What fails is said in our own words.
                "log_level": 0,
            }
        )
        try:
            self._producer.list_topics(topic, timeout=5)
        except KafkaException as error:
            raise SendingFailed(f"Kafka at {bootstrap}: {error.args[0].str()}.") from None

    def send(self, event: FlightEvent, moment: int | None) -> None:
        """Queue it; waits while the queue is full. Raises SendingFailed once an event has failed."""
        while True:
            try:
                # A timestamp of 0 is now.
                self._producer.produce(
                    self._topic, event.value, event.key, on_delivery=self._delivered, timestamp=moment or 0
                )
            except BufferError:
                self._producer.poll(0.1)
                continue
            self._producer.poll(0)
            self._require_success()
            return

    def flush(self) -> None:
        """As `Sender` says."""
        left = self._producer.flush(_FLUSH_SECONDS)
        self._require_success()
        if left:
            raise SendingFailed(f"{left} events were not acknowledged within {_FLUSH_SECONDS} seconds.")

    def _delivered(self, error: Any, _message: Any) -> None:
        if error is None:
            self.acknowledged += 1
        else:
            self._failure = self._failure or f"The topic {self._topic}: {error.str()}."

    def _require_success(self) -> None:
        if self._failure:
            raise SendingFailed(self._failure)


class KinesisSender:
    """To a stream, by PutRecords; records that a call refuses are sent again, later and later.

    client   boto3's, for Kinesis
    linger   seconds that an event waits for others, at most, if events keep coming
    wait     seconds before what was refused is sent again; twice as long every time, 5 at most
    """

    def __init__(self, client: Any, stream: str, linger: float = 0.1, wait: float = 0.05) -> None:
        self.acknowledged = 0
        self._client = client
        self._stream = stream
        self._linger = linger
        self._wait = wait
        self._batch: list[dict[str, Any]] = []
        self._bytes = 0
        self._oldest = 0.0

    def send(self, event: FlightEvent, moment: int | None) -> None:  # noqa: ARG002 (Kinesis says when)
        """Add it to a batch, which goes when it is full or old."""
        size = len(event.key) + len(event.value)
        if len(self._batch) == MOST_RECORDS or self._bytes + size > MOST_BYTES:
            self.flush()
        if not self._batch:
            self._oldest = time.monotonic()
        self._batch.append({"Data": event.value, "PartitionKey": event.key.decode()})
        self._bytes += size
        if time.monotonic() - self._oldest > self._linger:
            self.flush()

    def flush(self) -> None:
        """As `Sender` says."""
        batch, self._batch, self._bytes = self._batch, [], 0
        tried = 0
        while batch:
            if tried:
                time.sleep(random.uniform(0.5, 1) * min(5, self._wait * 2**tried))  # noqa: S311 (no secret)
            refused, why = self._put(batch)
            # A stream that takes a part of each call is slow, not shut.
            tried = tried + 1 if len(refused) == len(batch) else 1
            batch = refused
            if tried == _TRIES:
                raise SendingFailed(f"The stream {self._stream}: {len(batch)} events were refused: {why}.")

    def _put(self, batch: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
        """The records that were refused, and why."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            answers = self._client.put_records(StreamName=self._stream, Records=batch)["Records"]
        except (BotoCoreError, ClientError) as error:
            raise SendingFailed(f"The stream {self._stream}: {error}") from None
        pairs = list(zip(batch, answers, strict=True))
        refused = [(record, answer) for record, answer in pairs if answer.get("ErrorCode")]
        self.acknowledged += len(batch) - len(refused)
        return [record for record, _ in refused], refused[0][1]["ErrorCode"] if refused else ""
