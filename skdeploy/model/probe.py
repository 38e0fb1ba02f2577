"""What a pipeline accepts is found out by trying it, with a null and an unseen value per column."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import SaveError
from skdeploy.model.outputs import predicts
from skdeploy.passport import Output
from skdeploy.schema import Column, Null, Schema, Table

Distinct = Callable[[str], list[Any]]


def probe_columns(pipeline: Any, schema: Schema, sample: Table, distinct: Distinct | None = None) -> Schema:
    """The schema with `nullable`, `null`, `unknown` and, where needed, `categories` found out.

    sample     a few records that predict
    distinct   column name -> the values seen in training, if training data is at hand
    """
    columns = _probe_nulls(pipeline, schema, sample)
    schema = Schema(container=schema.container, columns=columns)
    return Schema(
        container=schema.container,
        columns=[_probe_unknown(pipeline, schema, sample, index, distinct) for index in range(len(columns))],
    )


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
        names=_output_names(names, predicted.shape[1]) if several else None,
        classes=None if classes is None else _plain_classes(classes),
        probabilities=probabilities,
    )


def _output_names(names: list[str] | None, width: int) -> list[str]:
    if names is None:
        return [f"y{index}" for index in range(width)]
    if len(names) != width or len(set(names)) != width:
        raise SaveError(f"The pipeline has {width} outputs, but the columns of y are named {names}.")
    return names


def _has_probabilities(pipeline: Any, engine: SklearnEngine, sample: Table, several: bool) -> bool:
    """Several outputs need an array of classes each; one array for all says less than it seems."""
    if not hasattr(pipeline, "predict_proba") or not hasattr(pipeline, "classes_"):
        return False
    return isinstance(engine.predict_proba(sample), list) == several


def _plain_classes(classes: Any) -> list[Any]:
    if isinstance(classes, list):
        return [_plain_classes(output) for output in classes]
    plain: list[Any] = np.asarray(classes).tolist()
    return plain


def _probe_nulls(pipeline: Any, schema: Schema, sample: Table) -> list[Column]:
    """Every column with a null at once, which is most often fine; if it is not, one by one."""
    natural = [msgspec.structs.replace(column, nullable=True) for column in schema.columns]
    nulls = Table([[None] * sample.count for _ in natural], sample.count)
    if all(map(_holds_what_was_seen, natural)) and _predicts(pipeline, schema, natural, nulls):
        return natural
    return [_probe_null(pipeline, schema, sample, index) for index in range(len(natural))]


def _probe_null(pipeline: Any, schema: Schema, sample: Table, index: int) -> Column:
    column = schema.columns[index]
    for null in _null_candidates(column):
        trial = msgspec.structs.replace(column, nullable=True, null=null)
        if _holds_what_was_seen(trial) and _takes(pipeline, schema, sample, index, trial, None):
            return trial
    return column


def _holds_what_was_seen(column: Column) -> bool:
    """A null turns integers into doubles, in which large ones would not be themselves."""
    low, high = column.bounds
    if column.type != "int" or column.minimum is None:
        return True
    return bool(low <= column.minimum and column.maximum <= high)


def _null_candidates(column: Column) -> list[Null]:
    """How a null may be written; the way of the training data first."""
    if column.dtype not in ("object", "bool") or column.null == "absent":
        return [column.null]
    ways: list[Null] = ["nan", "none", "NA"]
    return [column.null, *(way for way in ways if way != column.null)]


def _probe_unknown(
    pipeline: Any, schema: Schema, sample: Table, index: int, distinct: Distinct | None
) -> Column:
    column = schema.columns[index]
    value = _unseen_value(column)
    if value is None or _takes(pipeline, schema, sample, index, column, value):
        return column
    categories = column.categories
    if column.type == "bool":
        categories = [column.example]
    elif categories is None and distinct is not None:
        categories = distinct(column.name)
    if categories is None:
        return column
    return msgspec.structs.replace(column, unknown="refuse", categories=categories)


def _unseen_value(column: Column) -> Any:
    """A value that training did not have; None if that says nothing of categories.

    A number on which the pipeline raises may as well be outside a function's domain: only where an
    encoder learned its values are numbers categories.
    """
    if column.type == "bool":
        return None if column.example is None else not column.example
    if column.kind.is_numeric and not column.categories:
        return None
    return column.kind.unseen(column.categories or ())


def _takes(pipeline: Any, schema: Schema, sample: Table, index: int, column: Column, cell: Any) -> bool:
    """Whether the pipeline predicts the sample with `cell` throughout the column `index`."""
    columns = [*schema.columns[:index], column, *schema.columns[index + 1 :]]
    cells = [*sample.cells[:index], [cell] * sample.count, *sample.cells[index + 1 :]]
    return _predicts(pipeline, schema, columns, Table(cells, sample.count))


def _predicts(pipeline: Any, schema: Schema, columns: list[Column], table: Table) -> bool:
    return predicts(SklearnEngine(pipeline, Schema(container=schema.container, columns=columns)), table)
