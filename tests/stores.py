"""S3 and MLflow servers for tests, and connections to them that misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from examples.servers.process import ServerNotInstalled
from examples.servers.s3 import S3, s3_server
from tests.live import wait_until

Answer = Callable[[http.server.BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes] | None]
# What a developer's machine may hold must neither help nor hurt.
FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION", "MLFLOW_TRACKING_TOKEN", "http_proxy")


@contextlib.contextmanager
def running_s3(folder: Path) -> Iterator[S3]:
    """An S3 server; the test is skipped where none is installed."""
    try:
        server = s3_server(folder)
        with server as s3:
            yield s3
    except ServerNotInstalled as error:
        pytest.skip(str(error))


def enter(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    """The environment in which clients find the servers, and nothing else."""
    for name in FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # The experiment that an earlier test chose, on a server that is gone.
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    monkeypatch.setattr("mlflow.tracking.fluent._active_experiment_id", None)


def put(s3: S3, key: str, content: bytes, *, digest: str | None = None) -> None:
    """Upload an object; `digest` goes into its metadata."""
    client(s3).put_object(
        Bucket=s3.bucket, Key=key, Body=content, Metadata={"sha256": digest} if digest else {}
    )


def restart(s3: S3) -> None:
    """Start a killed server; it answers some seconds before it finds what it had stored."""
    s3.process.start()
    objects = client(s3)

    def all_there() -> bool:
        try:
            for entry in objects.list_objects_v2(Bucket=s3.bucket).get("Contents", []):
                objects.get_object(Bucket=s3.bucket, Key=entry["Key"])["Body"].read()
        except (ClientError, BotoCoreError):  # an answer may also break off
            return False
        return True

    wait_until(all_there, "every object can be read again", 60)


def client(s3: S3) -> Any:
    """A client of one's own, with the right credentials whatever the environment says."""
    return boto3.client(
        "s3",
        endpoint_url=s3.endpoint,
        region_name="us-east-1",
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
    )


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fails if the block took longer."""
    begin = time.monotonic()
    yield
    took = time.monotonic() - begin
    assert took < seconds, f"{took:.1f} s"


@contextlib.contextmanager
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def refusing_server() -> Iterator[str]:
    """An address at which nothing listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@contextlib.contextmanager
def closed_server(status: int) -> Iterator[str]:
    """A server that answers every request with `status`, as a login page in front of another does."""

    class Closed(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(status)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def lying(answer: Answer) -> Iterator[str]:
    """A server that gives what `answer` returns, or what it wrote itself if that is None; its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = answer(self)
            if said is None:
                return
            status, headers, body = said
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        do_POST = do_PUT = do_GET  # noqa: N815 - the names are http.server's

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextlib.contextmanager
def cut_connection(endpoint: str, after: int) -> Iterator[str]:
    """A relay to `endpoint` that ends every answer after so many bytes."""
    host, port = endpoint.removeprefix("http://").split(":")
    with socket.create_server(("127.0.0.1", 0), backlog=50) as server:

        def accept() -> None:
            while True:
                try:
                    caller, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=relay, args=(caller,), daemon=True).start()

        def relay(caller: socket.socket) -> None:
            with caller, socket.create_connection((host, int(port))) as origin, contextlib.suppress(OSError):
                threading.Thread(target=_pump, args=(caller, origin), daemon=True).start()
                left = after
                while left > 0 and (data := origin.recv(min(left, 65536))):
                    caller.sendall(data)
                    left -= len(data)
                caller.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def _pump(caller: socket.socket, origin: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := caller.recv(65536):
            origin.sendall(data)
