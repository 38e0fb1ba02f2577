"""The Lambda function under AWS's own runtime client: records per second of an invocation, cold and warm.

Its streams are moto's, on the same machine: what they take alone for the same records is measured beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.processes import BenchmarkError
from benchmarks.stream.topics import bodies
from examples.servers.aws import AWS, aws_server, environment
from examples.servers.lambda_runtime import Function, kinesis_invocation, lambda_function

_ROOT = Path(__file__).parents[2]
SIZES = (100, 1000)
_INVOCATIONS = 10
WAYS = ("container", "exported")
LABELS = {
    "container": "the model's file, compiled at the start, as in the container",
    "exported": "an exported model, as in the zip",
}


def run() -> dict[str, Any]:
    """By way: seconds to the first answer, and records per second; and what the streams take alone."""
    with tempfile.TemporaryDirectory(prefix="skdeploy-bench-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "skdeploy", "export", "model.bin", str(folder / "model.skdeploy")]
        subprocess.run(command, cwd=_ROOT, check=True, capture_output=True)
        models = dict(zip(WAYS, (_ROOT / "model.bin", folder / "model.skdeploy"), strict=True))
        with aws_server(folder) as aws:
            found: dict[str, Any] = {way: _way(aws, folder, model) for way, model in models.items()}
            return found | {"streams": {str(size): _streams_alone(aws, size) for size in SIZES}}


def _way(aws: AWS, folder: Path, model: Path) -> dict[str, Any]:
    cold = []
    for _ in range(3):
        began = time.monotonic()
        with _function(aws, folder, model) as function:
            _invoke(function, SIZES[0])
            cold.append(time.monotonic() - began)
    with _function(aws, folder, model) as function:
        _invoke(function, SIZES[0])
        warm = {
            str(size): size / median(_invoke(function, size) for _ in range(_INVOCATIONS)) for size in SIZES
        }
    return {"cold": round(median(cold), 2), "warm": {size: round(rate) for size, rate in warm.items()}}


@contextmanager
def _function(aws: AWS, folder: Path, model: Path) -> Iterator[Function]:
    names = {
        "SKDEPLOY_OUTPUT_STREAM": aws.create_stream(),
        "SKDEPLOY_DEAD_LETTER_STREAM": aws.create_stream(),
    }
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    ours = {"SKDEPLOY_MODEL_URI": str(model), "PYTHONPATH": str(_ROOT), "SKDEPLOY_LOG_LEVEL": "warning"}
    variables = environment(aws.endpoint) | names | threads | ours
    with lambda_function(folder / f"lambda-{time.monotonic_ns()}", variables) as function:
        yield function


def _invoke(function: Function, size: int) -> float:
    """Seconds of an invocation with so many records."""
    answer = function.invoke(kinesis_invocation([*bodies(size)]))
    if answer.failed or answer.document != {"batchItemFailures": []}:
        raise BenchmarkError(f"the function did not do all: {answer.document}")
    return answer.seconds


def _streams_alone(aws: AWS, size: int) -> int:
    """Records per second that PutRecords takes, 500 a call, of about a prediction's size."""
    name, client, data = aws.create_stream(), aws.client("kinesis"), os.urandom(100).hex().encode()
    seconds = []
    for _ in range(_INVOCATIONS):
        began = time.monotonic()
        for start in range(0, size, 500):
            records = [{"Data": data, "PartitionKey": str(n)} for n in range(start, min(start + 500, size))]
            client.put_records(StreamName=name, Records=records)
        seconds.append(time.monotonic() - began)
    return round(size / median(seconds))
