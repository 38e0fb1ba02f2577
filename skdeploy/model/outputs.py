"""What a pipeline returns -> plain values that JSON can say."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from skdeploy.engines import Engine
from skdeploy.passport import Output
from skdeploy.schema import Table


def plain_predictions(raw: Any, output: Output) -> list[Any]:
    """One value per record; an object by output name where there are several outputs."""
    array = np.asarray(raw)
    if output.names is None:
        values: list[Any] = array.reshape(len(array)).tolist()
        return values
    return [dict(zip(output.names, row, strict=True)) for row in array.tolist()]


def plain_probabilities(raw: Any, output: Output) -> list[Any]:
    """An object by class per record; by output name and class where there are several outputs."""
    if output.names is None:
        return _by_class(raw, output.classes or [])
    per_output = [_by_class(array, classes) for array, classes in zip(raw, output.classes or [], strict=True)]
    return [dict(zip(output.names, row, strict=True)) for row in zip(*per_output, strict=True)]


def not_finite(raw: Any) -> list[int]:
    """The records whose prediction, or probability, is NaN or infinite, which JSON cannot say."""
    if isinstance(raw, list):  # probabilities, an array per output
        return sorted({index for array in raw for index in not_finite(array)})
    array = np.asarray(raw)
    if array.dtype.kind == "O":  # several outputs of different kinds
        array = np.array([[cell if isinstance(cell, float) else 0.0 for cell in row] for row in _rows(array)])
    if array.dtype.kind != "f":
        return []
    finite = np.isfinite(array)
    if finite.all():
        return []
    rows = finite.reshape(len(array), -1).all(axis=1)
    return [int(index) for index in np.flatnonzero(~rows)]


def _rows(array: Any) -> Any:
    return array.reshape(len(array), -1).tolist()


def predicts(engine: Engine, table: Table) -> bool:
    """Whether the engine has a finite prediction for every record; what it warns of is not looked at."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return not not_finite(engine.predict(table))
    except Exception:  # the pipeline may raise anything
        return False


def predicted(
    engine: Engine, table: Table, enough: Callable[[], bool] = lambda: False
) -> tuple[list[int], Any]:
    """The records that have a finite prediction, and an array of these; if a call raises, halves are tried.

    enough   whether to stop halving: what is left then counts as without a prediction
    """
    if not table.count:
        return [], np.empty(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = np.asarray(engine.predict(table))
    except Exception:  # the pipeline may raise anything
        if table.count == 1 or enough():
            return [], np.empty(0)
    else:
        rows = sorted({*range(table.count)}.difference(not_finite(raw)))
        return rows, raw[rows]
    half = table.count // 2
    left, made = predicted(engine, table.rows(range(half)), enough)
    right, others = predicted(engine, table.rows(range(half, table.count)), enough)
    parts = [part for part, rows in ((made, left), (others, right)) if rows]
    return [*left, *(half + row for row in right)], np.concatenate(parts) if parts else made


def class_key(label: Any) -> str:
    """A label as a JSON object's key: itself if a string, else as JSON writes it."""
    return label if isinstance(label, str) else json.dumps(label)


def _by_class(array: Any, classes: list[Any]) -> list[dict[str, float]]:
    keys = [class_key(label) for label in classes]
    return [dict(zip(keys, row, strict=True)) for row in np.asarray(array).tolist()]
