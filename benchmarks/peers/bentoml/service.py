"""BentoML: the pipeline as a service class. BATCHING=1 lets it score several requests at once."""

from __future__ import annotations

import os
from typing import Any

import bentoml
import joblib
import pandas as pd


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Flights:
    """One pipeline."""

    def __init__(self) -> None:
        """Load it in the worker process."""
        self.pipeline = joblib.load(os.environ["MODEL"])

    @bentoml.api(batchable=os.environ.get("BATCHING") == "1", max_batch_size=1000)
    def predict(self, records: list[dict[str, Any]]) -> list[float]:
        """A list of records -> their predictions."""
        predictions: list[float] = self.pipeline.predict(pd.DataFrame(records)).tolist()
        return predictions
