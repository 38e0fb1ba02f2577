"""The Lambda function, under AWS's own runtime client, against a Kinesis server that can refuse."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest

from examples.servers.aws import AWS, environment
from examples.servers.lambda_runtime import Function, kinesis_invocation, lambda_function, runtime_api
from examples.servers.process import ServerError
from skdeploy.model import Model
from skdeploy.stream import Event, Position, process
from tests.live import ROOT
from tests.stream.aws import (
    Gate,
    gate_before,
    kafka_invocation,
    kafka_record,
    record,
    records_in,
    running_aws,
)


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Generator[AWS]:
    with running_aws(tmp_path_factory.mktemp("aws")) as server:
        yield server


@pytest.fixture(scope="module")
def shared_gate(aws: AWS) -> Generator[Gate]:
    with gate_before(aws) as opened:
        yield opened


class Streams:
    """The streams that a function writes to, and the function."""

    def __init__(self, aws: AWS, function: Function, output: str, letters: str) -> None:
        self.aws, self.function, self.output, self.letters = aws, function, output, letters
        self._seen: dict[str, int] = {}

    def invoke(self, invocation: Any, timeout: float = 20) -> Any:
        answer = self.function.invoke(invocation, timeout)
        assert not answer.failed, answer.document
        return answer.document["batchItemFailures"]

    def news(self, stream: str) -> list[dict[str, Any]]:
        """What came into a stream since the last look; it has one shard."""
        found = records_in(self.aws, stream)
        seen = self._seen.get(stream, 0)
        self._seen[stream] = len(found)
        return found[seen:]


@pytest.fixture(scope="module")
def function(
    aws: AWS, shared_gate: Gate, regressor_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Streams]:
    """One container for all tests, as Lambda keeps one."""
    output, letters = aws.create_stream(), aws.create_stream()
    with lambda_function(
        tmp_path_factory.mktemp("lambda"), settings(shared_gate.endpoint, regressor_file, output, letters)
    ) as started:
        yield Streams(aws, started, output, letters)


@pytest.fixture
def gate(shared_gate: Gate, function: Streams) -> Gate:
    """The gate, open, before streams whose contents so far are seen."""
    shared_gate.opened()
    function.news(function.output)
    function.news(function.letters)
    return shared_gate


def settings(endpoint: str, model: Path, output: str, letters: str, **more: str) -> dict[str, str]:
    ours = {
        "SKDEPLOY_MODEL_URI": str(model),
        "SKDEPLOY_OUTPUT_STREAM": output,
        "SKDEPLOY_DEAD_LETTER_STREAM": letters,
    }
    return {**environment(endpoint), **ours, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def in_data(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(one["Data"]) for one in records]


def test_events_of_kinesis_are_scored(gate: Gate, function: Streams, regressor: Model) -> None:
    """A prediction per event, under the event's key: what the core makes of it, byte by byte."""
    values = [record(place) for place in range(20)]
    assert function.invoke(kinesis_invocation(values)) == []
    sent = function.news(function.output)
    events = [
        Event(value, Position("flights", "shardId-000000000006", f"4959{100 + place:052}"))
        for place, value in enumerate(values)
    ]
    assert [one["Data"] for one in sent] == [one.value for one in process(regressor, events).predictions]
    assert [one["PartitionKey"] for one in sent] == [f"key-{place}" for place in range(20)]
    assert function.news(function.letters) == []


def test_an_enhanced_consumers_events_are_its_streams(gate: Gate, function: Streams) -> None:
    """The stream's name, not the consumer's, is in the prediction's id."""
    invocation = kinesis_invocation([record(0)])
    invocation["Records"][0]["eventSourceARN"] += "/consumer/fast:1540591608"
    assert function.invoke(invocation) == []
    [prediction] = in_data(function.news(function.output))
    assert prediction["prediction_id"].startswith("tree/flights/shardId-000000000006/4959")


@pytest.mark.parametrize("source", ["aws:kafka", "SelfManagedKafka"])
def test_events_of_kafka_are_scored(gate: Gate, function: Streams, source: str) -> None:
    """Keys, CloudEvents and headers with Java's signed bytes are understood; a tombstone is a dead letter."""
    cloud = b'{"specversion": "1.0", "data": ' + record(3) + b"}"
    kind = [{"content-type": [*b"application/cloudevents+json"]}, {"trace": [-61, -68]}, {"origin": None}]
    key = base64.b64encode(b"b").decode()
    invocation = kafka_invocation(
        {
            "flights-0": [
                kafka_record("flights", 0, 15, record(1)),
                kafka_record("flights", 0, 16, cloud, headers=kind),
            ],
            "late-flights-2": [
                kafka_record("late-flights", 2, 7, record(2), key=key),
                kafka_record("late-flights", 2, 8, None, key=key, headers=kind),
            ],
        },
        source,
    )
    assert function.invoke(invocation) == []
    sent = function.news(function.output)
    assert [one["prediction_id"] for one in in_data(sent)] == [
        "tree/flights/0/15",
        "tree/flights/0/16",
        "tree/late-flights/2/7",
    ]
    assert [one["PartitionKey"] for one in sent] == ["flights/0/15", "flights/0/16", "b"]
    [dead] = function.news(function.letters)
    letter = json.loads(dead["Data"])
    assert (dead["PartitionKey"], letter["origin"], letter["data"]) == ("b", "late-flights/2/8", None)
    assert letter["headers"][1:] == [["trace", base64.b64encode("ü".encode()).decode()], ["origin", None]]


