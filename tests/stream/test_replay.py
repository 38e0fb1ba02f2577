"""Dead letters are put back: `python -m streaming.replay`, on the embedded broker."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import skdeploy
from examples.servers.kafka import Broker
from examples.servers.process import free_ports
from skdeploy.stream import Event, Position, Processor
from skdeploy.stream.kafka.letters import letter_from
from skdeploy.stream.kafka.replay_command import main
from tests import brokers
from tests.live import ROOT
from tests.stream.replaying import letter, put, replay


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with brokers.running(tmp_path_factory.mktemp("broker")) as broker:
        brokers.make_topics(broker, "flights", "elsewhere")
        yield broker


class Topics:
    """Topics of one test, on a broker that all share; `flights` is what letters came from."""

    numbers = itertools.count()

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.letters = f"letters-{next(self.numbers)}"
        brokers.make_topics(broker, self.letters)
        self._before = len(brokers.read(broker, "flights"))

    def back(self) -> list[brokers.Read]:
        """What was put back to `flights` in this test, by origin."""
        found = brokers.read(self.broker, "flights")
        return sorted(found, key=lambda event: event.timestamp)

    def count(self) -> int:
        return len(brokers.read(self.broker, "flights")) - self._before


@pytest.fixture
def topics(shared: Broker) -> Topics:
    return Topics(shared)


def test_a_letter_goes_back_as_its_event_came(topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    """Bytes, key, timestamp and headers are the event's; of ours only the origin stays."""
    put(topics.broker, topics.letters, letter(900_001, value=b"\x00not json"))
    found = replay(topics.broker, capsys, "--all", topic=topics.letters)
    assert (found["letters"], found["put_back"]) == (1, 1)
    last = topics.back()[-1]
    assert (last.value, last.key, last.timestamp) == (b"\x00not json", b"key-900001", 901_235)
    assert last.headers == [("trace", b"\xff"), ("app", b"x"), ("skdeploy-origin", b"flights/1/900001")]


