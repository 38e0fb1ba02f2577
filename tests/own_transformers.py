"""A user's own module: what their pipeline needs beside scikit-learn."""

from __future__ import annotations

import os
import time
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin


def calendar(frame: pd.DataFrame) -> pd.DataFrame:
    """Date-time columns (n, columns) -> their hour, weekday and month, NaN where there is none."""
    parts: dict[str, Any] = {}
    for name in frame.columns:
        moment = frame[name].dt
        parts |= {
            f"{name}_hour": moment.hour,
            f"{name}_weekday": moment.day_of_week,
            f"{name}_month": moment.month,
        }
    return pd.DataFrame(parts, index=frame.index).astype(float)


def text_length(frame: pd.DataFrame) -> pd.DataFrame:
    """Text columns (n, columns) -> their lengths in characters; a null counts 0."""
    return pd.DataFrame({name: frame[name].str.len() for name in frame.columns}).fillna(0).astype(float)


def slowly(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame itself, after SLOW_SECONDS of the environment if it is long; golden records are few."""
    if len(frame) > 200:
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
    return frame


def always_slowly(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame itself, after SLOW_SECONDS of the environment, however few records it has."""
    time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
    return frame


class RatioToMedian(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Columns (n, columns) of a DataFrame, each divided by the median that it had in training."""

    def fit(self, X: pd.DataFrame, y: Any = None) -> Self:
        """Learn the medians of `X`."""
        self.medians_ = X.median()
        self.n_features_in_ = X.shape[1]
        self.feature_names_in_ = np.asarray(X.columns, dtype=object)
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """`X` by its medians."""
        return X / self.medians_

    def get_feature_names_out(self, input_features: Any = None) -> Any:
        """The names of the columns, which stay what they are."""
        return self.feature_names_in_