def test_poison_goes_to_the_dead_letters(gate: Gate, function: Streams) -> None:
    """With reason, cells, origin, key and the very bytes; its neighbours are scored, nothing is blocked."""
    bad = b'{"size": "wide", "kind": "ash", "age": 1}'
    assert function.invoke(kinesis_invocation([record(0), b"\xff", bad, record(1)])) == []
    assert len(function.news(function.output)) == 2
    malformed, invalid = in_data(function.news(function.letters))
    assert malformed["reason"] == "malformed-body"
    assert base64.b64decode(malformed["data"]) == b"\xff"
    assert base64.b64decode(invalid.pop("data")) == bad
    expected = {"column": "size", "code": "type", "expected": "number, or null", "got": 'string "wide"'}
    assert invalid | {"detail": "", "model": ""} == {
        "deployment": "tree",
        "reason": "invalid-record",
        "detail": "",
        "cells": [expected],
        "origin": f"flights/shardId-000000000006/4959{102:052}",
        "key": "key-2",
        "timestamp": 1545084650987,
        "model": "",
    }
    assert invalid["model"]["name"] == "tree"


def test_a_megabyte_of_poison_is_cut(gate: Gate, function: Streams) -> None:
    """Its beginning, its size and its SHA-256 fit a record; a scored one whose id is huge is one, too."""
    whole = b'{"size": "' + b"x" * (1024**2 - 12) + b'"}'
    huge = json.dumps({"size": 1, "kind": "ash", "age": 1, "id": "i" * (1024**2 - 60)}).encode()
    assert function.invoke(kinesis_invocation([whole, record(1), huge])) == []
    assert len(function.news(function.output)) == 1
    letters = in_data(function.news(function.letters))
    assert [letter["reason"] for letter in letters] == ["invalid-record", "too-large"]
    for letter, value in zip(letters, (whole, huge), strict=True):
        begin = base64.b64decode(letter["data"])
        assert len(begin) > 700_000
        assert value.startswith(begin)
        assert (letter["size"], letter["sha256"]) == (len(value), hashlib.sha256(value).hexdigest())


def test_what_is_refused_alone_is_sent_again(gate: Gate, function: Streams) -> None:
    """A third of every put is throttled, and a call fails as a whole: each prediction arrives once."""
    chance = random.Random(3)
    failing = iter([500])

    def refuse(_stream: str, records: Sequence[Any]) -> set[int] | int:
        return next(failing, None) or {place for place in range(len(records)) if chance.random() < 0.33}

    gate.refuse = refuse
    assert function.invoke(kinesis_invocation([record(place) for place in range(600)])) == []
    sent = in_data(function.news(function.output))
    assert sorted(one["id"] for one in sent) == [*range(600)]
    # 600, 533, 176, 58 ...: were all sent again, 600 each time.
    assert sum(put.records for put in gate.puts) < 1600


def test_a_half_done_batch_comes_again_with_the_same_ids(gate: Gate, function: Streams) -> None:
    """What is not taken in time is reported; after the retry all ids are there, each with one payload."""
    values = [record(place) for place in range(300)]
    gate.refuse = lambda _stream, records: {*range(120, len(records))} if len(records) == 300 else 500
    failures = function.invoke(kinesis_invocation(values), timeout=3)
    assert failures == [{"itemIdentifier": f"4959{220:052}"}]

    # Lambda goes on at the one that is named, and brings those behind it again.
    gate.opened()
    again = {"Records": kinesis_invocation(values)["Records"][60:]}
    assert function.invoke(again) == []
    sent = in_data(function.news(function.output))
    assert len(sent) == 120 + 240
    by_id: dict[str, list[dict[str, Any]]] = {}
    for one in sent:
        by_id.setdefault(one["prediction_id"], []).append(one)
    assert len(by_id) == 300
    assert all(one == several[0] for several in by_id.values() for one in several)


def test_the_time_that_is_left_is_kept(gate: Gate, function: Streams) -> None:
    """An output that takes nothing has the invocation's time less a second, not more."""
    gate.refuse = lambda _stream, _records: 503
    answer = function.function.invoke(kinesis_invocation([record(place) for place in range(3)]), timeout=2.5)
    assert answer.document == {"batchItemFailures": [{"itemIdentifier": f"4959{100:052}"}]}
    assert answer.seconds < 2.3
    assert len(gate.puts) > 3


