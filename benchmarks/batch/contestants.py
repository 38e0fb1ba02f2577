"""What is measured: a process over one of the two tables, and how many seconds of it count."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.batch import naive
from benchmarks.batch.tables import FIRST_MONTH, MONTH, YEARS, last_month
from examples.flights import data
from skdeploy.config import DECLARED

OUTPUT = "batch_predictions"


@dataclass(frozen=True, slots=True)
class Contestant:
    """A process of the benchmark.

    kind       "naive", "ours", "stage" or "spark"
    table      what it reads
    output     what it writes, if it does
    arguments  its command line without Python, for so many rows, from a database
    work       of what it said, the seconds without start and loading
    settings   of a job
    python     the interpreter
    """

    key: str
    label: str
    kind: str
    table: str
    output: str | None
    arguments: Callable[[str, int], list[str]]
    work: Callable[[str], float] = float
    settings: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable

    def command(self, url: str, rows: int) -> list[str]:
        """The process."""
        return [self.python, *self.arguments(url, rows)]

    def environment(self, url: str) -> dict[str, str]:
        """Our own, with a job's settings, and none of the user's."""
        inherited = {name: value for name, value in os.environ.items() if name not in DECLARED}
        job = {
            "SKDEPLOY_MODEL_URI": "model.bin",
            "SKDEPLOY_INPUT_URL": url,
            "SKDEPLOY_INPUT_TABLE": self.table,
            "SKDEPLOY_OUTPUT_TABLE": OUTPUT,
            "SKDEPLOY_KEY_COLUMNS": data.KEY,
            "SKDEPLOY_TIME_COLUMN": data.EVENT_TIME,
            "SKDEPLOY_INTERVAL": "monthly",
        }
        return inherited | job | self.settings


def _ours(key: str, label: str, table: str, **settings: str) -> Contestant:
    def arguments(_url: str, rows: int) -> list[str]:
        months = (FIRST_MONTH, last_month(rows)) if table == YEARS else (FIRST_MONTH,) * 2
        return ["-m", "batch.score", "--backfill", *(f"{month}-01" for month in months)]

    return Contestant(key, label, "ours", table, OUTPUT, arguments, _seconds_of_intervals, settings)


def _spark(key: str, label: str) -> Contestant:
    """Driver and executors are one process of Java, and two of Python beside it."""
    python = str(Path(__file__).parents[2] / ".venv-spark" / "bin" / "python")
    settings = {"SKDEPLOY_SPARK_MASTER": "local[2]", "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": python}

    def arguments(_url: str, _rows: int) -> list[str]:
        return ["-m", "batch.spark_score", "--at", f"{FIRST_MONTH}-01"]

    return Contestant(key, label, "spark", MONTH, OUTPUT, arguments, _seconds_of_intervals, settings, python)


def _seconds_of_intervals(said: str) -> float:
    return float(sum(interval["seconds"] for interval in json.loads(said)["intervals"]))


def _stage(name: str, label: str, output: str | None = None) -> Contestant:
    def arguments(_url: str, _rows: int) -> list[str]:
        return ["-m", "benchmarks.batch.stages", name, f"{FIRST_MONTH}-01"]

    return Contestant(name, label, "stage", MONTH, output, arguments)


CONTESTANTS = {
    contestant.key: contestant
    for contestant in (
        Contestant(
            "naive",
            "naive loop: pandas, scikit-learn",
            "naive",
            MONTH,
            naive.OUTPUT,
            lambda url, _rows: ["-m", "benchmarks.batch.naive", url, MONTH],
        ),
        _ours("interval", "skdeploy, one interval", MONTH),
        _ours("staged", "skdeploy, one interval, staged", MONTH, SKDEPLOY_LARGE_INTERVAL="0"),
        # In UTC the year's last evening belongs to the next one.
        _ours("months", "skdeploy, by months", YEARS, SKDEPLOY_EVENT_TZ="America/New_York"),
        _spark("spark", "skdeploy on Spark, local, one interval"),
        _stage("read", "reading alone"),
        _stage("predict", "predicting alone"),
        _stage("write", "writing alone", OUTPUT),
    )
}
