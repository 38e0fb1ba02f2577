"""`make batch-demo`, run as a newcomer runs it, over few days."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from examples import batch_demo
from examples.flights import data
from tests.live import ROOT


def demo(temporary: Path, *arguments: str) -> str:
    """What the demo printed; it ended with 0."""
    done = subprocess.run(
        [sys.executable, "-m", "examples.batch_demo", *arguments],
        cwd=ROOT,
        # Variables of a job that the user has set are not the demo's.
        env={
            "PATH": "",
            "TMPDIR": str(temporary),
            "SKDEPLOY_JOB": "another",
            "SKDEPLOY_LARGE_INTERVAL": "no number",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_scores_days_and_says_how_well(tmp_path: Path) -> None:
    """Two days: all rows predicted, nothing done again, the error beside the baseline, a picture."""
    folder = tmp_path / "kept"
    output = demo(tmp_path, "--days", "2", "--keep", str(folder))
    assert "336,776 flights" in output
    assert "--backfill 2013-11-01 2013-11-02" in output
    assert "2 days skipped, nothing written" in output
    found = re.search(r"2 days, ([\d,]+) rows read, ([\d,]+) predicted, 0 rejected", output)
    assert found
    assert found[1] == found[2]
    totals = re.search(r"^all +([\d,]+) +([\d.]+) +([\d.]+)$", output, re.MULTILINE)
    assert totals
    assert totals[1] == found[1]
    assert float(totals[2]) < float(totals[3])
    assert (folder / "batch-demo.png").read_bytes().startswith(b"\x89PNG")
    with contextlib.closing(sqlite3.connect(folder / "flights.db")) as connection:
        [(count, starts)] = connection.execute(
            "SELECT count(*), group_concat(DISTINCT interval_start) FROM predictions_current"
        )
    assert f"{count:,}" == found[1]
    assert starts == "2013-11-01T04:00:00Z,2013-11-02T04:00:00Z"
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_an_unfinished_job_ends_the_demo(tmp_path: Path) -> None:
    """What the job said is in the message."""
    database = tmp_path / "flights.db"
    batch_demo.load(database, data.flights_table().head(100).drop(columns="temp"))
    with pytest.raises(batch_demo.DemoError, match=r"batch\.score ended with 4"):
        batch_demo.score(database, date(2013, 1, 1), date(2013, 1, 1))
