"""Exactly once on Apache Kafka: what is aborted is seen by nobody, and who was replaced stops."""

from __future__ import annotations

import signal
import time
from collections.abc import Generator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from examples.servers.kafka import Broker, kafka_server
from examples.servers.process import ServerNotInstalled
from skdeploy.stream.kafka.brokers import Brokers
from skdeploy.stream.kafka.reader import Reader
from skdeploy.stream.kafka.sender import Sender
from skdeploy.stream.kafka.transactions import ExactlyOnce
from skdeploy.stream.stopping import Stop
from tests.live import wait_until
from tests.stream.topics import (
    Sent,
    command,
    consuming,
    create,
    environment,
    ids,
    received,
    record,
    said,
    send,
)

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Generator[Broker]:
    """Apache Kafka, which makes no topic by itself."""
    try:
        with kafka_server(tmp_path_factory.mktemp("kafka"), {"auto.create.topics.enable": "false"}) as broker:
            yield broker
    except ServerNotInstalled as reason:
        pytest.skip(str(reason))


def committed(kafka: Broker, group: str, topic: str) -> int:
    """How many events of a topic of three partitions the group has committed; -1 while no broker leads it."""
    client = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": group})
    try:
        marks = client.committed([TopicPartition(topic, number) for number in range(3)], 10)
    except KafkaException as error:
        if error.args[0].code() != KafkaError.NOT_COORDINATOR:
            raise
        return -1
    finally:
        client.close()
    return sum(max(0, mark.offset) for mark in marks)


def written(kafka: Broker, topic: str) -> int:
    """How many messages a topic of three partitions has, committed or not."""
    settings = {"bootstrap.servers": kafka.bootstrap, "group.id": "nobody"}
    client = Consumer({**settings, "isolation.level": "read_uncommitted"})
    marks = [client.get_watermark_offsets(TopicPartition(topic, number), 10) for number in range(3)]
    client.close()
    return sum(high - low for low, high in marks)


def test_predictions_and_offsets_are_committed_together(kafka: Broker, regressor_file: Path) -> None:
    """All are there once; the group's offsets are behind the last event."""
    create(kafka, "a", "a.out", "a.out.dead-letters")
    send(kafka, "a", [b"{" if n % 100 == 0 else record(n % 9) for n in range(2000)])
    with consuming(
        kafka,
        regressor_file,
        SKDEPLOY_TOPICS="a",
        SKDEPLOY_OUTPUT_TOPIC="a.out",
        SKDEPLOY_GROUP="a",
        SKDEPLOY_EXACTLY_ONCE="1",
    ):
        found = received(kafka, ["a.out", "a.out.dead-letters"], 2000)
    assert [len(messages) for messages in found.values()] == [1980, 20]
    assert len(ids(found["a.out"])) == 1980
    assert committed(kafka, "a", "a") == 2000


