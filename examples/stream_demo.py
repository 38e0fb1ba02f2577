"""Events in, predictions out: a broker, a producer with bad events, two consumers of one group.

    make stream-demo                               (python -m examples.stream_demo)
    make stream-demo ARGS="--bootstrap host:9092"  with a broker that runs, in topics of its own

Ends by itself after some 20 seconds; Ctrl-C ends it earlier. Every event is counted.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from examples.servers.kafka import embedded_server
from examples.servers.process import Process, ServerError, answers, free_ports
from skdeploy.config import DECLARED

_ROOT = Path(__file__).resolve().parents[1]
_PARTITIONS = 4
# For what was sent to arrive, after the producer has ended.
_PATIENCE_SECONDS = 60


class DemoError(Exception):
    """A step failed, or a count does not add up; it says which."""


@dataclass
class Seen:
    """What came out: ids of predictions, dead letters by reason, seconds from event to prediction."""

    ids: Counter[str] = field(default_factory=Counter)
    letters: Counter[str] = field(default_factory=Counter)
    delays: list[float] = field(default_factory=list)
    latest: str = ""

    @property
    def events(self) -> int:
        """How many events they account for."""
        return self.ids.total() + self.letters.total()


class Interrupted:
    """Whether Ctrl-C or SIGTERM came; a second one ends the demo at once, and what it started."""

    def __init__(self) -> None:
        self._is_set = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def __bool__(self) -> bool:
        return self._is_set

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._is_set:
            raise KeyboardInterrupt
        self._is_set = True


def main() -> None:
    """Run it; the exit code is not 0 if a count does not add up."""
    options = _options()
    try:
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stream-demo-")))
            run(options, folder, Interrupted())
    except KeyboardInterrupt:
        raise SystemExit("The demo was interrupted.") from None
    except (DemoError, ServerError) as error:
        raise SystemExit(f"The demo failed: {error}") from error


def run(options: argparse.Namespace, folder: Path, interrupted: Interrupted) -> None:
    """All of it. Raises DemoError or ServerError."""
    with contextlib.ExitStack() as stack:
        bootstrap = options.bootstrap
        if not bootstrap:
            say("Starting an embedded broker")
            bootstrap = stack.enter_context(embedded_server(folder)).bootstrap
        name = f"demo-{uuid.uuid4().hex[:8]}"
        topics = [f"{name}.flights", f"{name}.predictions", f"{name}.predictions.dead-letters"]
        make_topics(bootstrap, topics)
        say("Starting two consumers of one group")
        stack.enter_context(consumers(bootstrap, topics, f"{name}.group", folder))
        say(f"Producing {options.rate:g} flights a second, {options.bad:.0%} of them bad")
        producer = stack.enter_context(produced(bootstrap, topics[0], options))
        seen = watch(bootstrap, topics[1:], producer, interrupted, options.rate * options.seconds)
        say("What came of it")
        print(about(seen, producer), flush=True)


def say(step: str) -> None:
    """Print a step's heading."""
    print(f"\n--- {step}", flush=True)