def test_a_second_run_sends_nothing_again(topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    """The group keeps how far it is; letters that came later are put back by the next run."""
    put(topics.broker, topics.letters, *map(letter, range(1200)))
    assert replay(topics.broker, capsys, "--all", topic=topics.letters)["put_back"] == 1200
    assert topics.count() == 1200
    assert replay(topics.broker, capsys, "--all", topic=topics.letters)["letters"] == 0
    put(topics.broker, topics.letters, letter(7))
    assert replay(topics.broker, capsys, "--all", topic=topics.letters)["put_back"] == 1
    assert topics.count() == 1201


def test_letters_of_another_reason_stay(topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    """Each letter is put back once, by whichever run asks for its reason first."""
    reasons = ["invalid-record", "malformed-body", "no-id", "invalid-record", "malformed-body", "no-id"]
    put(topics.broker, topics.letters, *(letter(n, reason) for n, reason in enumerate(reasons)))
    first = replay(topics.broker, capsys, "--all", "--reason", "invalid-record", topic=topics.letters)
    assert (first["put_back"], first["filtered"]) == (2, 4)
    again = replay(topics.broker, capsys, "--all", "--reason", "invalid-record", topic=topics.letters)
    assert again["put_back"] == 0
    both = ("--reason", "invalid-record", "--reason", "no-id")
    second = replay(topics.broker, capsys, "--all", *both, topic=topics.letters)
    assert (second["put_back"], second["filtered"], second["done_before"]) == (2, 2, 2)
    rest = replay(topics.broker, capsys, "--all", topic=topics.letters)
    assert (rest["put_back"], rest["done_before"]) == (2, 4)
    assert topics.count() == 6
    assert replay(topics.broker, capsys, "--all", topic=topics.letters)["letters"] == 0


def test_letters_may_go_to_another_topic(topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    """With --to all of them do, also what nobody says the origin of."""
    put(topics.broker, topics.letters, letter(1))
    brokers.write(topics.broker, topics.letters, {"value": b"foreign"})
    found = replay(topics.broker, capsys, "--all", "--to", "elsewhere", topic=topics.letters)
    assert (found["put_back"], found["by_reason"]) == (2, {"invalid-record": 1, "unknown": 1})
    assert {event.value for event in brokers.read(topics.broker, "elsewhere")} == {b'{"id":1}', b"foreign"}
    assert topics.count() == 0


def test_what_cannot_be_put_back_is_counted(
    topics: Topics, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A cut letter would be another event; a letter of nobody's has no topic."""
    put(topics.broker, topics.letters, letter(1), letter(2, value=b"x" * 50_000), limit=4000)
    brokers.write(topics.broker, topics.letters, {"value": b"foreign"})
    found = replay(topics.broker, capsys, "--all", topic=topics.letters)
    assert (found["letters"], found["put_back"], found["cut"], found["without_origin"]) == (3, 1, 1, 1)
    assert "1 letters hold only the start of their event" in caplog.text
    assert topics.count() == 1


def test_a_dry_run_counts_and_does_nothing(topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    """By reason, as often as it is asked."""
    put(topics.broker, topics.letters, letter(1), letter(2), letter(3, "malformed-body"))
    for _ in range(2):
        found = replay(topics.broker, capsys, "--dry-run", topic=topics.letters)
        assert found["by_reason"] == {"invalid-record": 2, "malformed-body": 1}
    assert topics.count() == 0
    assert replay(topics.broker, capsys, "--all", topic=topics.letters)["put_back"] == 3


def test_letters_are_exported_corrected_and_put_back(
    topics: Topics, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The prediction of a corrected event has the id that it would have had, and each is sent once."""
    path = tmp_path / "letters.jsonl"
    put(topics.broker, topics.letters, letter(5), letter(6, "malformed-body", b"\xff\x00"))
    assert replay(topics.broker, capsys, "--export", str(path), topic=topics.letters)["exported"] == 2
    lines = sorted(map(json.loads, path.read_text().splitlines()), key=lambda line: str(line["origin"]))
    assert lines[0] == {
        "origin": "flights/1/5",
        "reason": "invalid-record",
        "detail": "The record has 1 bad cell.",
        "cells": [{"column": "hour", "code": "null", "expected": "a number", "got": "null"}],
        "key": "key-5",
        "headers": [["trace", {"base64": "/w=="}], ["app", "x"]],
        "timestamp": 1239,
        "value": '{"id":1}',
    }
    assert lines[1]["value"] == {"base64": "/wA="}

    lines[0]["value"] = a_record()
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = replay(topics.broker, capsys, "--corrected", str(path), "--reason", "invalid-record")
    assert (found["put_back"], found["filtered"]) == (1, 1)
    assert replay(topics.broker, capsys, "--corrected", str(path))["put_back"] == 1
    assert replay(topics.broker, capsys, "--corrected", str(path))["done_before"] == 2
    assert topics.count() == 2
    # What was exported is somebody's now: it is not put back as it was.
    assert replay(topics.broker, capsys, "--all", topic=topics.letters)["letters"] == 0

    [event] = [event for event in topics.back() if event.value == a_record().encode()]
    position = Position(*event.position.split("/"))
    processor = Processor(skdeploy.load(ROOT / "model.bin"), "duration")
    [made] = processor.process([Event(event.value, position, event.key, event.headers)]).predictions
    assert json.loads(made.value)["prediction_id"] == "duration/flights/1/5"


def a_record() -> str:
    record: dict[str, Any] = {"origin": "JFK", "dest": "LAX", "carrier": "AA", "month": 1, "weekday": 1}
    record |= {"hour": 9, "distance": 2475, "temp": 40.0, "dewp": 30.0, "humid": 60.0}
    return json.dumps(record | {"wind_dir": 200.0, "wind_speed": 10.0, "pressure": 1012.0})


def test_a_cut_letter_is_exported_but_not_put_back_until_it_is_whole(
    topics: Topics, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its line says size and digest of the whole; who fills it in removes `cut`."""
    path = tmp_path / "letters.jsonl"
    put(topics.broker, topics.letters, letter(1, value=b"x" * 50_000), limit=4000)
    assert replay(topics.broker, capsys, "--export", str(path), topic=topics.letters)["exported"] == 1
    line = json.loads(path.read_text())
    assert line["cut"]["size"] == "50000"
    assert replay(topics.broker, capsys, "--corrected", str(path))["cut"] == 1
    del line["cut"]
    path.write_text(json.dumps(line))
    assert replay(topics.broker, capsys, "--corrected", str(path))["put_back"] == 1


def test_nothing_is_lost_where_a_topic_refuses(topics: Topics, capsys: pytest.CaptureFixture[str]) -> None:
    """What was not acknowledged is not committed: it is put back by the next run."""
    put(topics.broker, topics.letters, letter(1), letter(2))
    arguments = ["--bootstrap", topics.broker.bootstrap, "--dead-letters", topics.letters]
    assert main([*arguments, "--all", "--to", "no/such"], {}) == 1
    said = capsys.readouterr()
    assert "no/such" in said.err
    assert json.loads(said.out)["put_back"] == 0
    assert replay(topics.broker, capsys, "--all", topic=topics.letters)["put_back"] == 2


def test_a_bad_line_is_named_and_nothing_is_sent(
    topics: Topics, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit code 2, also when good lines come first."""
    path = tmp_path / "letters.jsonl"
    path.write_text('{"value": "{}", "origin": "flights/0/1"}\n{"value": 7}\n')
    assert main(["--bootstrap", topics.broker.bootstrap, "--corrected", str(path)], {}) == 2
    assert "line 2: Expected `str | object | null`, got `int`" in capsys.readouterr().err
    assert topics.count() == 0


@pytest.mark.parametrize("line", ["[]", "{", '{"value":"a","origin":"b"}', '{"value":{"base64":"?"}}'])
def test_what_no_export_wrote_is_no_letter(line: str) -> None:
    """ValueError says what is wrong."""
    with pytest.raises(ValueError, match=r".+"):
        letter_from(line.encode())


def test_an_export_never_overwrites(
    topics: Topics, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A file that is there may just be corrected by somebody: exit code 2."""
    path = tmp_path / "letters.jsonl"
    path.write_text("by hand")
    arguments = ["--bootstrap", topics.broker.bootstrap, "--dead-letters", topics.letters]
    assert main([*arguments, "--export", str(path)], {}) == 2
    assert "name a new file" in capsys.readouterr().err
    assert path.read_text() == "by hand"


def test_brokers_that_are_not_there_and_topics_that_are_not(
    topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 1, and which."""
    assert main(["--bootstrap", topics.broker.bootstrap, "--dead-letters", "none", "--all"], {}) == 1
    assert "The topic none cannot be read" in capsys.readouterr().err
    [port] = free_ports(1)
    assert main(["--bootstrap", f"127.0.0.1:{port}", "--dead-letters", "none", "--all"], {}) == 1
    assert "cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [(), ("--all", "--export", "x"), ("--export", "x", "--to", "y")])
def test_wrong_arguments_end_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The message says what to say."""
    with pytest.raises(SystemExit) as ended:
        main(arguments, {})
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_the_topic_is_the_consumers(capsys: pytest.CaptureFixture[str]) -> None:
    """The settings name the dead letters' topic as they do for the consumer; without them there is none."""
    assert main(["--all"], {}) == 2
    assert "SKDEPLOY_DEAD_LETTER_TOPIC is empty" in capsys.readouterr().err
