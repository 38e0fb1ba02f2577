"""The command line of `batch/spark_score.py`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields

from skdeploy import source
from skdeploy.batch import command
from skdeploy.batch.opening import Opened
from skdeploy.batch.spark.cluster import Cluster
from skdeploy.batch.spark.executor import Shipped
from skdeploy.batch.spark.job import SparkJob
from skdeploy.batch.spark.reading import open_reading
from skdeploy.batch.spreading import SpreadOutput
from skdeploy.config import ModelSettings
from skdeploy.errors import DigestMismatch, SettingsError, SourceUnreachable
from skdeploy.source.cache import Cache

# Of a part: ten chunks or more, so that starting its task does not count.
_PART_CHUNKS = 10


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Score intervals on a cluster; all else is as `batch/score.py` has it. The exit code."""
    return command.main(argv, environ, program="python batch/spark_score.py", placed=on_cluster)


@contextlib.contextmanager
def on_cluster(opened: Opened) -> Iterator[Opened]:
    """The same job on the cluster that SKDEPLOY_SPARK_MASTER or spark-submit names. Raises SettingsError."""
    batch, job = opened.batch, opened.job
    if not isinstance(job.output, SpreadOutput):
        raise SettingsError(
            "SKDEPLOY_OUTPUT_URL: a cluster writes to a database, or to files that all its machines reach."
        )
    shipped = Shipped(
        file=f"model-{job.model.file_digest[:16]}.bin",
        digest=job.model.file_digest,
        name=job.model.passport.name,
        engine=job.model.engine.name,
        trusted=batch.skops_trusted,
    )
    content = _content(batch, job.model.file_digest)
    cluster = Cluster(batch.spark_master, f"skdeploy batch {job.name}", shipped, content, job.stop)
    spread = SparkJob(
        **{field.name: getattr(job, field.name) for field in fields(job)},
        cluster=cluster,
        reading=open_reading(batch, job.input),
        spread=job.output,
        part_records=_PART_CHUNKS * job.size,
        proba=batch.proba,
        strict=batch.strict_categories,
    )
    with contextlib.closing(cluster):
        yield Opened(job=spread, calendar=opened.calendar, batch=batch)


def _content(settings: ModelSettings, digest: str) -> bytes:
    """The bytes of the model that was loaded. Raises ModelUnavailable if its source has another by now."""
    place = source.Source.from_settings(settings)
    try:
        fetched = source.fetch(place)
    except SourceUnreachable:
        content = Cache(place.cache).content(digest) if place.cache else None
        if content is None:
            raise
        return content
    if fetched.digest != digest:
        raise DigestMismatch(fetched.where, digest, fetched.digest, "the load a moment ago")
    return fetched.content
