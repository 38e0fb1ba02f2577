"""Dead letters as a consumer writes them, and the replay's command line."""

from __future__ import annotations

import json
from typing import Any

import pytest

from examples.servers.kafka import Broker
from skdeploy.stream import DeadLetter, Event, Position
from skdeploy.stream.kafka.messages import dead_letter_message
from skdeploy.stream.kafka.replay_command import main
from tests import brokers
from tests.stream.topics import QUICK

LETTERS = "predictions.dead-letters"


def letter(number: int, reason: str = "invalid-record", value: bytes = b'{"id":1}') -> DeadLetter:
    """A letter of the event at flights/1/number."""
    headers = [("trace", b"\xff"), ("app", b"x")]
    event = Event(value, Position("flights", 1, number), b"key-%d" % number, headers, 1234 + number)
    return DeadLetter(event, reason, "The record has 1 bad cell.", [("hour", "null", "a number", "null")])


def put(broker: Broker, topic: str, *letters: DeadLetter, limit: int = 1_000_000) -> None:
    """Write letters as the consumer does."""
    messages = [dead_letter_message(one, "duration", "flights 1", limit) for one in letters]
    events = [
        {"value": sent.value, "key": sent.key, "headers": sent.headers, "timestamp": sent.timestamp}
        for sent in messages
    ]
    brokers.write(broker, topic, *events)


def replay(
    broker: Broker, capsys: pytest.CaptureFixture[str], *arguments: str, topic: str = LETTERS
) -> dict[str, Any]:
    """What the command says; it ends with 0."""
    environ = {"SKDEPLOY_KAFKA_CONFIG": str(QUICK)}
    code = main(["--bootstrap", broker.bootstrap, "--dead-letters", topic, *arguments], environ)
    said = capsys.readouterr()
    assert code == 0, said.err
    found: dict[str, Any] = json.loads(said.out)
    taken = sum(found.get(word, 0) for word in ("put_back", "exported", "found"))
    assert found["letters"] == taken + found["filtered"] + found["cut"] + found["without_origin"]
    return found
