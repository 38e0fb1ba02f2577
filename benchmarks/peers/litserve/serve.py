"""LitServe: the pipeline as a LitAPI. BATCHING=1 scores up to 16 requests at once."""

from __future__ import annotations

import os
from typing import Any

import joblib
import litserve
import pandas as pd


class Flights(litserve.LitAPI):
    """One pipeline."""

    def setup(self, device: str) -> None:
        """Load it in the worker process."""
        self.pipeline = joblib.load(os.environ["MODEL"])

    # An annotation would make FastAPI take the request for a query parameter.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        """JSON -> frame."""
        return pd.DataFrame(request["records"])

    def predict(self, frame: Any) -> Any:
        """Frame -> predictions."""
        return self.pipeline.predict(frame).tolist()

    def encode_response(self, output: list[float]) -> dict[str, Any]:
        """Predictions -> JSON."""
        return {"predictions": output}


class BatchedFlights(Flights):
    """The same for several requests at once."""

    def batch(self, inputs: list[pd.DataFrame]) -> tuple[pd.DataFrame, list[int]]:
        """One frame, and how many rows of it belong to each request."""
        return pd.concat(inputs), [len(frame) for frame in inputs]

    def predict(self, frame: Any) -> Any:
        """The whole frame's predictions, and the lengths."""
        rows, lengths = frame
        return super().predict(rows), lengths

    def unbatch(self, output: tuple[list[float], list[int]]) -> list[list[float]]:
        """Each request's own predictions."""
        predictions = iter(output[0])
        return [[next(predictions) for _ in range(length)] for length in output[1]]


if __name__ == "__main__":
    batching = os.environ.get("BATCHING") == "1"
    api = BatchedFlights(max_batch_size=16, batch_timeout=0.005) if batching else Flights()
    server = litserve.LitServer(api, accelerator="cpu")
    server.run(
        host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning", generate_client_file=False
    )
