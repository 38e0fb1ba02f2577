"""Sends events at a steady rate.

python -m benchmarks.stream.pace BOOTSTRAP TOPIC RATE SECONDS
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Producer

from benchmarks.stream.topics import bodies

_STEP_SECONDS = 0.002


def main(bootstrap: str, topic: str, rate: str, seconds: str) -> None:
    """Send; an event's timestamp is when it was handed to the producer."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 1, "acks": "all"})
    count = int(float(rate) * float(seconds))
    began, sent = time.monotonic(), 0
    values = [*bodies(count)]
    began = time.monotonic()
    while sent < count:
        due = min(count, int((time.monotonic() - began) * float(rate)))
        for number in range(sent, due):
            producer.produce(topic, values[number], b"%d" % number)
        sent = max(sent, due)
        producer.poll(0)
        time.sleep(_STEP_SECONDS)
    print(sent / (time.monotonic() - began))
    if producer.flush(60):
        raise SystemExit("The broker has not taken the events.")


if __name__ == "__main__":
    main(*sys.argv[1:])
