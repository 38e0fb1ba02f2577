"""The command line of `streaming/produce.py`: the flights as events, at a rate, to Kafka or Kinesis."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from examples.flights import data
from examples.flights.events import FlightEvent, events
from examples.flights.senders import KafkaSender, KinesisSender, Sender, SendingFailed
from skdeploy.signals import told_to_stop

# Sleeps are longer than what they wait for: some events go together, on time as a whole.
_SHORTEST_SLEEP = 0.002
_ENDLESS = 2**62


@dataclass
class Sent:
    """What was sent: how many events, how many of them bad by kind, and how long it took, seconds."""

    events: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Send events; a summary goes to standard output, progress to a terminal. The exit code.

    0   all were acknowledged, also if it was told to stop
    1   the broker cannot be reached, or refuses
    2   the arguments are wrong
    """
    options = _options(argv, environ)
    try:
        table = data.flights_table()
    except ModuleNotFoundError as error:
        print(f"Nothing is sent: {error}", file=sys.stderr)
        return 1
    count = len(table) if options.count is None else options.count or _ENDLESS
    stream = events(table, count, options.bad, options.seed)
    sent, why = Sent(), ""
    sender: Sender | None = None
    stop = threading.Event()
    with told_to_stop(stop.set):
        try:
            sender = _sender(options)
            with _progress(options.count if count == _ENDLESS else count) as progress:
                send(stream, sender, options.rate, options.event_time == "flight", stop, sent, progress)
        except SendingFailed as error:
            why = str(error)
    print(json.dumps(summary(sent, sender.acknowledged if sender else 0, options.target)))
    if why:
        print(f"Not all was sent: {why}", file=sys.stderr)
    return 1 if why else 0


def send(
    stream: Iterator[FlightEvent],
    sender: Sender,
    rate: float,
    scheduled: bool,
    stop: threading.Event,
    sent: Sent,
    progress: Callable[[int], object],
) -> None:
    """Send the events and wait for their acknowledgement; `sent` counts them.

    rate        events per second; 0: as fast as they are taken
    scheduled   their time is the flight's departure, not now
    """
    began = time.monotonic()
    try:
        for event in stream:
            if rate:
                _wait_until(began + sent.events / rate, stop)
            if stop.is_set():
                break
            sender.send(event, event.scheduled if scheduled else None)
            sent.events += 1
            if event.bad:
                sent.bad[event.bad] += 1
            progress(1)
        sender.flush()
    finally:
        sent.seconds = time.monotonic() - began


def _wait_until(due: float, stop: threading.Event) -> None:
    while (wait := due - time.monotonic()) > _SHORTEST_SLEEP and not stop.is_set():
        time.sleep(min(wait, 0.1))


def summary(sent: Sent, acknowledged: int, target: str) -> dict[str, Any]:
    """What the last line says."""
    return {
        "target": target,
        "events": sent.events,
        "acknowledged": acknowledged,
        "bad": dict(sorted(sent.bad.items())),
        "seconds": round(sent.seconds, 3),
        "events_per_second": round(sent.events / sent.seconds, 1) if sent.seconds else 0.0,
    }


@contextlib.contextmanager
def _progress(count: int) -> Iterator[Callable[[int], object]]:
    """A bar on a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(total=count or None, unit=" events", unit_scale=True, dynamic_ncols=True) as bar:
        yield bar.update


def _sender(options: argparse.Namespace) -> Sender:
    if options.topic:
        return KafkaSender(options.bootstrap, options.topic)
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        return KinesisSender(boto3.client("kinesis", endpoint_url=options.endpoint_url), options.stream)
    except BotoCoreError as error:
        raise SendingFailed(f"Kinesis: {error}") from None


def _options(argv: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    parser = _parser(environ.get("SKDEPLOY_KAFKA_BOOTSTRAP") or "localhost:9092")
    options = parser.parse_args(argv)
    if options.stream and options.event_time == "flight":
        parser.error("--event-time flight needs --topic: Kinesis itself says when a record came")
    options.target = f"topic {options.topic}" if options.topic else f"stream {options.stream}"
    return options


def _parser(bootstrap: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m streaming.produce",
        description="Send the flights of 2013 as events, JSON records with an id, which is their key, too.",
    )
    add = parser.add_argument
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--topic", help="a topic of Kafka")
    target.add_argument(
        "--stream", help="a stream of Kinesis; AWS's own variables say where, and who you are"
    )
    add("--bootstrap", default=bootstrap, help="Kafka's brokers (SKDEPLOY_KAFKA_BOOTSTRAP, %(default)s)")
    add("--endpoint-url", metavar="URL", help="Kinesis, where it is not AWS's")
    add("--rate", type=_positive, default=0.0, metavar="N", help="events per second (as fast as they go)")
    add("--count", type=_count, metavar="N", help="events (all flights once); 0: until it is told to stop")
    add("--bad", type=_share, default=0.0, metavar="SHARE", help="the share of bad events (0)")
    add("--seed", type=int, default=0, help="which events are bad, and how (0)")
    add(
        "--event-time", choices=("now", "flight"), default="now",
        help="the events' time: when they are sent, or the flight's hour of departure (now)",
    )  # fmt: skip
    return parser


def _positive(text: str) -> float:
    if not (number := float(text)) > 0:
        raise argparse.ArgumentTypeError("a number above 0")
    return number


def _count(text: str) -> int:
    if (number := int(text)) < 0:
        raise argparse.ArgumentTypeError("a whole number, 0 or more")
    return number


def _share(text: str) -> float:
    if not 0 <= (number := float(text)) <= 1:
        raise argparse.ArgumentTypeError("a share from 0 to 1, such as 0.01")
    return number
