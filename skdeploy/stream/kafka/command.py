"""The command line of `streaming/consume.py`."""

from __future__ import annotations

import argparse
import gc
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from skdeploy import command_line, source
from skdeploy.config import KafkaSettings
from skdeploy.errors import SettingsError
from skdeploy.memory import settle
from skdeploy.model import Model
from skdeploy.stream.kafka import properties
from skdeploy.stream.kafka.brokers import Brokers
from skdeploy.stream.kafka.clients import open_consumer, open_producer
from skdeploy.stream.kafka.consumption import Consumption
from skdeploy.stream.kafka.delivery import AtLeastOnce, Delivery
from skdeploy.stream.kafka.following import Slot, follow, watched
from skdeploy.stream.kafka.metrics import Metrics
from skdeploy.stream.kafka.reader import Reader
from skdeploy.stream.kafka.sender import Sender
from skdeploy.stream.kafka.transactions import ExactlyOnce
from skdeploy.stream.opening import MEANINGS as SHARED_MEANINGS
from skdeploy.stream.opening import processor_of, run_consumer
from skdeploy.stream.pages import pages
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)

MEANINGS = {
    0: "ended by SIGTERM or SIGINT, and all that was begun is committed",
    1: "cannot go on: another consumer has its name, the broker refuses for good, or the model fails",
    **SHARED_MEANINGS,
}
_FLAGS = {
    "topics": "SKDEPLOY_TOPICS",
    "output": "SKDEPLOY_OUTPUT_TOPIC",
    "dead_letters": "SKDEPLOY_DEAD_LETTER_TOPIC",
    "group": "SKDEPLOY_GROUP",
    "bootstrap": "SKDEPLOY_KAFKA_BOOTSTRAP",
}


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Consume until SIGTERM; the exit code."""
    options = vars(_parser().parse_args(argv))
    given = {variable: options[flag] for flag, variable in _FLAGS.items() if options[flag]}
    if options["exactly_once"]:
        given["SKDEPLOY_EXACTLY_ONCE"] = "1"

    return run_consumer(lambda: _settings({**environ, **given}), consume)


def consume(stream: KafkaSettings, stop: Stop) -> None:
    """Load the model, and consume until `stop` is set.

    Raises SettingsError, ModelUnavailable, StreamError or PredictionFailed.
    """
    given = properties.read_properties(stream.kafka_config)
    # The poller is forked from this process.
    model = source.load_from_settings(stream, isolated=bool(stream.watch_seconds))
    for note in model.notes:
        _log.warning("%s: %s", model.passport.name, note)
    # The libraries' many objects live for ever: else collections walk them while events wait.
    settle()
    # A poll makes tens of thousands of tuples, none of them in a cycle.
    gc.set_threshold(200_000, 20, 100)
    metrics = Metrics(stream.drift_window)
    slot = Slot(partial(processor_of, settings=stream), model, metrics.serves)
    with watched(stream, model) as state:
        follow(slot, stream, model, state)
        brokers = Brokers()
        reader = _reader(stream, given, brokers, metrics, stop)

        def not_ready() -> str | None:
            if stop.is_set():
                return "stopping"
            if brokers.are_down:
                return "no broker can be reached"
            return None if reader.joined else "not in the group yet"

        with pages(stream.bind_address, stream.metrics_port, metrics.registry, not_ready):
            opened = _Opened(reader, brokers, metrics, stop, slot)
            _run(opened, stream, given, model)


@dataclass
class _Opened:
    reader: Reader
    brokers: Brokers
    metrics: Metrics
    stop: Stop
    slot: Slot


def _run(opened: _Opened, stream: KafkaSettings, given: Mapping[str, str], model: Model) -> None:
    reader, brokers, stop = opened.reader, opened.brokers, opened.stop
    producer = open_producer(properties.producer_properties(stream, given), brokers)
    limit = properties.largest_message(given)
    sender = Sender(
        producer, reader, output=stream.output_topic, dead_letters=stream.dead_letters, limit=limit
    )
    way = ExactlyOnce if stream.exactly_once else AtLeastOnce
    delivery: Delivery = way(producer, reader, sender, stop)
    _log.info(
        "%s %s from %s: %s -> %s and %s, group %s, %s", model.passport.name, model.passport.version,
        model.origin.uri if model.origin else "memory", ", ".join(stream.topics), stream.output_topic,
        stream.dead_letters, stream.group, "exactly once" if stream.exactly_once else "at least once",
    )  # fmt: skip
    consumption = Consumption(
        reader,
        sender,
        delivery,
        brokers,
        opened.metrics,
        stop,
        processor=opened.slot.current,
        commit_seconds=stream.commit_seconds,
    )
    try:
        delivery.open()
        reader.leaving = delivery.leaving
        reader.subscribe(stream.topics)
        consumption.run()
    except BaseException:
        # What is begun is not committed by leaving the group.
        reader.leaving = None
        raise
    finally:
        reader.close()


def _reader(
    stream: KafkaSettings, given: Mapping[str, str], brokers: Brokers, metrics: Metrics, stop: Stop
) -> Reader:
    consumer = open_consumer(properties.consumer_properties(stream, given), brokers)
    return Reader(consumer, brokers, stop, most=stream.max_poll_records, on_rebalance=metrics.rebalanced)


def _settings(environ: Mapping[str, str]) -> KafkaSettings:
    stream = KafkaSettings.from_env(environ)
    for value, flag, variable in (
        (stream.topics, "--topics", "SKDEPLOY_TOPICS"),
        (stream.output_topic, "--output", "SKDEPLOY_OUTPUT_TOPIC"),
        (stream.group, "--group", "SKDEPLOY_GROUP"),
    ):
        if not value:
            raise SettingsError(f"{variable} is empty: set it, or say {flag}.")
    if stream.output_topic in stream.topics:
        raise SettingsError(f"{stream.output_topic} is read and written: predictions would be scored again.")
    return stream


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(
        "python -m streaming.consume",
        "Score the events of Kafka topics. Settings are environment variables: "
        "streaming/README.md lists them; a flag comes before its variable.",
        MEANINGS,
    )
    parser.add_argument("--topics", metavar="A,B", help="topics of events (SKDEPLOY_TOPICS)")
    parser.add_argument("--output", metavar="TOPIC", help="the topic of predictions (SKDEPLOY_OUTPUT_TOPIC)")
    parser.add_argument(
        "--dead-letters", metavar="TOPIC", help="the topic of dead letters (SKDEPLOY_DEAD_LETTER_TOPIC)"
    )
    parser.add_argument("--group", help="the consumer group (SKDEPLOY_GROUP)")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="brokers (SKDEPLOY_KAFKA_BOOTSTRAP)")
    parser.add_argument("--exactly-once", action="store_true", help="transactions (SKDEPLOY_EXACTLY_ONCE=1)")
    return parser
