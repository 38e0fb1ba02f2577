"""One stage of a job alone, over one interval: what the whole could reach if the others cost nothing.

python -m benchmarks.batch.stages STAGE MOMENT     the job's settings are in the environment

STAGE is read, predict or write; what it needs from the others is made before and kept in memory. Prints
the seconds.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from skdeploy.batch.chunks import Chunk, ScoredChunk
from skdeploy.batch.intervals import Interval
from skdeploy.batch.job import Job
from skdeploy.batch.opening import open_job


def main(stage: str, moment: str) -> None:
    """Measure a stage over the interval that contains the moment."""
    opened = open_job(os.environ, threading.Event(), interval="monthly")
    interval = opened.calendar.containing(opened.calendar.parse(moment))
    print(STAGES[stage](opened.job, interval))


def read(job: Job, interval: Interval) -> float:
    """Chunks from the database to nothing."""
    began = time.perf_counter()
    for _ in job.input.chunks(interval, job.size):
        pass
    return time.perf_counter() - began


def predict(job: Job, interval: Interval) -> float:
    """Chunks in memory to predictions in memory, by the job's threads."""
    chunks = _chunks(job, interval)
    began = time.perf_counter()
    _scored(job, chunks)
    return time.perf_counter() - began


def write(job: Job, interval: Interval) -> float:
    """Predictions in memory to the database, with the commit."""
    scored = _scored(job, _chunks(job, interval))
    began = time.perf_counter()
    with job.output.writing(job.task(interval), large=False) as writing:
        for chunk in scored:
            writing.write(chunk)
        writing.finish()
    return time.perf_counter() - began


def _chunks(job: Job, interval: Interval) -> list[Chunk]:
    return list(job.input.chunks(interval, job.size))


def _scored(job: Job, chunks: list[Chunk]) -> list[ScoredChunk]:
    with ThreadPoolExecutor(job.threads) as pool:
        return list(pool.map(job.scorer.score, chunks))


STAGES: dict[str, Callable[[Job, Interval], float]] = {"read": read, "predict": predict, "write": write}

if __name__ == "__main__":
    main(*sys.argv[1:])
