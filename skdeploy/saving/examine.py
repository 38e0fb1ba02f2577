"""What trying the pipeline shows: which nulls and categories it takes, what it predicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from skdeploy.engines.inputs import cannot_hold_null
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import CODES, SaveError, described
from skdeploy.model.golden import proves_probabilities, synthetic_golden
from skdeploy.model.outputs import plain_predictions
from skdeploy.model.probe import probe_columns, probe_output
from skdeploy.passport import Golden, Output
from skdeploy.passport.dtypes import parse_override
from skdeploy.passport.training import plain_cells
from skdeploy.saving.rows import golden_rows, predicted_rows, take
from skdeploy.schema import Column, Schema, Table, Unfit, compile_check

_GIVEN = {
    "frame": "a DataFrame of pandas",
    "array": "a numpy array",
    "sparse": "a sparse matrix (CSR)",
    "dicts": "a list of dicts",
    "series": "a Series of pandas",
    "texts": "a list of texts",
}


class Found(NamedTuple):
    """The parts of a passport that need the pipeline to be tried."""

    schema: Schema
    output: Output
    golden: Golden


def examine(
    pipeline: Any,
    X: Any,
    y: Any,
    frame: pd.DataFrame,
    schema: Schema,
    overrides: Mapping[str, str],
    *,
    synthetic: bool,
) -> Found:
    """Try `pipeline` on rows of X and on rows changed in one cell.

    frame       X as one column per input
    schema      what the training data alone shows
    overrides   the user's types; "?" promises nulls
    synthetic   make golden records up

    Raises SaveError.
    """
    rows, predictions = predicted_rows(pipeline, X, golden_rows(frame))
    cells = plain_cells(frame.iloc[rows])
    table = Table([_engine_cells(*pair) for pair in zip(schema.columns, cells, strict=True)], len(rows))
    schema = _widen(pipeline, _probe(pipeline, schema, frame, table, overrides), table)
    try:
        output = probe_output(pipeline, schema, _sample(table), _output_names(y))
    except SaveError:
        raise
    except Exception as error:  # the pipeline may raise anything
        raise SaveError(
            "The pipeline predicts X, and raises on the same rows as the service gives them, "
            f"{_GIVEN[schema.container]} ({described(error)}): fit it on that."
        ) from error
    if synthetic:
        return Found(schema, output, synthetic_golden(pipeline, schema, output))
    return Found(schema, output, _real(pipeline, X, rows, cells, predictions, output))


def _widen(pipeline: Any, schema: Schema, golden: Table) -> Schema:
    """Let nullable integer columns be doubles throughout, if the pipeline answers the same.

    A numpy column of integers cannot hold a null, and records that have one must otherwise be
    scored apart from the others, once for each combination of columns that are null.
    """
    columns = [
        msgspec.structs.replace(column, dtype="float64")
        if column.type == "int" and column.nullable and cannot_hold_null(column)
        else column
        for column in schema.columns
    ]
    wide = Schema(container=schema.container, columns=columns)
    try:
        before, after = (SklearnEngine(pipeline, each).predict(golden) for each in (schema, wide))
    except Exception:  # the pipeline may raise anything
        return schema
    return wide if np.array_equal(before, after) else schema


def _probe(
    pipeline: Any,
    schema: Schema,
    frame: pd.DataFrame,
    golden: Table,
    overrides: Mapping[str, str],
) -> Schema:
    """The schema as trying the pipeline shows it; overrides of the user win where it can do them."""

    def distinct(name: str) -> list[Any]:
        (values,) = plain_cells(frame[[name]])
        return sorted({value for value in values if value is not None})

    probed = probe_columns(pipeline, schema, _sample(golden), distinct)
    columns = []
    for column, values in zip(probed.columns, golden.cells, strict=True):
        # A golden record with a null predicts, whatever the probe on other rows said.
        column = msgspec.structs.replace(column, nullable=column.nullable or None in values)
        if column.name in overrides:
            column = _with_override(column, overrides[column.name])
        columns.append(column)
    return Schema(container=schema.container, columns=columns)


def _with_override(column: Column, override: str) -> Column:
    """The column as the override says, provided that the pipeline can do it; else SaveError."""
    _, nullable = parse_override(column.name, override)
    if nullable and not column.nullable:
        raise SaveError(
            f"columns[{column.name!r}] says that nulls are accepted, but the pipeline raises on one."
        )
    return msgspec.structs.replace(column, nullable=nullable)


def _sample(golden: Table, size: int = 3) -> Table:
    """The records with the fewest nulls."""
    rows = list(zip(*golden.cells, strict=True))
    fullest = sorted(range(len(rows)), key=lambda index: sum(cell is None for cell in rows[index]))
    return golden.rows(fullest[:size])


def _engine_cells(column: Column, values: list[Any]) -> list[Any]:
    """Training values as checked cells; raises SaveError if they do not fit the column's type."""
    check = compile_check(column)
    try:
        return [None if value is None else check(value) for value in values]
    except Unfit as unfit:
        reason = CODES[unfit.code] or "there are others in X"
        raise SaveError(
            f"The column {column.name!r} cannot hold values of the type {column.type}: {reason}."
        ) from None


def _output_names(y: Any) -> list[str] | None:
    return [str(name) for name in y.columns] if hasattr(y, "columns") else None


def _real(
    pipeline: Any, X: Any, rows: list[int], cells: list[list[Any]], predictions: Any, output: Output
) -> Golden:
    probabilities = None
    if proves_probabilities(output):
        probabilities = np.asarray(pipeline.predict_proba(take(X, rows))).tolist()
    return Golden(
        cells=cells,
        predictions=plain_predictions(predictions, output),
        probabilities=probabilities,
    )
