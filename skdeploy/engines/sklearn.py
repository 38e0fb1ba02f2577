"""The reference engine: the fitted pipeline itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from skdeploy.engines import Engine
from skdeploy.engines.inputs import InputBuilder
from skdeploy.schema import Schema, Table


class SklearnEngine(Engine):
    """Calls the pipeline's own `predict` and `predict_proba` on inputs like those of training."""

    name = "sklearn"

    def __init__(self, pipeline: Any, schema: Schema) -> None:
        self._pipeline = pipeline
        self._schema = schema

    @cached_property
    def _inputs(self) -> InputBuilder:
        # At the first call: a dtype that this pandas does not know then fails the start-up proof.
        return InputBuilder(self._schema)

    def predict(self, table: Table) -> Any:
        """An array (n,) or (n, outputs); raises what the pipeline raises."""
        return self._call(self._pipeline.predict, table)

    def predict_proba(self, table: Table) -> Any:
        """An array (n, classes), or a list of them, one per output."""
        return self._call(self._pipeline.predict_proba, table)

    def _call(self, method: Callable[[Any], Any], table: Table) -> Any:
        groups = self._inputs.null_patterns(table)
        if len(groups) == 1:
            return method(self._inputs.build(table))
        parts = [method(self._inputs.build(table.rows(group))) for group in groups]
        order = np.argsort(np.concatenate([np.asarray(group) for group in groups]))
        if isinstance(parts[0], list):
            return [np.concatenate(output)[order] for output in zip(*parts, strict=True)]
        return np.concatenate(parts)[order]
