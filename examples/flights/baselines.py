"""What a model has to beat, and by how much it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_absolute_error, r2_score

Minutes = npt.NDArray[np.float64]

MODEL = "model"
ROUTE_MEAN = "mean by route"
DISTANCE_ONLY = "distance only"

_ROUTE = ["origin", "dest"]


class Score(NamedTuple):
    """mae: mean absolute error, minutes; r2: share of the variance explained, at most 1."""

    mae: float
    r2: float


def route_mean(X_train: pd.DataFrame, y_train: pd.Series, X: pd.DataFrame) -> Minutes:
    """The mean air time that each row's route had in training, minutes, (n,).

    A route that training does not have gets the line over distance.
    """
    means = y_train.groupby([X_train[name] for name in _ROUTE]).mean().rename("mean")
    known = X[_ROUTE].merge(means, how="left", left_on=_ROUTE, right_index=True)["mean"].to_numpy()
    return np.where(np.isnan(known), distance_only(X_train, y_train, X), known)


def distance_only(X_train: pd.DataFrame, y_train: pd.Series, X: pd.DataFrame) -> Minutes:
    """A straight line over distance, fitted on training, minutes, (n,)."""
    line = LinearRegression().fit(X_train[["distance"]], y_train)
    return np.asarray(line.predict(X[["distance"]]))


def score(y: pd.Series, predicted: Minutes) -> Score:
    """How far `predicted` is from `y`; both (n,), minutes."""
    return Score(float(mean_absolute_error(y, predicted)), float(r2_score(y, predicted)))


def percent_below(scores: Mapping[str, Score], baseline: str) -> float:
    """By how many percent the model's MAE is below the baseline's."""
    return 100 * (1 - scores[MODEL].mae / scores[baseline].mae)


def metrics(scores: Mapping[str, Score]) -> dict[str, float]:
    """The scores for the passport; all are of November and December, MAE in minutes."""
    return {
        "test_mae_minutes": scores[MODEL].mae,
        "test_r2": scores[MODEL].r2,
        "route_mean_test_mae_minutes": scores[ROUTE_MEAN].mae,
        "route_mean_test_r2": scores[ROUTE_MEAN].r2,
        "distance_only_test_mae_minutes": scores[DISTANCE_ONLY].mae,
        "distance_only_test_r2": scores[DISTANCE_ONLY].r2,
    }


def table(scores: Mapping[str, Score]) -> str:
    """The scores as text, a row for each, and how far the model is below the baselines."""
    rows = [f"{name:<15}{entry.mae:>10.2f}{entry.r2:>9.4f}" for name, entry in scores.items()]
    below = ", ".join(f"{percent_below(scores, name):.1f} % below {name}" for name in scores if name != MODEL)
    head = "November and December, not used in training"
    return "\n".join([head, f"{'':<15}{'MAE (min)':>10}{'R2':>9}", *rows, f"The model's MAE is {below}."])
