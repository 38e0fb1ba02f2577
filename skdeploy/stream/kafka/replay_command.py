"""The command line of `streaming/replay.py`."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer

from skdeploy import command_line
from skdeploy.config import ReplaySettings
from skdeploy.errors import SettingsError, StreamError
from skdeploy.stream.kafka.clients import open_consumer, open_producer
from skdeploy.stream.kafka.properties import read_properties
from skdeploy.stream.kafka.putting_back import Destination, Lines, Topics
from skdeploy.stream.kafka.replay import REASONS, Replay, Tally, put_back_lines
from skdeploy.stream.stopping import Stop, told_to_stop

_log = logging.getLogger(__name__)

MEANINGS = {
    0: "done, or told to stop: what was put back is committed",
    1: "the brokers cannot be reached, or refuse; what was not committed comes again",
    2: "a setting or an argument is wrong",
}
# How long a letter that is put back may wait for its acknowledgement.
_MESSAGE_MS = 30_000


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Replay dead letters; a JSON summary goes to standard output. The exit code."""
    options = _options(argv)
    tally = Tally()
    destination: Destination | None = None
    code = 0
    try:
        stream = ReplaySettings.from_env(
            {**environ, **({"SKDEPLOY_KAFKA_BOOTSTRAP": options.bootstrap} if options.bootstrap else {})}
        )
        client = {**read_properties(stream.kafka_config), "bootstrap.servers": stream.kafka_bootstrap}
        topic = "" if options.corrected else _topic(options, stream)
        with told_to_stop(0) as stop:
            destination = _destination(options, client)
            _run(options, topic, client, destination, stop, tally)
    except (SettingsError, StreamError) as error:
        print(f"The replay ends: {error}", file=sys.stderr)
        code = 2 if isinstance(error, SettingsError) else 1
    if code != 2:
        print(json.dumps(summary(tally, destination)))
    if tally.cut:
        _log.warning(
            "%d letters hold only the start of their event and are not put back: "
            "their origin says where the whole event stands", tally.cut,
        )  # fmt: skip
    return code


def summary(tally: Tally, destination: Destination | None) -> dict[str, Any]:
    """What standard output says: letters = put_back, exported or found + filtered + cut + without_origin."""
    return {
        "letters": tally.letters,
        destination.word if destination else "found": tally.taken,
        "filtered": tally.filtered,
        "cut": tally.cut,
        "without_origin": tally.without_origin,
        "done_before": tally.done_before,
        "by_reason": dict(sorted(tally.by_reason.items())),
    }


def _run(
    options: argparse.Namespace,
    topic: str,
    client: Mapping[str, Any],
    destination: Destination | None,
    stop: Stop,
    tally: Tally,
) -> None:
    if options.corrected:
        put_back_lines(options.corrected, options.reason, destination, tally)
        return

    def opened(group: str) -> Consumer:
        own = {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            # Of what the topic keeps no more, the oldest that there is.
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
        return open_consumer({**client, **own})

    replay = Replay(opened, topic, options.group or f"{topic}.replay", options.reason, stop.is_set)
    if isinstance(destination, Lines):
        with closing(destination):
            replay.run(destination, tally)
    else:
        replay.run(destination, tally)


def _destination(options: argparse.Namespace, client: Mapping[str, Any]) -> Destination | None:
    """None if nothing is to be done."""
    if options.dry_run:
        return None
    if options.export:
        return Lines(options.export)
    own = {"enable.idempotence": True, "acks": "all", "message.timeout.ms": _MESSAGE_MS, "linger.ms": 5}
    return Topics(open_producer({**client, **own}), options.to)


def _topic(options: argparse.Namespace, stream: ReplaySettings) -> str:
    if topic := options.dead_letters or stream.dead_letters:
        return str(topic)
    raise SettingsError(
        "SKDEPLOY_DEAD_LETTER_TOPIC is empty: set it or SKDEPLOY_OUTPUT_TOPIC, or say --dead-letters."
    )


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(argv)
    if not (options.all or options.export or options.corrected or options.dry_run):
        parser.error("say --all, --export FILE, --corrected FILE or --dry-run")
    if options.to and options.export:
        parser.error("--to is for what is put back, not for --export")
    return options


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser(
        "python -m streaming.replay",
        "Put dead letters back to the topics that they came from. A group keeps how far this is: "
        "what was put back or exported is not taken again.",
        MEANINGS,
    )
    add = parser.add_argument
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--all", action="store_true", help="put them back as they are")
    what.add_argument("--export", type=Path, metavar="FILE", help="write them to a new file, a line each")
    what.add_argument("--corrected", type=Path, metavar="FILE", help="put the lines of such a file back")
    add("--dry-run", action="store_true", help="count them by reason, and do nothing")
    add("--reason", action="append", default=[], choices=REASONS, help="these alone; may be said again")
    add("--to", default="", metavar="TOPIC", help="to this topic, not to those that they came from")
    add("--dead-letters", metavar="TOPIC", help="where they are (SKDEPLOY_DEAD_LETTER_TOPIC)")
    add("--group", help="the group that keeps how far this is (the topic's name and .replay)")
    add("--bootstrap", metavar="HOST:PORT", help="brokers (SKDEPLOY_KAFKA_BOOTSTRAP)")
    return parser
