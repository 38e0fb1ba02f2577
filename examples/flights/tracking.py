"""The training run in MLflow: what skdeploy.log_model logs of any model, and what is about flights."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.pipeline import Pipeline

import skdeploy
from examples.flights.baselines import Minutes
from examples.flights.data import Split
from skdeploy.errors import SaveError
from skdeploy.saving.mlflow import Logged, require_server

EXPERIMENT = "flight-air-time"
CHAMPION = "champion"
_IMPORTANCE_FLIGHTS = 5000


def require() -> None:
    """Raise SaveError, within seconds, if there is no tracking server to log to."""
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        raise SaveError(
            "MLFLOW_TRACKING_URI is not set: it names the tracking server to log to, such as "
            "http://127.0.0.1:5000. `make mlflow-demo` starts one."
        )
    require_server()


def log(path: Path, split: Split, predicted: Minutes, pipeline: Pipeline, *, promote: bool) -> Logged:
    """Log the saved model at `path` with its figures, register it and, if asked, make it champion.

    predicted   (n,), minutes, of the test flights

    The experiment is MLFLOW_EXPERIMENT_NAME, if that is set. Raises SaveError.
    """
    import mlflow

    # Here, because matplotlib is slow to import and not always asked for.
    from examples.flights import plots

    figures = {
        "predicted.png": plots.predicted_against_actual(split.y_test, predicted),
        "residuals.png": plots.residuals(split.y_test, predicted),
        "importances.png": plots.importance_bars(importances(pipeline, split.X_test, split.y_test)),
    }
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT)
    with mlflow.start_run():
        mlflow.log_params({"training_flights": len(split.y_train), "test_flights": len(split.y_test)})
        for name, figure in figures.items():
            mlflow.log_figure(figure, f"figures/{name}")
        return skdeploy.log_model(path, alias=CHAMPION if promote else None)


def importances(pipeline: Pipeline, X: pd.DataFrame, y: pd.Series) -> dict[str, float]:
    """By how many minutes the mean absolute error grows when a column is shuffled, by column."""
    rows = X.sample(min(_IMPORTANCE_FLIGHTS, len(X)), random_state=0).index
    found = permutation_importance(
        pipeline, X.loc[rows], y.loc[rows], scoring="neg_mean_absolute_error", n_repeats=3, random_state=0
    )
    return dict(zip(X.columns, found.importances_mean.tolist(), strict=True))
