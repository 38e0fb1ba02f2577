"""Which training rows become golden records, with the pipeline's own predictions for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from skdeploy.engines.sklearn import plain_labels
from skdeploy.errors import SaveError, described
from skdeploy.model.outputs import not_finite

GOLDEN_RECORDS = 200


def golden_rows(frame: pd.DataFrame) -> list[int]:
    """Evenly spaced rows, and for each column the first with a null."""
    even = np.unique(np.linspace(0, len(frame) - 1, GOLDEN_RECORDS).astype(int)).tolist()
    nulls = [int(np.argmax(frame[name].isna())) for name in frame if frame[name].isna().any()]
    return sorted({*even, *nulls})


def predicted_rows(pipeline: Any, X: Any, rows: list[int]) -> tuple[list[int], Any]:
    """Those of `rows` whose prediction is finite, and their predictions. Raises SaveError."""
    try:
        predictions = plain_labels(pipeline.predict(take(X, rows)))
    except Exception as error:  # the pipeline may raise anything
        raise SaveError(
            f"The pipeline does not predict X ({described(error)}). Is it fitted, and on these columns?"
        ) from error
    bad = set(not_finite(predictions))
    good = [place for place in range(len(rows)) if place not in bad]
    if not good:
        raise SaveError("The pipeline predicts no finite number for any row of X that was tried.")
    return [rows[place] for place in good], predictions[good]


def take(X: Any, rows: list[int]) -> Any:
    """The rows of X at these positions, in X's own kind."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    # Of lists alone a list of rows is no index.
    if hasattr(X, "tocsr"):  # not every sparse matrix has rows
        return X.tocsr()[rows]
    return [X[row] for row in rows] if isinstance(X, (list, tuple)) else X[rows]
