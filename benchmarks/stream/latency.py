"""From an event to its prediction, at a steady rate: both ends look at one machine's clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from benchmarks.processes import BenchmarkError
from benchmarks.stream.topics import PARTITIONS

_ROOT = Path(__file__).parents[2]
SECONDS = 15
# The first ones meet processes that have just begun.
_WARM_SECONDS = 3
_MOST_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds, at so many events per second."""

    rate: float
    p50: float
    p90: float
    p99: float


def measure(bootstrap: str, events: str, output: str, rate: float) -> Latency:
    """Send events at a rate to a topic with one event, and read their predictions as they come."""
    reader = Consumer({"bootstrap.servers": bootstrap, "group.id": "latency", "enable.auto.commit": False})
    reader.assign([TopicPartition(output, place, OFFSET_BEGINNING) for place in range(PARTITIONS)])
    # Once the event that was there has its prediction, none waits for the consumer's start.
    _read(reader, 1)
    command = [sys.executable, "-m", "benchmarks.stream.pace", bootstrap, events, str(rate), str(SECONDS)]
    with subprocess.Popen(command, cwd=_ROOT, env=os.environ, stdout=subprocess.PIPE, text=True) as sender:
        taken = _read(reader, int(rate * SECONDS))
        said, _ = sender.communicate(timeout=_MOST_SECONDS)
    reader.close()
    if sender.returncode:
        raise BenchmarkError(f"the paced sender ended with {sender.returncode}")
    warm = taken[int(rate * _WARM_SECONDS) :]
    return Latency(float(said), *(float(np.percentile(warm, share)) for share in (50, 90, 99)))


def _read(reader: Consumer, count: int) -> list[float]:
    """For each prediction how many milliseconds its event is old."""
    taken: list[float] = []
    deadline = time.monotonic() + _MOST_SECONDS
    while len(taken) < count:
        message = reader.poll(1)
        if message is not None and message.error() is None:
            taken.append(time.time() * 1000 - message.timestamp()[1])
        elif time.monotonic() > deadline:
            raise BenchmarkError(f"{len(taken)} of {count} predictions came")
    return taken