def test_each_partition_goes_on_at_its_own_event(gate: Gate, function: Streams) -> None:
    """Of Kafka's, the first event of each partition that was not done is named; others are done with."""
    partitions = {
        f"flights-{number}": [
            kafka_record("flights", number, 10 + place, record(place)) for place in range(3)
        ]
        for number in range(3)
    }
    gate.refuse = lambda _stream, records: {1, 2, 6, 7, 8} if len(records) == 9 else 500
    failures = function.invoke(kafka_invocation(partitions), timeout=2)
    assert failures == [
        {"itemIdentifier": {"partition": "flights-0", "offset": 11}},
        {"itemIdentifier": {"partition": "flights-2", "offset": 10}},
    ]


def test_a_dead_letter_that_cannot_be_sent_comes_again(gate: Gate, function: Streams) -> None:
    """Poison is no more lost than a prediction."""
    gate.refuse = lambda stream, _records: 500 if stream == function.letters else set()
    invocation = kinesis_invocation([record(0), b"poison", record(1)])
    assert function.invoke(invocation, timeout=2) == [{"itemIdentifier": f"4959{101:052}"}]
    assert len(function.news(function.output)) == 2


@pytest.mark.parametrize(
    ("invocation", "said"),
    [
        ({"Records": [{"eventSource": "aws:sqs", "body": "{}"}]}, "its records are 'aws:sqs'"),
        ({"detail": {}}, "its keys are 'detail'"),
        ([1], "it is no object but list"),
        ({"eventSource": "aws:kafka"}, "not as AWS documents it"),
        ({"Records": [{"eventSource": "aws:kinesis", "kinesis": {"data": "%"}}]}, "not as AWS documents it"),
    ],
)
def test_another_services_invocation_is_an_error(
    gate: Gate, function: Streams, invocation: Any, said: str
) -> None:
    """The function says what it was given."""
    answer = function.function.invoke(invocation)
    assert answer.failed
    assert answer.document["errorType"] == "MalformedBody"
    assert said in answer.document["errorMessage"]


@pytest.mark.parametrize(
    "invocation", [{"Records": []}, kafka_invocation({}), kafka_invocation({"flights-0": []})]
)
def test_nothing_to_do_is_no_error(gate: Gate, function: Streams, invocation: Any) -> None:
    """Without events there is nothing to report."""
    assert function.invoke(invocation) == []
    assert gate.puts == []


@pytest.mark.parametrize("missing", ["SKDEPLOY_OUTPUT_STREAM", "SKDEPLOY_DEAD_LETTER_STREAM"])
def test_a_function_without_its_streams_does_not_start(
    aws: AWS, regressor_file: Path, tmp_path: Path, missing: str
) -> None:
    """Its initialisation fails, and names the variable."""
    variables = settings(aws.endpoint, regressor_file, "one", "another", **{missing: ""})
    with pytest.raises(ServerError, match=f"{missing} is not set"), lambda_function(tmp_path, variables):
        pass


def test_a_mapping_that_reads_no_reports_has_errors(
    aws: AWS, shared_gate: Gate, regressor_file: Path, tmp_path: Path
) -> None:
    """With SKDEPLOY_REPORT_FAILURES=0 the whole invocation fails; so it does always without a stream."""
    output, letters = aws.create_stream(), aws.create_stream()
    variables = settings(shared_gate.endpoint, regressor_file, output, letters, SKDEPLOY_REPORT_FAILURES="0")
    shared_gate.opened()
    with lambda_function(tmp_path, variables) as started:
        shared_gate.refuse = lambda _stream, _records: {0}
        answer = started.invoke(kinesis_invocation([record(0), record(1)]), timeout=2)
        assert answer.failed
        assert answer.document["errorMessage"].startswith("1 of 2 events were not done")

        shared_gate.opened()
        aws.client("kinesis").delete_stream(StreamName=output)
        answer = started.invoke(kinesis_invocation([record(0)]))
        assert answer.failed
        assert answer.document["errorType"] == "StreamError"
        assert output in answer.document["errorMessage"]


def test_puts_stay_below_the_limit_of_bytes(function: Streams, gate: Gate) -> None:
    """Letters of a megabyte each go in several calls, of 5 MB at most."""
    assert function.invoke(kinesis_invocation([b"x" * 900_000] * 8)) == []
    assert len(function.news(function.letters)) == 8
    sizes = [put.size for put in gate.puts if put.stream == function.letters]
    assert len(sizes) > 1
    assert max(sizes) <= 5_000_000


def test_a_function_that_dies_is_not_waited_for() -> None:
    """Whoever invokes it is told at once."""
    with runtime_api() as api:
        api.is_alive = lambda: False
        with pytest.raises(ServerError, match="has ended"):
            api.invoke({})
