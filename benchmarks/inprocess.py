"""Decode, engine and encode of one body in this process alone: what a server could reach at best.

python -m benchmarks.inprocess MODEL BODY SECONDS     prints bodies per second
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path

import skdeploy
from skdeploy.schema import RecordReader
from skdeploy.web.exchange import Exchange
from skdeploy.web.predicting import Options, Predictor


def main(model_file: str, body_file: str, seconds: str) -> None:
    """Answer the body again and again."""
    model = skdeploy.load(model_file)
    predictor = Predictor(model, RecordReader(model.schema, id_field="id"), "id")
    body, options = Path(body_file).read_bytes(), Options()
    # As predict.py does for the service.
    gc.collect()
    gc.freeze()
    _rate(predictor, body, options, 1.0)
    print(_rate(predictor, body, options, float(seconds)))


def _rate(predictor: Predictor, body: bytes, options: Options, seconds: float) -> float:
    begin, count = time.perf_counter(), 0
    while (passed := time.perf_counter() - begin) < seconds:
        status, _ = predictor.answer(body, options, Exchange({}))
        if status != 200:
            raise SystemExit(f"The body is answered with {status}.")
        count += 1
    return count / passed


if __name__ == "__main__":
    main(*sys.argv[1:])
