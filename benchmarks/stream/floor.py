"""A consumer that sends on the bytes that it reads, with no model: what any consumer could reach at best.

python -m benchmarks.stream.floor BOOTSTRAP EVENTS OUTPUT     until SIGTERM

It promises what skdeploy's does: key, headers and timestamp pass through, the producer is idempotent, and
offsets are committed behind what the broker acknowledged.
"""

from __future__ import annotations

import gc
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer

_BATCH = 10_000
_WAIT_SECONDS = 0.05
_COMMIT_SECONDS = 0.5


_CONSUMER = {"auto.offset.reset": "earliest", "enable.auto.commit": False}
_PRODUCER = {"enable.idempotence": True, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000}


def main(bootstrap: str, events: str, output: str) -> None:
    """Send on, until it is asked to end."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    brokers = {"bootstrap.servers": bootstrap}
    consumer = Consumer({**brokers, **_CONSUMER, "group.id": output})
    producer = Producer({**brokers, **_PRODUCER})
    consumer.subscribe([events])
    gc.freeze()
    committed = time.monotonic()
    while not ended:
        messages = consumer.consume(_BATCH, _WAIT_SECONDS)
        for message in messages:
            if (error := message.error()) is not None:
                raise KafkaException(error)
            producer.produce(
                output,
                message.value(),
                message.key(),
                headers=message.headers(),
                timestamp=message.timestamp()[1],
            )
        producer.poll(0)
        if messages and time.monotonic() > committed + _COMMIT_SECONDS:
            producer.flush()
            consumer.commit(asynchronous=False)
            committed = time.monotonic()
    producer.flush()
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
