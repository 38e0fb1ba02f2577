"""XGBoost takes the numbers that a sparse matrix leaves out for missing. A graph reads dense rows: where the
pipeline gives XGBoost a sparse matrix, a step before it makes zeros missing.
"""

from __future__ import annotations

import copy
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.pipeline import Pipeline

from skdeploy.engines.compiling.cells import fitted_steps


@dataclass(frozen=True, slots=True, eq=False)
class ZerosMissing:
    """A transformer that makes numbers NaN which are equal to `zeros`, (columns,).

    NaN stands there for a column whose zeros a sparse matrix holds; it is equal to nothing.
    """

    zeros: Any

    def transform(self, X: Any) -> Any:
        """NaN for 0."""
        return np.where(self.zeros == X, np.nan, X)


def with_zeros_missing(part: Any, x: Any) -> Any:
    """The fitted model with that step before each XGBoost that is given a sparse matrix; itself if none is.

    x   a record as the model takes it, of zeros if it can be, which says what its steps give each other
    """
    if hasattr(part, "get_booster"):
        if not issparse(x):
            return part
        zeros, stored = np.zeros(x.shape[1]), x.tocoo()
        zeros[stored.col[stored.data == 0]] = np.nan
        return Pipeline([("zeros", ZerosMissing(zeros)), ("model", part)])
    if hasattr(part, "steps"):
        *before, (name, last) = fitted_steps(part)
        for _, step in before:
            x = step.transform(x)
        changed = with_zeros_missing(last, x)
        return part if changed is last else Pipeline([*before, (name, changed)])
    if isinstance(getattr(part, "estimators_", None), list):
        columns = getattr(part, "estimators_features_", [slice(None)] * len(part.estimators_))  # Bagging's
        members = [
            with_zeros_missing(one, x[:, some]) for one, some in zip(part.estimators_, columns, strict=True)
        ]
        return _replaced(part, "estimators_", members)
    if hasattr(part, "calibrated_classifiers_"):
        members = [
            _replaced(one, "estimator", with_zeros_missing(one.estimator, x))
            for one in part.calibrated_classifiers_
        ]
        return _replaced(part, "calibrated_classifiers_", members)
    for attribute in ("best_estimator_", "regressor_", "estimator_"):
        if hasattr(part, attribute):
            return _replaced(part, attribute, with_zeros_missing(getattr(part, attribute), x))
    return part


def _replaced(part: Any, attribute: str, value: Any) -> Any:
    old = getattr(part, attribute)
    if all(map(operator.is_, old, value)) if isinstance(old, list) else old is value:
        return part
    changed = copy.copy(part)
    setattr(changed, attribute, value)
    return changed