def test_what_is_aborted_is_seen_by_nobody(kafka: Broker) -> None:
    """It was on the broker; who reads what is committed gets what came behind it, and no offset moved."""
    create(kafka, "b", "b.out")
    send(kafka, "b", [record(3)])
    both = {"bootstrap.servers": kafka.bootstrap}
    consumer = Consumer(
        {**both, "group.id": "b", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    )
    producer = Producer({**both, "transactional.id": "b", "delivery.report.only.error": True})
    stop = Stop()
    reader = Reader(consumer, Brokers(), stop, most=10, on_rebalance=lambda: None)
    sender = Sender(producer, reader, output="b.out", dead_letters="b.dead", limit=10**6)
    transactions = ExactlyOnce(producer, reader, sender, stop)
    transactions.open()
    reader.subscribe(["b"])
    deadline = time.monotonic() + 20
    while not (events := reader.poll(0.1)):
        assert time.monotonic() < deadline
    for value, end in ((b"aborted", transactions.abort), (b"committed", transactions.commit)):
        transactions.begin()
        producer.produce("b.out", value)
        # Without this librdkafka would drop it on this side.
        assert producer.flush(10) == 0
        if end == transactions.commit:
            reader.assignment.finish(events, dict(reader.assignment.owned))
        else:
            assert committed(kafka, "b", "b") == 0
        end()
        assert committed(kafka, "b", "b") == (1 if value == b"committed" else 0)
    reader.close()
    found = received(kafka, ["b.out"], 1, more=2)["b.out"]
    assert [message.value() for message in found] == [b"committed"]


def test_who_was_replaced_stops(kafka: Broker, regressor_file: Path, tmp_path: Path) -> None:
    """A consumer that hung while another took its name ends with 1, and commits nothing more."""
    create(kafka, "c", "c.out")
    arguments = ["--topics", "c", "--output", "c.out", "--group", "c", "--exactly-once"]
    environ = environment(kafka, regressor_file, {"SKDEPLOY_INSTANCE": "one", "SKDEPLOY_COMMIT_SECONDS": "3"})
    with command(tmp_path, arguments, environ | {"SKDEPLOY_COMMIT_SECONDS": "9"}) as (old, log):
        said(log, "Partitions that came")
        send(kafka, "c", [record(n % 9) for n in range(500)])
        # Its first transaction is open.
        wait_until(lambda: written(kafka, "c.out") > 0, "something is written")
        old.send_signal(signal.SIGSTOP)
        with command(tmp_path, arguments, environ) as (new, new_log):
            said(new_log, "Partitions that came: c")
            old.send_signal(signal.SIGCONT)
            assert old.wait(40) == 1, log.read_text()
            assert "The consumer ends: " in log.read_text()
            found = received(kafka, ["c.out"], 500, more=3)["c.out"]
            new.send_signal(signal.SIGTERM)
            assert new.wait(20) == 0, new_log.read_text()
    assert len(found) == len(ids(found)) == 500
    assert committed(kafka, "c", "c") == 500


@pytest.mark.parametrize("exactly_once", ["0", "1"])
def test_a_missing_output_topic_is_waited_for(
    kafka: Broker, regressor_file: Path, exactly_once: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says which to create; nothing is committed before it is there, and nothing is lost."""
    name = f"d{exactly_once}"
    create(kafka, name)
    send(kafka, name, [record(n % 9) for n in range(100)])
    settings = {
        "SKDEPLOY_TOPICS": name,
        "SKDEPLOY_OUTPUT_TOPIC": f"{name}.out",
        "SKDEPLOY_GROUP": name,
        "SKDEPLOY_EXACTLY_ONCE": exactly_once,
    }
    with consuming(kafka, regressor_file, **settings):
        wait_until(lambda: f"There is no topic {name}.out: create it" in caplog.text, "it is said", 90)
        assert committed(kafka, name, name) == 0
        create(kafka, f"{name}.out")
        found = received(kafka, [f"{name}.out"], 100)[f"{name}.out"]
    assert len(ids(found)) == 100


@pytest.mark.parametrize("exactly_once", ["0", "1"], ids=["at least once", "exactly once"])
def test_a_time_that_the_output_refuses_holds_nothing_up(
    kafka: Broker, regressor_file: Path, exactly_once: str
) -> None:
    """Such predictions and dead letters come without their event's time, which a header keeps."""
    name = f"times-{exactly_once}"
    create(kafka, name, partitions=3, **{"message.timestamp.after.max.ms": str(10**12)})
    create(kafka, f"{name}.out", f"{name}.out.dead-letters")
    now, day = int(time.time() * 1000), 24 * 3_600_000
    sent = [Sent(record(n % 9 + 1), timestamp=now + (day if n % 10 == 0 else 0)) for n in range(200)]
    send(kafka, name, [*sent, Sent(b"{", timestamp=now + day)])
    settings = {
        "SKDEPLOY_TOPICS": name,
        "SKDEPLOY_OUTPUT_TOPIC": f"{name}.out",
        "SKDEPLOY_GROUP": name,
        "SKDEPLOY_EXACTLY_ONCE": exactly_once,
    }
    with consuming(kafka, regressor_file, **settings):
        wait_until(lambda: committed(kafka, name, name) == 201, "all are done", 60)
        found = received(kafka, [f"{name}.out", f"{name}.out.dead-letters"], 201, more=2)
    predictions, letters = found.values()
    assert len(ids(predictions)) == 200
    # At least once may be twice: what was sent beside a refused event is sent again.
    sent_once = list({one.value(): one for one in (*predictions, *letters)}.values())
    assert exactly_once == "0" or len(sent_once) == len(predictions) + len(letters)
    times = [(one.timestamp()[1], dict(one.headers() or ()).get("skdeploy-timestamp")) for one in sent_once]
    assert [kept for _, kept in times if kept] == [str(now + day).encode()] * 21
    assert {sent_at for sent_at, kept in times if not kept} == {now}


@pytest.mark.parametrize("exactly_once", ["0", "1"], ids=["at least once", "exactly once"])
def test_a_size_that_the_output_refuses_holds_nothing_up(
    kafka: Broker, regressor_file: Path, exactly_once: str
) -> None:
    """What is too large alone is a dead letter; what was refused only for its company is a prediction."""
    name = f"sizes-{exactly_once}"
    out, dead = f"{name}.out", f"{name}.out.dead-letters"
    create(kafka, name)
    create(kafka, out, dead, partitions=3, **{"max.message.bytes": "20000"})
    large = {f"{n}".encode() + b"k" * 40_000 for n in range(3)}
    events = [Sent(record(n % 9 + 1)) for n in range(3000)]
    for place, key in enumerate(sorted(large)):
        events.insert(1000 * place + 500, Sent(record(1), key))
    send(kafka, name, events)
    settings = {
        "SKDEPLOY_TOPICS": name,
        "SKDEPLOY_OUTPUT_TOPIC": out,
        "SKDEPLOY_GROUP": name,
        "SKDEPLOY_EXACTLY_ONCE": exactly_once,
    }
    with consuming(kafka, regressor_file, **settings):
        wait_until(lambda: committed(kafka, name, name) == 3003, "all are done", 60)
    predictions, letters = received(kafka, [out, dead], 3003, more=2).values()
    assert len(ids(predictions)) == 3000
    headers = [dict(one.headers() or ()) for one in letters]
    assert [one["skdeploy-reason"] for one in headers] == [b"too-large"] * len(headers)
    assert len({one["skdeploy-origin"] for one in headers}) == 3
    assert exactly_once == "0" or (len(predictions), len(letters)) == (3000, 3)