def make_topics(bootstrap: str, topics: list[str]) -> None:
    """Raises DemoError if the broker does not."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient
    from confluent_kafka.cimpl import NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    wanted = [NewTopic(topic, num_partitions=_PARTITIONS) for topic in topics]
    try:
        for made in admin.create_topics(wanted, operation_timeout=20).values():
            made.result(30)
    except KafkaException as error:
        raise DemoError(f"{bootstrap} makes no topics: {error.args[0].str()}") from None


@contextlib.contextmanager
def consumers(bootstrap: str, topics: list[str], group: str, folder: Path) -> Iterator[list[Process]]:
    """Two of them, ready; ended in the end."""
    command = [sys.executable, "-m", "streaming.consume", "--topics", topics[0], "--output", topics[1]]
    started = []
    for number, port in enumerate(free_ports(2), 1):
        settings = {"SKDEPLOY_MODEL_URI": str(_ROOT / "model.bin"), "SKDEPLOY_METRICS_LISTEN": str(port)}
        settings |= {
            "SKDEPLOY_GROUP": group,
            "SKDEPLOY_INSTANCE": f"demo-{number}",
            "SKDEPLOY_KAFKA_BOOTSTRAP": bootstrap,
        }
        log_file = folder / f"consumer-{number}.log"

        def is_ready(port: int = port) -> bool:
            return answers(port, "/ready")

        environment = _environment() | settings
        started.append(Process(f"Consumer {number}", command, environment, log_file, is_ready, _ROOT))
    with contextlib.ExitStack() as stack:
        for process in started:
            stack.callback(process.stop)
        with ThreadPoolExecutor(len(started)) as pool:
            list(pool.map(lambda process: process.start(), started))
        yield started


@contextlib.contextmanager
def produced(bootstrap: str, topic: str, options: argparse.Namespace) -> Iterator[subprocess.Popen[str]]:
    """A producer that runs; ended in the end."""
    arguments = ["--topic", topic, "--bootstrap", bootstrap, "--rate", f"{options.rate:g}"]
    arguments += ["--count", f"{options.rate * options.seconds:.0f}", "--bad", f"{options.bad:g}"]
    process = subprocess.Popen(  # noqa: S603 (our own command)
        [sys.executable, "-m", "streaming.produce", *arguments],
        cwd=_ROOT,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def watch(
    bootstrap: str,
    topics: list[str],
    producer: subprocess.Popen[str],
    interrupted: Interrupted,
    expected: float,
) -> Seen:
    """Read predictions and dead letters, and say so every second, until as many came as events went."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "demo", "enable.auto.commit": False, "log_level": 0}
    )
    places = [TopicPartition(topic, number, 0) for topic in topics for number in range(_PARTITIONS)]
    consumer.assign(places)
    seen, before, ended, told = Seen(), 0, 0.0, False
    next_line, last = time.monotonic() + 1, time.monotonic()
    try:
        while True:
            came = [message for message in consumer.consume(1000, 0.2) if message.error() is None]
            for message in came:
                take(seen, message, topics[0])
            now = time.monotonic()
            last = now if came else last
            if now >= next_line:
                print(line(seen, seen.events - before), flush=True)
                before, next_line = seen.events, now + 1
            if interrupted and not told:
                # Once: a second signal would end it before what it sent is acknowledged.
                producer.terminate()
                told = True
            if producer.poll() is not None:
                ended = ended or now
                # An interrupted producer sent fewer: then silence is the end.
                quiet = now - max(ended, last) > 3
                if seen.events >= expected or (interrupted and quiet) or now - ended > _PATIENCE_SECONDS:
                    return seen
    finally:
        consumer.close()


def take(seen: Seen, message: Any, predictions: str) -> None:
    """Count a prediction or a dead letter."""
    if message.topic() != predictions:
        seen.letters[dict(message.headers() or [])["skdeploy-reason"].decode()] += 1
        return
    document = json.loads(message.value())
    seen.ids[document["prediction_id"]] += 1
    seen.delays.append(time.time() - message.timestamp()[1] / 1000)
    seen.latest = f"flight {document['id']}: {document['prediction']:.0f} minutes in the air"


def line(seen: Seen, count: int) -> str:
    """The last second, in a line."""
    delay = f"{statistics.median(seen.delays[-count or -1 :]) * 1000:.0f} ms" if seen.delays else "-"
    letters = ", ".join(f"{number} {reason}" for reason, number in sorted(seen.letters.items()))
    rate = f"{count:>6}/s  {seen.ids.total():>7} predictions  {delay:>7}"
    return f"{rate}  {seen.latest}  [dead: {letters or 'none'}]"


def about(seen: Seen, producer: subprocess.Popen[str]) -> str:
    """The sums. Raises DemoError if one does not add up."""
    out, errors = producer.communicate()
    if producer.returncode:
        raise DemoError(f"streaming.produce ended with {producer.returncode}: {out}{errors}")
    sent = json.loads(out)
    if seen.events != sent["events"] or seen.letters.total() != sum(sent["bad"].values()):
        raise DemoError(f"of {sent['events']} events came {seen.ids.total()} predictions, "
                        f"{seen.letters.total()} dead letters")  # fmt: skip
    if len(seen.ids) != seen.ids.total():
        raise DemoError(f"{seen.ids.total() - len(seen.ids)} predictions came twice")
    letters = ", ".join(f"{reason} {number}" for reason, number in sorted(seen.letters.items()))
    delays = sorted(seen.delays) or [0.0]
    half, slow = (delays[int(len(delays) * share)] * 1000 for share in (0.5, 0.99))
    return (
        f"{sent['events']:,} events in = {seen.ids.total():,} predictions + {seen.letters.total():,} "
        f"dead letters ({letters or 'none'})\n"
        f"no id came twice; {sent['events_per_second']:,.0f} events/s; from event to prediction "
        f"{half:.0f} ms, at the slowest percent {slow:.0f} ms"
    )


def _environment() -> dict[str, str]:
    # Whatever the environment of the demo says, consumers have these settings and no others.
    return {name: value for name, value in os.environ.items() if name not in DECLARED}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.stream_demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--bootstrap", default="", metavar="HOST:PORT", help="a broker that runs (an embedded one)")
    add("--rate", type=float, default=500, help="events per second (%(default)s)")
    add("--seconds", type=float, default=15, help="how long events are sent (%(default)s)")
    add("--bad", type=float, default=0.01, help="the share of bad events (%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
