"""FastAPI: the pipeline behind a route, in a thread of the server's pool because scoring blocks."""

from __future__ import annotations

import os
from typing import Any

import joblib
import pandas as pd
from fastapi import FastAPI

app = FastAPI()
pipeline = joblib.load(os.environ["MODEL"])


@app.post("/predict")
def predict(records: list[dict[str, Any]]) -> dict[str, list[float]]:
    """A list of records -> their predictions."""
    return {"predictions": pipeline.predict(pd.DataFrame(records)).tolist()}
