"""SimpleImputer for numbers."""

from __future__ import annotations

import numpy as np
from sklearn.impute import SimpleImputer

from skdeploy.engines.compiling.converters.writer import Transformer, Writer
from skdeploy.engines.compiling.errors import NotCompilable


def _imputer(write: Writer, model: SimpleImputer, x: str) -> str:
    try:
        statistics = np.asarray(model.statistics_, dtype=float)
    except ValueError:
        raise NotCompilable("SimpleImputer fills in texts") from None
    if np.isnan(statistics).any() or model.add_indicator:
        raise NotCompilable("SimpleImputer drops columns, or adds indicators")
    missing = model.missing_values
    if isinstance(missing, float) and np.isnan(missing):
        mask = write.node("IsNaN", x)
    else:
        mask = write.node("Equal", x, float(missing))
    return write.node("Where", mask, statistics[None, :], x)


TRANSFORMERS: dict[type, Transformer] = {SimpleImputer: _imputer}
