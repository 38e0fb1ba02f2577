"""What a pipeline accepts is found out by trying it, with a null and an unseen category per column."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.model.outputs import not_finite
from skdeploy.passport import Output
from skdeploy.schema import Column, Schema, Table
from skdeploy.schema.column import Null

UNSEEN = "a category that training never saw"
# More categories than this are no list that a message or a form could show.
_MOST_CATEGORIES = 10_000


def probe_columns(
    pipeline: Any, schema: Schema, sample: Table, distinct: Callable[[str], list[Any]] | None = None
) -> Schema:
    """The schema with `nullable`, `null`, `unknown` and, where needed, `categories` found out.

    sample     a few records that predict
    distinct   column name -> the values seen in training, if training data is at hand
    """
    columns = list(schema.columns)
    for index in range(len(columns)):
        columns[index] = _probe_null(pipeline, schema, sample, index)
        columns[index] = _probe_unknown(pipeline, schema, sample, columns[index], index, distinct)
    return Schema(container=schema.container, columns=columns)


def probe_output(pipeline: Any, schema: Schema, sample: Table, names: list[str] | None) -> Output:
    """What the pipeline predicts; `names` are the columns of y if it has several."""
    from sklearn.base import is_classifier, is_regressor

    engine = SklearnEngine(pipeline, schema)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = np.asarray(engine.predict(sample))
        several = predicted.ndim == 2 and predicted.shape[1] > 1
        classes = getattr(pipeline, "classes_", None)
        probabilities = _has_probabilities(pipeline, engine, sample, several)
    kind = "classification" if is_classifier(pipeline) else "other"
    return Output(
        kind="regression" if is_regressor(pipeline) else kind,  # type: ignore[arg-type]
        names=(names or [f"y{i}" for i in range(predicted.shape[1])]) if several else None,
        classes=None if classes is None else _plain_classes(classes),
        probabilities=probabilities,
    )


def _has_probabilities(pipeline: Any, engine: SklearnEngine, sample: Table, several: bool) -> bool:
    """Several outputs need an array of classes each; one array for all says less than it seems."""
    if not hasattr(pipeline, "predict_proba"):
        return False
    return isinstance(engine.predict_proba(sample), list) == several


def _plain_classes(classes: Any) -> list[Any]:
    if isinstance(classes, list):
        return [_plain_classes(output) for output in classes]
    plain: list[Any] = np.asarray(classes).tolist()
    return plain


def _probe_null(pipeline: Any, schema: Schema, sample: Table, index: int) -> Column:
    column = schema.columns[index]
    for null in _null_candidates(column):
        trial = msgspec.structs.replace(column, nullable=True, null=null)
        if _predicts(pipeline, schema, sample, index, trial, None):
            return trial
    return column


def _null_candidates(column: Column) -> list[Null]:
    """How a null may be written; the way of the training data first."""
    if column.dtype not in ("object", "bool") or column.null == "absent":
        return [column.null]
    ways: list[Null] = ["nan", "none", "NA"]
    return [column.null, *(way for way in ways if way != column.null)]


def _probe_unknown(
    pipeline: Any,
    schema: Schema,
    sample: Table,
    column: Column,
    index: int,
    distinct: Callable[[str], list[Any]] | None,
) -> Column:
    value = _unseen_value(column)
    if value is None or _predicts(pipeline, schema, sample, index, column, value):
        return column
    categories = column.categories
    if categories is None and distinct is not None:
        categories = distinct(column.name)
    if categories is None or len(categories) > _MOST_CATEGORIES:
        return column
    return msgspec.structs.replace(column, unknown="refuse", categories=categories)


def _unseen_value(column: Column) -> Any:
    if column.type == "str":
        return UNSEEN
    if column.type in ("int", "float"):
        seen = [value for value in (column.maximum, *(column.categories or ())) if value is not None]
        return max(seen) + 1 if seen and max(seen) < column.bounds[1] else None
    return None


def _predicts(pipeline: Any, schema: Schema, sample: Table, index: int, column: Column, cell: Any) -> bool:
    """Whether the pipeline predicts the sample with `cell` throughout the column `index`."""
    columns = [*schema.columns[:index], column, *schema.columns[index + 1 :]]
    cells = [*sample.cells[:index], [cell] * sample.count, *sample.cells[index + 1 :]]
    engine = SklearnEngine(pipeline, Schema(container=schema.container, columns=columns))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return not not_finite(engine.predict(Table(cells, sample.count)))
    except Exception:  # whatever it raises, it does not accept the value
        return False
