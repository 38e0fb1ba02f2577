"""The command line of `streaming/consume_kinesis.py`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence

from skdeploy.errors import ModelUnavailable, PredictionFailed, SettingsError, StreamError
from skdeploy.settings import Settings
from skdeploy.stream.kinesis.checkpoints import Checkpoints
from skdeploy.stream.kinesis.client import connect
from skdeploy.stream.kinesis.consumption import Consumption
from skdeploy.stream.kinesis.opening import open_processor
from skdeploy.stream.kinesis.sending import Sender
from skdeploy.stream.kinesis.settings import ConsumerSettings
from skdeploy.stream.stopping import Stop, told_to_stop

_log = logging.getLogger(__name__)

MEANINGS = {
    0: "ended by SIGTERM or SIGINT, and all that was begun has its checkpoint",
    1: "cannot go on: another consumer took over, AWS refuses for good, or the model fails",
    2: "a setting or an argument is wrong",
    3: "there is no model",
}
_FLAGS = {
    "stream": ("INPUT_STREAM", "the stream of events"),
    "output": ("OUTPUT_STREAM", "the stream of predictions"),
    "dead_letters": ("DEAD_LETTER_STREAM", "the stream of dead letters"),
    "table": ("CHECKPOINT_TABLE", "the DynamoDB table of checkpoints, made if it is missing"),
}


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Consume until SIGTERM; the exit code."""
    options = vars(_parser().parse_args(argv))
    given = {variable: options[flag] for flag, (variable, _) in _FLAGS.items() if options[flag]}
    if options["start"]:
        given["START"] = options["start"]
    try:
        environ = {**environ, **given}
        settings, consumer = Settings.from_env(environ), ConsumerSettings.from_env(environ)
        logging.getLogger().setLevel(settings.log_level.upper())
        with told_to_stop(settings.graceful_timeout) as stop:
            consume(environ, consumer, stop)
    except (SettingsError, ModelUnavailable) as error:
        print(f"The consumer does not start: {error}", file=sys.stderr)
        return 2 if isinstance(error, SettingsError) else 3
    except (StreamError, PredictionFailed) as error:
        _log.error("The consumer ends: %s", error)
        return 1
    return 0


def consume(environ: Mapping[str, str], consumer: ConsumerSettings, stop: Stop) -> None:
    """Load the model, wait for the lease, and consume until `stop` is set.

    Raises SettingsError, ModelUnavailable, StreamError or PredictionFailed.
    """
    processor, kinesis = open_processor(environ), connect("kinesis")
    sender = Sender(kinesis, processor, consumer.output_stream, consumer.dead_letter_stream)
    checkpoints = Checkpoints(
        connect("dynamodb"),
        consumer.checkpoint_table,
        processor.deployment,
        consumer.input_stream,
        seconds=consumer.lease_seconds,
        stop=stop,
    )
    checkpoints.make_table()
    if not checkpoints.acquire():
        return
    passport = processor.model.passport
    _log.info(
        "%s %s: %s -> %s and %s, checkpoints in %s", passport.name, passport.version, consumer.input_stream,
        consumer.output_stream, consumer.dead_letter_stream, consumer.checkpoint_table,
    )  # fmt: skip
    latest = consumer.start == "latest"
    Consumption(kinesis, consumer.input_stream, processor, sender, checkpoints, stop, latest=latest).run()
    checkpoints.release()


def _parser() -> argparse.ArgumentParser:
    codes = "\n".join(f"  {code:3}  {meaning}" for code, meaning in MEANINGS.items())
    parser = argparse.ArgumentParser(
        prog="python -m streaming.consume_kinesis",
        description="Score the events of a Kinesis stream. Settings are environment variables: "
        "streaming/README.md names them; a flag comes before its variable.",
        epilog=f"exit codes:\n{codes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for flag, (variable, meaning) in _FLAGS.items():
        parser.add_argument(f"--{flag.replace('_', '-')}", metavar="NAME", help=f"{meaning} ({variable})")
    parser.add_argument(
        "--from",
        dest="start",
        choices=("earliest", "latest"),
        help="where shards without a checkpoint begin (START)",
    )
    return parser
