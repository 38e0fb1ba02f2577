"""Streams of a Kinesis server for tests, what AWS hands to Lambda functions, and a gate before the server."""

from __future__ import annotations

import base64
import contextlib
import http.client
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from examples.servers.aws import AWS, aws_server
from examples.servers.process import ServerNotInstalled

# Which places of a put are refused; or the status of the whole call.
Refuse = Callable[[str, Sequence[dict[str, Any]]], set[int] | int]
# A call's name, headers and body -> status and body.
Answer = Callable[[str, Any, bytes], tuple[int, bytes]]


@contextlib.contextmanager
def running_aws(folder: Path) -> Iterator[AWS]:
    """A server of Kinesis and DynamoDB; the test is skipped where none is installed."""
    try:
        with aws_server(folder) as aws:
            yield aws
    except ServerNotInstalled as error:
        pytest.skip(str(error))


def records_in(aws: AWS, stream: str) -> list[dict[str, Any]]:
    """All that a stream holds, shard by shard, as GetRecords gives them."""
    client = aws.client("kinesis")
    found = []
    for shard in client.list_shards(StreamName=stream)["Shards"]:
        iterator = client.get_shard_iterator(
            StreamName=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        while iterator:
            answer = client.get_records(ShardIterator=iterator, Limit=10000)
            found += answer["Records"]
            iterator = answer["NextShardIterator"] if answer["MillisBehindLatest"] else None
    return found


def documents_in(aws: AWS, stream: str) -> list[dict[str, Any]]:
    """The same, as JSON."""
    return [json.loads(record["Data"]) for record in records_in(aws, stream)]


def record(place: int) -> bytes:
    """A record that the small model takes."""
    kind = ("ash", "elm", "oak")[place % 3]
    return json.dumps({"size": place % 17 / 4, "kind": kind, "age": place % 8 + 1, "id": place}).encode()


def kafka_invocation(
    partitions: dict[str, list[dict[str, Any]]], source: str = "aws:kafka"
) -> dict[str, Any]:
    """What Lambda is handed for events of Kafka: topic-partition -> records."""
    return {
        "eventSource": source,
        "eventSourceArn": "arn:aws:kafka:us-east-1:123456789012:cluster/vpc/abcd",
        "bootstrapServers": "b-2.demo.amazonaws.com:9092",
        "records": partitions,
    }


def kafka_record(topic: str, partition: int, offset: int, value: bytes | None, **more: Any) -> dict[str, Any]:
    """One of its records."""
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": 1545084650987,
        "timestampType": "CREATE_TIME",
        "value": None if value is None else base64.b64encode(value).decode(),
        "headers": [],
        **more,
    }


@dataclass(frozen=True)
class Put:
    """A call of PutRecords: to which stream, how many records, of how many bytes with their keys."""

    stream: str
    records: int
    size: int


@dataclass
class Gate:
    """A gate before a server of AWS: counts puts, and refuses some, as Amazon does and moto does not."""

    endpoint: str = ""
    puts: list[Put] = field(default_factory=list)
    refuse: Refuse = lambda _stream, _records: set()

    def opened(self) -> None:
        """Forget the puts, and refuse nothing."""
        self.puts.clear()
        self.refuse = lambda _stream, _records: set()


@contextlib.contextmanager
def gate_before(aws: AWS) -> Iterator[Gate]:
    """A gate that relays every call to the server."""
    gate = Gate()
    address = aws.endpoint.removeprefix("http://")

    def answer(call: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        if call == "PutRecords":
            return _put(gate, address, headers, json.loads(body))
        return relayed(address, headers, body)

    with relay(answer) as gate.endpoint:
        yield gate


@contextlib.contextmanager
def relay(answer: Answer) -> Iterator[str]:
    """The endpoint of a server that answers AWS's calls as `answer` says."""

    class Relay(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            call = self.headers["X-Amz-Target"].rpartition(".")[2]
            status, said = answer(call, self.headers, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _put(gate: Gate, address: str, headers: Any, request: dict[str, Any]) -> tuple[int, bytes]:
    stream, records = request["StreamName"], request["Records"]
    size = sum(len(base64.b64decode(one["Data"])) + len(one["PartitionKey"].encode()) for one in records)
    gate.puts.append(Put(stream, len(records), size))
    refused = gate.refuse(stream, records)
    if isinstance(refused, int):
        return refused, json.dumps({"__type": "InternalFailure", "message": "not now"}).encode()
    taken = [one for place, one in enumerate(records) if place not in refused]
    status, said = 200, b'{"Records":[]}'
    if taken:
        status, said = relayed(address, headers, json.dumps({**request, "Records": taken}).encode())
    if status != 200 or not refused:
        return status, said
    outcomes = iter(json.loads(said)["Records"])
    throttled = {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"}
    merged = [throttled if place in refused else next(outcomes) for place in range(len(records))]
    return 200, json.dumps({"FailedRecordCount": len(refused), "Records": merged}).encode()


def relayed(address: str, headers: Any, body: bytes) -> tuple[int, bytes]:
    """What the server answers to a call: status and body."""
    kept = {name: headers[name] for name in ("X-Amz-Target", "Content-Type", "Authorization", "X-Amz-Date")}
    with contextlib.closing(http.client.HTTPConnection(address, timeout=20)) as connection:
        connection.request("POST", "/", body, kept)
        answer = connection.getresponse()
        return answer.status, answer.read()
