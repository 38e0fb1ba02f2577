"""An MLflow tracking server with a registry, whose artifacts are in S3."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from examples.servers.process import Process, answers, free_ports, program
from examples.servers.s3 import S3


@dataclass(frozen=True)
class MlflowServer:
    """A server that runs. `process` can be stopped, killed and started again.

    environment   the variables by which a client finds it, and S3 if its artifacts are not proxied
    """

    uri: str
    environment: Mapping[str, str]
    process: Process


@contextlib.contextmanager
def mlflow_server(
    folder: Path, s3: S3, *, proxied: bool = True, backend_store: str | None = None
) -> Iterator[MlflowServer]:
    """A tracking server that keeps its database and its log in `folder`; stopped in the end.

    proxied         clients read and write artifacts through this server, and need no credentials of S3;
                    else they talk to S3 themselves
    backend_store   an SQLAlchemy URI; default: an SQLite file

    Raises ServerError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    artifacts = f"s3://{s3.bucket}/artifacts"
    where = (
        ("--serve-artifacts", "--artifacts-destination", artifacts)
        if proxied
        else ("--no-serve-artifacts", "--default-artifact-root", artifacts)
    )
    store = backend_store or f"sqlite:///{folder / 'mlflow.db'}"
    command = [
        *(program("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", store, *where),
    ]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ},
        **s3.environment,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    process = Process(
        "the MLflow server", command, environment, folder / "mlflow.log", lambda: answers(port, "/health")
    )
    process.start()
    uri = f"http://127.0.0.1:{port}"
    # Without it, clients would be sent to S3 with signed addresses.
    found_by = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false"}
    found_by |= {} if proxied else s3.environment
    try:
        yield MlflowServer(uri, found_by, process)
    finally:
        process.stop()
