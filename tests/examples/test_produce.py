"""The flights as events: `python -m streaming.produce`, to an embedded broker and to a Kinesis server."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

import skdeploy
from examples.flights import data, produce
from examples.flights.events import BAD, FlightEvent, events
from examples.flights.senders import KinesisSender, SendingFailed
from examples.servers.kafka import Broker
from examples.servers.process import free_ports
from skdeploy.stream import Event, Position, Processor
from skdeploy.stream.kinesis.putting import MOST_BYTES, MOST_RECORDS
from tests import brokers
from tests.live import ROOT


@pytest.fixture(scope="module")
def table() -> Any:
    return data.flights_table()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with brokers.running(tmp_path_factory.mktemp("broker")) as broker:
        yield broker


@pytest.fixture
def kinesis(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of a Kinesis server that has the stream `flights`."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    [port] = free_ports(1)
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        client = boto3.client("kinesis", endpoint_url=f"http://127.0.0.1:{port}")
        client.create_stream(StreamName="flights", ShardCount=1)
        yield client
    finally:
        server.stop()


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """What the command said in the end; it ended with 0."""
    code = produce.main(arguments, {})
    said = capsys.readouterr()
    assert code == 0, said.out + said.err
    return dict(json.loads(said.out))


def test_an_event_is_a_flight_that_the_model_predicts(table: Any) -> None:
    """Its key is its id, its time the hour of departure, and the committed model takes every one."""
    sent = list(events(table, 2000))
    assert [event.key for event in sent] == [b"%d" % number for number in range(1, 2001)]
    assert json.loads(sent[0].value)["id"] == 1
    assert sent[0].scheduled == table["time_hour"][0].timestamp() * 1000
    assert not any(event.bad for event in sent)
    scored = Processor(skdeploy.load(ROOT / "model.bin")).process(
        [Event(event.value, Position("flights", 0, number)) for number, event in enumerate(sent)]
    )
    assert len(scored.predictions) == 2000


def test_flights_begin_anew_but_ids_do_not(table: Any) -> None:
    """More events than flights: no id comes twice."""
    sent = list(events(table.head(3), 8))
    assert [int(event.key) for event in sent] == list(range(1, 9))
    assert {**json.loads(sent[1].value), "id": 5} == json.loads(sent[4].value)


def test_bad_events_are_a_share_of_several_kinds(table: Any) -> None:
    """About as many as asked for, of every kind, the same ones for the same seed; each is a dead letter."""
    sent = list(events(table, 20_000, bad=0.05, seed=3))
    kinds = Counter(event.bad for event in sent if event.bad)
    assert sum(kinds.values()) == pytest.approx(1000, rel=0.1)
    assert set(kinds) == set(BAD)
    assert sent == list(events(table, 20_000, bad=0.05, seed=3))
    assert sent != list(events(table, 20_000, bad=0.05, seed=4))
    scored = Processor(skdeploy.load(ROOT / "model.bin")).process(
        [Event(event.value, Position("flights", 0, number)) for number, event in enumerate(sent)]
    )
    assert len(scored.dead_letters) == sum(kinds.values())
    assert {letter.reason for letter in scored.dead_letters} == {"malformed-body", "invalid-record"}


def test_a_topic_gets_as_many_events_as_asked_for(broker: Broker, capsys: pytest.CaptureFixture[str]) -> None:
    """The count, the keys, and what the summary says of the bad ones are what is in the topic."""
    brokers.make_topics(broker, "counted")
    before = time.time() * 1000
    topic = ("--topic", "counted", "--bootstrap", broker.bootstrap)
    said = run(capsys, *topic, "--count", "3000", "--bad", "0.1")
    found = brokers.read(broker, "counted")
    assert said["events"] == said["acknowledged"] == len(found) == 3000
    assert sorted(int(event.key or b"") for event in found) == list(range(1, 3001))
    assert sum(event.value == b"" for event in found) == said["bad"]["empty"]
    assert all(before - 1 <= event.timestamp <= time.time() * 1000 for event in found)


def test_events_have_the_flights_time_if_asked_for(
    broker: Broker, table: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --event-time flight the timestamp is the hour of departure."""
    brokers.make_topics(broker, "timed")
    topic = ("--topic", "timed", "--bootstrap", broker.bootstrap)
    run(capsys, *topic, "--count", "50", "--event-time", "flight")
    found = {int(event.key or b""): event.timestamp for event in brokers.read(broker, "timed")}
    assert found == {event_id: table["time_hour"][event_id - 1].timestamp() * 1000 for event_id in found}


