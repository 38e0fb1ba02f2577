"""A relay before a Kinesis server: a stream of three shards looks as if the first was split into the others.

Moto has split_shard, but goes on putting events into the parent, and never ends it.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

from examples.servers.aws import AWS
from tests.stream.aws import relayed

PARENT = "shardId-000000000000"


@contextlib.contextmanager
def resharded_before(aws: AWS) -> Iterator[str]:
    """The relay's endpoint. Only streams of three shards are to be read through it."""
    address = aws.endpoint.removeprefix("http://")

    class Relay(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = relayed(address, self.headers, body)
            call = self.headers["X-Amz-Target"].rpartition(".")[2]
            if status == 200 and call in ("ListShards", "GetRecords"):
                answer = _changed(call, json.loads(body), json.loads(answer))
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


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
