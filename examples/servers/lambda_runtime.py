"""Lambda's Runtime API, for AWS's own runtime client: invocations out, answers in.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. One invocation at a time, as in Lambda.
"""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from examples.servers.process import ServerError

_PREFIX = "/2018-06-01/runtime"
_ARN = "arn:aws:lambda:us-east-1:123456789012:function:skdeploy"


def kinesis_invocation(values: Sequence[bytes], stream: str = "flights", first: int = 100) -> dict[str, Any]:
    """What Lambda is handed for the events of a shard; keys are key-0 and so on."""
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": f"key-{place}",
                    "sequenceNumber": f"4959{first + place:052}",
                    "data": base64.b64encode(value).decode(),
                    "approximateArrivalTimestamp": 1545084650.987,
                },
                "eventSource": "aws:kinesis",
                "eventVersion": "1.0",
                "eventID": f"shardId-000000000006:4959{first + place:052}",
                "eventName": "aws:kinesis:record",
                "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda-role",
                "awsRegion": "us-east-1",
                "eventSourceARN": f"arn:aws:kinesis:us-east-1:123456789012:stream/{stream}",
            }
            for place, value in enumerate(values)
        ]
    }


@dataclass(frozen=True)
class Answer:
    """What a function made of an invocation: its `document`, or AWS's document of an error."""

    document: Any
    failed: bool
    seconds: float


@dataclass
class RuntimeApi:
    """The API, as it is served on `address`; whoever starts the runtime client hands that to it."""

    address: str = ""
    invocations: queue.Queue[tuple[str, float, bytes]] = field(default_factory=queue.Queue)
    answers: queue.Queue[tuple[str, str, bytes]] = field(default_factory=queue.Queue)
    asked: threading.Event = field(default_factory=threading.Event)
    is_alive: Callable[[], bool] = lambda: True

    def invoke(self, event: Any, timeout: float = 60) -> Answer:
        """Hand `event` to the function, which has so many seconds; ServerError if it takes more, or dies."""
        request = str(uuid.uuid4())
        body = json.dumps(event).encode()
        began = time.monotonic()
        self.invocations.put((request, time.time() + timeout, body))
        while True:
            alive = self.is_alive()
            try:
                of, outcome, said = self.answers.get(timeout=0.1)
            except queue.Empty:
                if not alive:
                    raise ServerError("The function's process has ended.") from None
                if time.monotonic() > began + timeout:
                    raise ServerError(f"The function did not answer within {timeout:g} seconds.") from None
                continue
            # One that took longer than it had may answer an invocation that was given up.
            if of in (request, "init"):
                document = json.loads(said or b"null")
                return Answer(document, outcome == "error", time.monotonic() - began)


@dataclass(frozen=True)
class Function:
    """A function that runs. `cold_start`: seconds from its process's start to its first question for work."""

    api: RuntimeApi
    process: subprocess.Popen[bytes]
    cold_start: float
    log_file: Path

    def invoke(self, event: Any, timeout: float = 60) -> Answer:
        """What it makes of `event`, within so many seconds."""
        return self.api.invoke(event, timeout)


@contextlib.contextmanager
def runtime_api() -> Iterator[RuntimeApi]:
    """The API on a free port of 127.0.0.1."""
    api = RuntimeApi()
    bound = type("Bound", (_Handler,), {"api": api})
    with _Server(("127.0.0.1", 0), bound) as server:
        api.address = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield api
        finally:
            # Whoever waits for work would hold the server back.
            api.invocations.put(("", 0, b""))
            server.shutdown()


@contextlib.contextmanager
def lambda_function(
    folder: Path,
    environment: Mapping[str, str],
    handler: str = "streaming.lambda_function.handler",
    command: Sequence[str] = (sys.executable, "-m", "awslambdaric"),
    seconds: float = 60,
) -> Iterator[Function]:
    """`handler` under AWS's runtime client, its log in `folder`; killed in the end, as Lambda does.

    environment   beside PATH, all that it has

    Raises ServerError with what it said if it fails in its initialisation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / "lambda.log"
    with runtime_api() as api, log_file.open("wb") as log:
        variables = {"PATH": os.environ["PATH"], **environment, "AWS_LAMBDA_RUNTIME_API": api.address}
        began = time.monotonic()
        process = subprocess.Popen(  # noqa: S603 (the caller's own)
            [*command, handler], env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            api.is_alive = lambda: process.poll() is None
            _wait_for_question(api, process, log_file, began + seconds)
            yield Function(api, process, time.monotonic() - began, log_file)
        finally:
            process.kill()
            process.wait()


def _wait_for_question(
    api: RuntimeApi, process: subprocess.Popen[bytes], log_file: Path, deadline: float
) -> None:
    while not api.asked.wait(0.01):
        if not api.answers.empty() or process.poll() is not None or time.monotonic() > deadline:
            said = b"" if api.answers.empty() else api.answers.get()[2]
            log = log_file.read_text(errors="replace")[-2000:]
            raise ServerError(f"The function does not start. {said.decode()}\n{log}")


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A function that is killed breaks its connection off."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request of the runtime client to `api`."""

    protocol_version = "HTTP/1.1"
    api: RuntimeApi

    def do_GET(self) -> None:
        """The next invocation, once there is one."""
        self.api.asked.set()
        request, deadline, body = self.api.invocations.get()
        headers = {
            # The runtime client crashes without it.
            "Content-Type": "application/json",
            "Lambda-Runtime-Aws-Request-Id": request,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Lambda-Runtime-Invoked-Function-Arn": _ARN,
        }
        with contextlib.suppress(ConnectionError):
            self._answer(200, body, headers)

    def do_POST(self) -> None:
        """What a function made of an invocation, or of its initialisation."""
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        parts = self.path.removeprefix(_PREFIX).strip("/").split("/")
        self.api.answers.put(("init" if parts[0] == "init" else parts[1], parts[-1], body))
        self._answer(202, b'{"status":"OK"}', {})

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
