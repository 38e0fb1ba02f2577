"""Clusters of Apache Spark for tests."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.servers.process import ServerNotInstalled
from examples.servers.spark import Cluster, spark_cluster
from tests.batch.jobs import Finished, finished

# What says to a driver that Python begins where the cluster is; spark-submit has options for it.
_OF_PYTHON = ("SKDEPLOY_SPARK_MASTER", "PYSPARK_SUBMIT_ARGS")
_ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def running_spark(folder: Path) -> Iterator[Cluster]:
    """A master and two workers of one CPU each; the test is skipped where Spark is not installed."""
    try:
        server = spark_cluster(folder)
        with server as cluster:
            yield cluster
    except ServerNotInstalled as error:
        pytest.skip(str(error))


def start(cluster: Cluster, environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """The command line as a driver of the cluster; `environment` is the job's."""
    return subprocess.Popen(
        [str(cluster.python), "-m", "batch.spark_score", *arguments],
        cwd=_ROOT,
        env={**environment, **cluster.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def score(cluster: Cluster, environment: dict[str, str], *arguments: str) -> Finished:
    """The command line, awaited."""
    with start(cluster, environment, *arguments) as process:
        return finished(process, timeout=300)


def submit(cluster: Cluster, environment: dict[str, str], *arguments: str) -> Finished:
    """The same by `spark-submit`, from another folder, as whoever has a cluster starts it."""
    driver = {name: value for name, value in cluster.environment.items() if name not in _OF_PYTHON}
    options = ["--master", cluster.url, "--conf", "spark.executor.memory=600m"]
    with subprocess.Popen(
        [str(cluster.spark_submit), *options, str(_ROOT / "batch" / "spark_score.py"), *arguments],
        cwd=cluster.folder,
        env={**environment, **driver},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        return finished(process, timeout=300)


def executors(cluster: Cluster) -> list[int]:
    """The processes that run tasks at the moment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if b"CoarseGrainedExecutorBackend" in command and _below(process, cluster.folder):
                found.append(int(process.name))
    return found


def _below(process: Path, folder: Path) -> bool:
    return folder in (process / "cwd").readlink().parents
