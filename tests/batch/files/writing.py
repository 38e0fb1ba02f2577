"""What tests of the files' output write, and how they look at it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from skdeploy.batch.chunks import Reject, ScoredChunk, Task
from skdeploy.batch.files.manifest import Manifest
from skdeploy.batch.files.output import ParquetOutput
from skdeploy.batch.files.storage import Storage, open_storage
from skdeploy.batch.intervals import Calendar, Interval
from skdeploy.errors import OutputError

KEYS = {"id": pa.int64()}
PREDICTED = pa.schema([("prediction", pa.float64())])
DAILY = Calendar("daily", ZoneInfo("America/New_York"), wall=False)
DAY = DAILY.containing(datetime(2013, 11, 5, 12, tzinfo=UTC))
DIGEST = "0123456789abcdef" * 4
OTHER = "fedcba9876543210" * 4


def task(interval: Interval = DAY, digest: str = DIGEST, job: str = "flights/NYC") -> Task:
    return Task(job=job, interval=interval, model_name="air", model_version="7", digest=digest)


def scored(start: int, stop: int, plus: float = 0.0, rejects: int = 0) -> ScoredChunk:
    """A chunk: keys from `start`, each predicted as itself and `plus`; the last ones are rejected."""
    keys = range(start, stop - rejects)
    table = pa.table({"id": pa.array(keys, pa.int64()), "prediction": [key + plus for key in keys]})
    bad = [
        Reject(f'{{"id":{key}}}', "size", "type", "a number", "'x'") for key in range(stop - rejects, stop)
    ]
    return ScoredChunk(table, bad, rejects, (stop - 1,))


def output_at(url: str, part_rows: int = 1000) -> ParquetOutput:
    output = ParquetOutput(url, part_rows=part_rows)
    output.prepare(KEYS, PREDICTED)
    return output


def write(output: ParquetOutput, of: Task, *chunks: ScoredChunk) -> None:
    with output.writing(of, large=False) as writing:
        for chunk in chunks:
            writing.write(chunk)
        writing.finish()


class Seen:
    """What is in a place, for who follows the manifests."""

    def __init__(self, url: str) -> None:
        self.storage: Storage = open_storage(url, "SKDEPLOY_OUTPUT_URL", OutputError)
        # pyarrow's file systems know nothing of the place's beginning.
        self._root = url.removeprefix("s3://").rstrip("/")

    def names(self, suffix: str = ".parquet") -> list[str]:
        return [file.name for file in self.storage.files("") if file.name.endswith(suffix)]

    def manifests(self) -> list[Manifest]:
        contents = [self.storage.read(name) for name in self.names("_manifest.json")]
        return [Manifest.from_bytes(found[0]) for found in contents if found]

    def manifest(self) -> Manifest:
        (manifest,) = self.manifests()
        return manifest

    def table(self, kind: str = "predictions") -> pa.Table:
        manifest = self.manifest()
        assert manifest.current is not None
        parts = manifest.models[manifest.current].parts[kind]
        tables = [self.read(part.name) for part in parts]
        assert [table.num_rows for table in tables] == [part.rows for part in parts]
        return pa.concat_tables(tables)

    def read(self, name: str) -> pa.Table:
        return pq.read_table(f"{self._root}/{name}", filesystem=self.storage.filesystem(), partitioning=None)

    def predictions(self) -> list[float]:
        return list(self.table()["prediction"].to_pylist())

    def exact(self) -> dict[str, bytes]:
        """All files' contents."""
        contents = {name: self.storage.read(name) for name in self.names()}
        return {name: found[0] for name, found in contents.items() if found}
