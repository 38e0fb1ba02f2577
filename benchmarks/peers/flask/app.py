"""Naive Flask: the pipeline behind a route, as a data scientist writes it."""

from __future__ import annotations

import os

import joblib
import pandas as pd
from flask import Flask, Response, jsonify, request

app = Flask(__name__)
pipeline = joblib.load(os.environ["MODEL"])


@app.post("/predict")
def predict() -> Response:
    """A list of records -> their predictions."""
    frame = pd.DataFrame(request.get_json())
    return jsonify(predictions=pipeline.predict(frame).tolist())
