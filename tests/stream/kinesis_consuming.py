"""Consumers of Kinesis for tests, as processes of their own."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from examples.servers.aws import AWS, environment
from tests.live import ROOT, wait_until
from tests.stream.aws import documents_in

_LOGS = itertools.count()


@dataclass
class Running:
    """A consumer that runs."""

    process: subprocess.Popen[bytes]
    log_file: Path

    def log(self) -> str:
        """What it said."""
        return self.log_file.read_text()

    def says(self, text: str) -> None:
        """Wait until it says so."""
        wait_until(lambda: text in self.log(), text, 30)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(10)


@dataclass
class World:
    """A stream of events, where its predictions and dead letters go, and a table of checkpoints."""

    aws: AWS
    model: Path
    folder: Path
    stream: str
    output: str
    letters: str
    table: str

    @classmethod
    def new(cls, aws: AWS, model: Path, folder: Path, shards: int = 2) -> World:
        """One of its own for a test."""
        stream = aws.create_stream(shards)
        return cls(aws, model, folder, stream, aws.create_stream(), aws.create_stream(), f"table-{stream}")

    def put(self, values: Sequence[bytes]) -> None:
        """Events, each with a key of its own."""
        client = self.aws.client("kinesis")
        for first in range(0, len(values), 500):
            records = [
                {"Data": value, "PartitionKey": f"key-{first + place}"}
                for place, value in enumerate(values[first : first + 500])
            ]
            assert client.put_records(StreamName=self.stream, Records=records)["FailedRecordCount"] == 0

    def predictions(self) -> list[dict[str, Any]]:
        """All that were sent."""
        return documents_in(self.aws, self.output)

    def predicted(self, count: int) -> None:
        """Wait until so many events have a prediction."""
        wait_until(
            lambda: len({one["prediction_id"] for one in self.predictions()}) >= count, "predictions", 40
        )

    def checkpoints(self) -> dict[str, str]:
        """Shard -> how far it is done."""
        items = self.aws.client("dynamodb").scan(TableName=self.table)["Items"]
        return {one["item"]["S"].partition("/")[2]: one["done"]["S"] for one in items if "done" in one}

    @contextlib.contextmanager
    def consuming(self, *arguments: str, **settings: str) -> Iterator[Running]:
        """A consumer, killed in the end if it still runs."""
        log_file = self.folder / f"consumer-{next(_LOGS)}.log"
        given = ["--stream", self.stream, "--output", self.output]
        given += ["--dead-letters", self.letters, "--table", self.table, *arguments]
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "streaming.consume_kinesis", *given],
                cwd=ROOT,
                env={
                    **environment(self.aws.endpoint),
                    "SKDEPLOY_MODEL_URI": str(self.model),
                    "SKDEPLOY_LEASE_SECONDS": "2",
                    "SKDEPLOY_METRICS_LISTEN": "0",
                    **settings,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        running = Running(process, log_file)
        try:
            yield running
        finally:
            running.kill()
