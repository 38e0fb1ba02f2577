"""The reference engine: the fitted pipeline itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from skdeploy.engines import Engine
from skdeploy.engines.inputs import InputBuilder
from skdeploy.errors import NoJsonValue
from skdeploy.schema import Schema, Table, as_json


class SklearnEngine(Engine):
    """Calls the pipeline's own `predict` and `predict_proba` on inputs like those of training."""

    name = "sklearn"

    def __init__(self, pipeline: Any, schema: Schema) -> None:
        self._pipeline = pipeline
        self._schema = schema
        self._is_multilabel: bool | None = None

    @cached_property
    def _inputs(self) -> InputBuilder:
        # At the first call: a dtype that this pandas does not know then fails the start-up proof.
        return InputBuilder(self._schema)

    def predict(self, table: Table) -> Any:
        """An array (n,) or (n, outputs), as `plain_labels` makes it; raises what the pipeline raises."""
        return self._call(lambda inputs: plain_labels(self._pipeline.predict(inputs)), table)

    def predict_proba(self, table: Table) -> Any:
        """An array (n, classes), or a list of them, one per output."""
        scores = self._call(self._pipeline.predict_proba, table)
        if isinstance(scores, list):
            return scores
        if self._is_multilabel is None:
            labels = self.predict(table)
            self._is_multilabel = labels.ndim == 2 and labels.shape[1] == np.shape(scores)[1] > 1
        return _per_label(scores) if self._is_multilabel else scores

    def _call(self, method: Callable[[Any], Any], table: Table) -> Any:
        groups = self._inputs.null_patterns(table)
        if len(groups) == 1:
            return method(self._inputs.build(table))
        parts = [method(self._inputs.build(table.rows(group))) for group in groups]
        order = np.argsort(np.concatenate([np.asarray(group) for group in groups]))
        if isinstance(parts[0], list):
            return [np.concatenate(output)[order] for output in zip(*parts, strict=True)]
        return np.concatenate(parts)[order]


def plain_labels(raw: Any) -> Any:
    """What a pipeline predicts, or its classes, as a dense array of values that JSON has.

    A sparse matrix becomes an array, a date-time its text as ISO 8601 writes it, a Decimal its digits.
    Raises NoJsonValue for others.
    """
    array = np.asarray(raw.toarray() if hasattr(raw, "toarray") else raw)
    if array.dtype.kind in "fiubU":
        return array
    if array.dtype.kind == "M":
        labels, places = np.unique(array, return_inverse=True)
        return _objects(map(pd.Timestamp, labels), len(labels))[places].reshape(array.shape)
    if array.dtype.kind == "O":
        if {type(label) for label in array.flat} <= _PLAIN:
            return array
        return _objects(array.flat, array.size).reshape(array.shape)
    raise NoJsonValue(str(array.dtype))


# Types that the encoder of answers writes as they are.
_PLAIN = {str, int, float, bool, type(None)}


def _objects(labels: Iterable[Any], count: int) -> Any:
    array = np.empty(count, dtype=object)
    array[:] = [_plain_label(label) for label in labels]
    return array


def _plain_label(label: Any) -> Any:
    if hasattr(label, "isoformat"):
        return label.isoformat()
    label = as_json(label.item() if isinstance(label, np.generic) else label)
    if type(label) in _PLAIN:
        return label
    raise NoJsonValue(type(label).__name__)


def _per_label(scores: Any) -> list[Any]:
    """Of the labels' probabilities (n, labels) an array (n, 2) per label: of its absence and its presence."""
    return [np.stack([1 - there, there], axis=1) for there in np.asarray(scores).T]
