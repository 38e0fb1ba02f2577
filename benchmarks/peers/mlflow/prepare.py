"""Write a pipeline as an MLflow model with the signature of its data, as MLflow's documentation does.

python prepare.py MODEL RECORDS FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import joblib
import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature

model, records, folder = sys.argv[1:]
pipeline = joblib.load(model)
frame = pd.DataFrame(json.loads(Path(records).read_bytes()))
mlflow.sklearn.save_model(
    pipeline,
    folder,
    signature=infer_signature(frame, pipeline.predict(frame)),
    # Its default format refuses the trees of scikit-learn.
    serialization_format="cloudpickle",
)
