"""Kinesis and DynamoDB: moto's server, which keeps everything in memory. It does not throttle."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.servers.process import Process, ServerNotInstalled, answers, free_ports

REGION = "us-east-1"


@dataclass(frozen=True)
class AWS:
    """A server that runs. `process` can be stopped; what it kept is then gone."""

    endpoint: str
    process: Process

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which boto3 finds the server, and nothing else."""
        return environment(self.endpoint)

    def client(self, service: str) -> Any:
        """A client of boto3, whatever the environment says."""
        import boto3

        session = boto3.session.Session("key", "secret", region_name=REGION)
        return session.client(service, endpoint_url=self.endpoint)

    def create_stream(self, shards: int = 1) -> str:
        """A stream of Kinesis with a name of its own, which it returns."""
        name, client = f"stream-{uuid.uuid4().hex[:12]}", self.client("kinesis")
        client.create_stream(StreamName=name, ShardCount=shards)
        client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
        return name


def environment(endpoint: str) -> dict[str, str]:
    """The variables by which boto3 finds the services at `endpoint`."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@contextlib.contextmanager
def aws_server(folder: Path) -> Iterator[AWS]:
    """Moto's server, with its log in `folder`. Raises ServerError."""
    if importlib.util.find_spec("moto") is None:
        raise ServerNotInstalled("moto is not installed: run make .venv/dev.done")
    folder.mkdir(parents=True, exist_ok=True)
    [port] = free_ports(1)
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    process = Process(
        "moto",
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        inherited,
        folder / "moto.log",
        lambda: answers(port, "/moto-api/data.json"),
    )
    process.start()
    try:
        yield AWS(f"http://127.0.0.1:{port}", process)
    finally:
        process.stop()
