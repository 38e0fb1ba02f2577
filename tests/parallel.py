"""Models that predict in joblib's processes or threads, by the estimator that has `n_jobs`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import KNNImputer
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import skdeploy
from tests.pipelines import Fitted

RECORD = {"c": "a", "a": 0.5, "b": -0.5}


def _frame() -> pd.DataFrame:
    chance = np.random.default_rng(0)
    columns = {"c": chance.choice(list("abc"), 60), "a": chance.normal(size=60), "b": chance.normal(size=60)}
    return pd.DataFrame(columns)


def _encoded() -> ColumnTransformer:
    return ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["c"])], remainder="passthrough")


def columns() -> Fitted:
    X = _frame()
    parts = [("c", OneHotEncoder(handle_unknown="ignore"), ["c"]), ("n", KNNImputer(), ["a", "b"])]
    return make_pipeline(ColumnTransformer(parts, n_jobs=2), Ridge()).fit(X, X["a"]), X, X["a"]


def union() -> Fitted:
    X = _frame()
    parts = FeatureUnion([("s", StandardScaler()), ("k", KNNImputer())], n_jobs=2)
    return make_pipeline(_encoded(), parts, Ridge()).fit(X, X["a"]), X, X["a"]


def outputs() -> Fitted:
    X = _frame()
    y = X[["a", "b"]] * 2
    return make_pipeline(_encoded(), MultiOutputRegressor(Ridge(), n_jobs=2)).fit(X, y), X, y


def forest() -> Fitted:
    X = _frame()
    return (
        make_pipeline(_encoded(), RandomForestRegressor(8, random_state=0, n_jobs=2)).fit(X, X["a"]),
        X,
        X["a"],
    )


PARALLEL: dict[str, Callable[[], Fitted]] = {
    "ColumnTransformer": columns,
    "FeatureUnion": union,
    "MultiOutputRegressor": outputs,
    "RandomForestRegressor": forest,
}


def save(kind: str, path: Path) -> None:
    """Fit and save the model, in this process alone: starting joblib's others takes seconds."""
    with joblib.parallel_config(backend="sequential"):
        pipeline, X, y = PARALLEL[kind]()
        skdeploy.save(pipeline, X, y, path)
