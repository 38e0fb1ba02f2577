"""Models with more and more columns: what a server does per cell shows where the model does little."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdeploy
from benchmarks.protocols import Record

COUNTS = (10, 50, 200, 600)
SERVERS = ("skdeploy", "skdeploy-sklearn", "flask", "mlflow")
_ROWS = 1000
# As many of 600 columns as a body may hold.
_RECORDS = 100


def make_model(count: int, path: Path) -> list[Record]:
    """Save a scaled linear model of `count` numbers to `path`; some of the records that it was fitted on."""
    random = np.random.default_rng(count)
    frame = pd.DataFrame(
        random.normal(size=(_ROWS, count)).round(4), columns=[f"column_{i}" for i in range(count)]
    )
    target = frame.sum(axis="columns") + random.normal(size=_ROWS)
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(frame, target)
    skdeploy.save(pipeline, frame, target, path, quiet=True, name=f"columns-{count}")
    records: list[Record] = json.loads(frame.head(_RECORDS).to_json(orient="records"))
    return records