def test_the_rate_is_kept() -> None:
    """200 events at 400 per second take half a second; the sender is not asked to hurry or to wait."""

    class Taker:
        acknowledged = 0

        def send(self, event: FlightEvent, moment: int | None) -> None:
            self.acknowledged += 1

        def flush(self) -> None:
            pass

    stream = (FlightEvent(b"%d" % number, b"{}", 0) for number in range(200))
    sent = produce.Sent()
    produce.send(stream, Taker(), 400, False, threading.Event(), sent, lambda _: None)
    assert 0.48 < sent.seconds < 2


def test_a_broker_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, and which broker."""
    [port] = free_ports(1)
    code = produce.main(["--topic", "flights", "--bootstrap", f"127.0.0.1:{port}", "--count", "1"], {})
    said = capsys.readouterr()
    assert code == 1
    assert f"Not all was sent: Kafka at 127.0.0.1:{port}" in said.err
    assert json.loads(said.out)["acknowledged"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--topic", "a", "--stream", "b"),
        ("--topic", "a", "--rate", "0"),
        ("--topic", "a", "--bad", "2"),
        ("--topic", "a", "--count", "-1"),
        ("--stream", "a", "--event-time", "flight"),
    ],
)
def test_wrong_arguments_end_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """The message says which."""
    with pytest.raises(SystemExit) as ended:
        produce.main(arguments, {})
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_stream_of_kinesis_gets_them_all(kinesis: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Records of the stream are the events, partition key and all, bad ones included."""
    stream = ("--stream", "flights", "--endpoint-url", kinesis.meta.endpoint_url)
    said = run(capsys, *stream, "--count", "1201", "--bad", "0.02")
    assert said["events"] == said["acknowledged"] == 1201
    [shard] = kinesis.list_shards(StreamName="flights")["Shards"]
    iterator = kinesis.get_shard_iterator(
        StreamName="flights", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    found = kinesis.get_records(ShardIterator=iterator, Limit=10_000)["Records"]
    assert [int(record["PartitionKey"]) for record in found] == list(range(1, 1202))
    assert sum(record["Data"] == b"" for record in found) == said["bad"]["empty"]


class Throttled:
    """Takes every third record of a call, as a stream beyond its throughput does; keeps count."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.calls: list[list[dict[str, Any]]] = []

    def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
        self.calls.append(Records)
        kept = {id(record) for record in Records[::3]}
        self.kept += [record["PartitionKey"] for record in Records if id(record) in kept]
        refused = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
        return {"Records": [{} if id(record) in kept else refused for record in Records]}


def test_refused_records_are_sent_again_alone() -> None:
    """Each is kept once, whatever the stream refuses; no call has more than the limits allow."""
    client = Throttled()
    sender = KinesisSender(client, "flights", linger=60, wait=0.001)
    for number in range(12):
        sender.send(FlightEvent(b"%d" % number, b"x" * 900_000, 0), None)
    sender.flush()
    assert sorted(client.kept, key=int) == [str(number) for number in range(12)]
    assert sender.acknowledged == 12
    sizes = [sum(len(record["Data"]) for record in call) for call in client.calls]
    assert MOST_BYTES - 1_000_000 < max(sizes) <= MOST_BYTES
    for number in range(MOST_RECORDS + 1):
        sender.send(FlightEvent(b"%d" % number, b"", 0), None)
    assert max(len(call) for call in client.calls) == MOST_RECORDS
    assert sender.acknowledged == 12 + MOST_RECORDS


def test_a_stream_that_refuses_for_good_is_said() -> None:
    """After some tries it gives up, and says why."""

    class Shut(Throttled):
        def put_records(self, StreamName: str, Records: list[dict[str, Any]]) -> dict[str, Any]:
            return {"Records": [{"ErrorCode": "InternalFailure"} for _ in Records]}

    sender = KinesisSender(Shut(), "flights", wait=0.001)
    sender.send(FlightEvent(b"1", b"", 0), None)
    with pytest.raises(SendingFailed, match="1 events were refused: InternalFailure"):
        sender.flush()
