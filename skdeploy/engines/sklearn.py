"""The reference engine: the fitted pipeline itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from skdeploy.engines.inputs import build_inputs, null_patterns
from skdeploy.schema import Schema, Table


class SklearnEngine:
    """Calls the pipeline's own `predict` and `predict_proba` on inputs like those of training."""

    name = "sklearn"

    def __init__(self, pipeline: Any, schema: Schema) -> None:
        self._pipeline = pipeline
        self._schema = schema

    def predict(self, table: Table) -> Any:
        """An array (n,) or (n, outputs); raises what the pipeline raises."""
        return self._call(self._pipeline.predict, table)

    def predict_proba(self, table: Table) -> Any:
        """An array (n, classes), or a list of them, one per output."""
        return self._call(self._pipeline.predict_proba, table)

    def _call(self, method: Callable[[Any], Any], table: Table) -> Any:
        groups = null_patterns(self._schema, table)
        if len(groups) == 1:
            return method(build_inputs(self._schema, table))
        parts = [method(build_inputs(self._schema, table.rows(group))) for group in groups]
        order = np.argsort(np.concatenate([np.asarray(group) for group in groups]))
        if isinstance(parts[0], list):
            return [np.concatenate(output)[order] for output in zip(*parts, strict=True)]
        return np.concatenate(parts)[order]
