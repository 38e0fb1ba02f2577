"""The command line of `streaming/consume_kinesis.py`."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence

from skdeploy import command_line, source
from skdeploy.config import KinesisConsumerSettings
from skdeploy.model import Model
from skdeploy.stream.kinesis.checkpoints import Checkpoints
from skdeploy.stream.kinesis.client import connect
from skdeploy.stream.kinesis.consumption import Consumption
from skdeploy.stream.kinesis.metrics import Metrics
from skdeploy.stream.kinesis.sending import Sender
from skdeploy.stream.opening import MEANINGS as SHARED_MEANINGS
from skdeploy.stream.opening import processor_of, run_consumer
from skdeploy.stream.pages import pages
from skdeploy.stream.stopping import Stop

_log = logging.getLogger(__name__)

MEANINGS = {
    0: "ended by SIGTERM or SIGINT, and all that was begun has its checkpoint",
    1: "cannot go on: another consumer took over, AWS refuses for good, or the model fails",
    **SHARED_MEANINGS,
}
_FLAGS = {
    "stream": ("SKDEPLOY_INPUT_STREAM", "the stream of events"),
    "output": ("SKDEPLOY_OUTPUT_STREAM", "the stream of predictions"),
    "dead_letters": ("SKDEPLOY_DEAD_LETTER_STREAM", "the stream of dead letters"),
    "table": ("SKDEPLOY_CHECKPOINT_TABLE", "the DynamoDB table of checkpoints, made if it is missing"),
}


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Consume until SIGTERM; the exit code."""
    options = vars(_parser().parse_args(argv))
    given = {variable: options[flag] for flag, (variable, _) in _FLAGS.items() if options[flag]}
    if options["start"]:
        given["SKDEPLOY_START"] = options["start"]

    return run_consumer(lambda: KinesisConsumerSettings.from_env({**environ, **given}), consume)


def consume(consumer: KinesisConsumerSettings, stop: Stop) -> None:
    """Load the model, wait for the lease, and consume until `stop` is set.

    Raises SettingsError, ModelUnavailable, StreamError or PredictionFailed.
    """
    consumer.refuse_watching("a Kinesis consumer keeps the model that it starts with: restart it for another")
    model = source.load_from_settings(consumer)
    processor = processor_of(model, consumer)
    metrics = Metrics(consumer.drift_window)
    metrics.serves(model)
    kinesis = connect("kinesis")
    sender = Sender(kinesis, processor, consumer.output_stream, consumer.dead_letter_stream)
    checkpoints = Checkpoints(
        connect("dynamodb"),
        consumer.checkpoint_table,
        processor.deployment,
        consumer.input_stream,
        seconds=consumer.lease_seconds,
        stop=stop,
    )

    def not_ready() -> str | None:
        # Who waits for another's lease is ready: a rollout would wait for it for ever.
        return "stopping" if stop.is_set() else None

    with pages(consumer.bind_address, consumer.metrics_port, metrics.registry, not_ready):
        checkpoints.make_table()
        if checkpoints.acquire():
            metrics.has_lease()
            _say(model, consumer)
            latest = consumer.start == "latest"
            stream = consumer.input_stream
            Consumption(kinesis, stream, processor, sender, checkpoints, metrics, stop, latest=latest).run()
            checkpoints.release()


def _say(model: Model, consumer: KinesisConsumerSettings) -> None:
    passport = model.passport
    _log.info(
        "%s %s: %s -> %s and %s, checkpoints in %s", passport.name, passport.version, consumer.input_stream,
        consumer.output_stream, consumer.dead_letter_stream, consumer.checkpoint_table,
    )  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(
        "python -m streaming.consume_kinesis",
        "Score the events of a Kinesis stream. Settings are environment variables: "
        "streaming/README.md names them; a flag comes before its variable.",
        MEANINGS,
    )
    for flag, (variable, meaning) in _FLAGS.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", metavar="NAME", help=f"{meaning} ({variable})")
    parser.add_argument(
        "--from",
        dest="start",
        choices=("earliest", "latest"),
        help="where shards without a checkpoint begin (SKDEPLOY_START)",
    )
    return parser
