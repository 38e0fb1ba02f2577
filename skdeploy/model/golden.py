"""Golden records that are made up from the schema, for models that must not ship real rows."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import SaveError
from skdeploy.model.outputs import plain_predictions, predicted
from skdeploy.passport import Golden, Output
from skdeploy.schema import Column, RecordReader, Schema

_TRIED = 200
_SHARE_OF_NULLS = 0.1
# Above this many classes the golden probabilities would outweigh the model.
_MOST_PROVED_CLASSES = 100


def proves_probabilities(output: Output) -> bool:
    """Whether golden records carry probabilities as well."""
    few = output.classes is not None and len(output.classes) <= _MOST_PROVED_CLASSES
    return output.probabilities and output.names is None and few


def synthetic_golden(pipeline: Any, schema: Schema, output: Output) -> Golden:
    """Records drawn within the ranges and categories seen, with the pipeline's predictions."""
    chance = random.Random(0)  # noqa: S311 - no secret depends on it
    cells = [[_cell(column, chance) for _ in range(_TRIED)] for column in schema.columns]
    engine = SklearnEngine(pipeline, schema)
    records = [dict(zip(schema.names, row, strict=True)) for row in zip(*cells, strict=True)]
    table = RecordReader(schema).read(records).table
    good = predicted(engine, table)[0]
    if not good:
        raise SaveError(
            "No record made up from the schema predicts: give real golden records, golden='real'."
        )
    table = table.rows(good)
    return Golden(
        cells=[[values[index] for index in good] for values in cells],
        predictions=plain_predictions(engine.predict(table), output),
        probabilities=(
            np.asarray(engine.predict_proba(table)).tolist() if proves_probabilities(output) else None
        ),
        synthetic=True,
    )


def _cell(column: Column, chance: random.Random) -> Any:
    if column.nullable and chance.random() < _SHARE_OF_NULLS:
        return None
    if column.categories:
        return chance.choice(column.categories)
    return column.kind.draw(chance)
