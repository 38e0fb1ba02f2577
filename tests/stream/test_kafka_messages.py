"""What is produced for predictions and dead letters; which properties are taken."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from skdeploy.config import KafkaSettings
from skdeploy.errors import SettingsError
from skdeploy.stream import DeadLetter, Event, Position, Prediction
from skdeploy.stream.kafka.assignment import Assignment
from skdeploy.stream.kafka.brokers import Brokers
from skdeploy.stream.kafka.clients import open_consumer
from skdeploy.stream.kafka.messages import dead_letter_message, prediction_message
from skdeploy.stream.kafka.properties import consumer_properties, producer_properties, read_properties

AT = Position("t", 1, 5)


def settings(**variables: str) -> KafkaSettings:
    return KafkaSettings.from_env({"SKDEPLOY_GROUP": "g", "SKDEPLOY_INSTANCE": "i", **variables})


def config(folder: Path, text: str) -> str:
    (folder / "kafka").write_text(text)
    return str(folder / "kafka")


def test_an_event_that_was_put_back_keeps_its_origin() -> None:
    """Other headers of an earlier dead letter are replaced, not added to."""
    event = Event(b"{", AT, headers=[("skdeploy-origin", b"t/0/2"), ("skdeploy-reason", b"old"), ("a", b"b")])
    headers = dead_letter_message(DeadLetter(event, "no-id", "..."), "d", "m 1", 10**6).headers
    assert [value for name, value in headers if name == "skdeploy-origin"] == [b"t/0/2"]
    assert [value for name, value in headers if name == "skdeploy-reason"] == [b"no-id"]
    assert ("a", b"b") in headers


def test_a_dead_letter_always_fits() -> None:
    """A value is cut; of an event whose key and headers alone are too large they are left out."""
    value = b"v" * 5000
    for key, headers in ((b"k", [("h", b"x" * 9000)]), (b"k" * 9000, []), (None, [])):
        letter = DeadLetter(Event(value, AT, key, headers), "malformed-body", "...")
        message = dead_letter_message(letter, "d", "m 1", 4000)
        size = len(message.value or b"") + len(message.key or b"")
        size += sum(len(name) + len(content or b"") for name, content in message.headers)
        assert size <= 4000
        assert dict(message.headers)["skdeploy-sha256"] == hashlib.sha256(value).hexdigest().encode()
        assert value.startswith(message.value or b"")


def test_a_prediction_without_a_time_is_sent_now() -> None:
    """And has the type of its content as its only header."""
    message = prediction_message(Prediction(Event(b"{}", AT), b"1"))
    assert message == (b"1", None, [("content-type", b"application/json")], 0)


@pytest.mark.parametrize(
    "line",
    [
        "enable.auto.commit=true",
        "enable.idempotence=false",
        "acks=1",
        "isolation.level=read_uncommitted",
        "group.id=other",
        "transactional.id=other",
        "bootstrap.servers=other:9092",
        "partition.assignment.strategy=range",
    ],
)
def test_properties_that_break_a_promise_are_refused(tmp_path: Path, line: str) -> None:
    """The message names the property."""
    with pytest.raises(SettingsError, match=f"remove {line.partition('=')[0]}: "):
        read_properties(config(tmp_path, f"sasl.username=me\n{line}\n"))


def test_properties_that_say_the_same_are_taken(tmp_path: Path) -> None:
    """Comments and empty lines are none; a value may have an equals sign."""
    text = "# ours\n\nacks = all\nenable.idempotence=true\nsasl.password=a=b\n"
    found = read_properties(config(tmp_path, text))
    assert found == {"acks": "all", "enable.idempotence": "true", "sasl.password": "a=b"}


def test_no_value_is_in_a_message(tmp_path: Path) -> None:
    """Neither of a line that cannot be read, nor of what librdkafka refuses."""
    with pytest.raises(SettingsError, match="line 2 is not name=value") as caught:
        read_properties(config(tmp_path, "acks=all\nsasl password geheim\n"))
    for name in ("sasl.mechanisms.of.ours", "session.timeout.ms"):
        given = read_properties(config(tmp_path, f"{name}=geheim\n"))
        with pytest.raises(SettingsError, match=f"does not take the property {name}") as caught:
            open_consumer(consumer_properties(settings(), given), Brokers())
        assert "geheim" not in str(caught.value)
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        read_properties(str(tmp_path / "none"))


def test_what_the_clients_are_told() -> None:
    """Memory bounds both queues; a transactional.id is the group and the instance."""
    consumer = consumer_properties(settings(SKDEPLOY_MAX_MEMORY="2M"), {"session.timeout.ms": "9000"})
    assert consumer["queued.max.messages.kbytes"] == 2048
    assert consumer["session.timeout.ms"] == "9000"
    assert "transactional.id" not in producer_properties(settings(), {})
    producer = producer_properties(settings(SKDEPLOY_EXACTLY_ONCE="1", SKDEPLOY_MAX_MEMORY="2M"), {})
    assert producer["transactional.id"] == "g-i"
    assert producer["queue.buffering.max.kbytes"] == 2048


def test_a_partition_that_went_and_came_back_is_not_committed() -> None:
    """What was in hand when it went may be another's by now."""
    assignment = Assignment()
    assignment.add([("t", 1), ("t", 2)])
    owned = dict(assignment.owned)
    events = [Event(b"", Position("t", partition, 7)) for partition in (1, 2)]
    assignment.receive(events)
    assignment.remove([("t", 1)])
    assignment.add([("t", 1)])
    assignment.finish(events, owned)
    assert assignment.finished == {("t", 2): 8}
    assignment.commit(assignment.offsets())
    assert assignment.finished == {}
    assert [(one.partition, one.offset) for one in assignment.go_back()] == [(2, 8)]
