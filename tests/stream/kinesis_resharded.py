"""A relay before a Kinesis server: a stream of three shards looks as if the first was split into the others.

Moto has split_shard, but goes on putting events into the parent, and never ends it.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from examples.servers.aws import AWS
from tests.stream.aws import relay, relayed

PARENT = "shardId-000000000000"


@contextlib.contextmanager
def resharded_before(aws: AWS) -> Iterator[str]:
    """The relay's endpoint. Only streams of three shards are to be read through it."""
    address = aws.endpoint.removeprefix("http://")

    def answer(call: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        status, said = relayed(address, headers, body)
        if status == 200 and call in ("ListShards", "GetRecords"):
            said = _changed(call, json.loads(body), json.loads(said))
        return status, said

    with relay(answer) as endpoint:
        yield endpoint


def _changed(call: str, request: dict[str, Any], answer: dict[str, Any]) -> bytes:
    if call == "ListShards" and len(answer["Shards"]) == 3:
        parent, *children = answer["Shards"]
        parent["SequenceNumberRange"]["EndingSequenceNumber"] = "1000000"
        for child in children:
            child["ParentShardId"] = PARENT
    # As at Amazon: there is nothing behind a closed shard's last event.
    ends = call == "GetRecords" and not answer["Records"]
    if ends and PARENT in base64.b64decode(request["ShardIterator"]).decode():
        answer["NextShardIterator"] = None
    return json.dumps(answer).encode()
