"""A fitted pipeline and its training data -> model.bin, with its passport inside, proved."""

from __future__ import annotations

import copy
import hashlib
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import joblib
import msgspec
import numpy as np
import pandas as pd

from skdeploy.errors import ModelUnavailable, SaveError
from skdeploy.model.golden import proves_probabilities, synthetic_golden
from skdeploy.model.loading import load_model
from skdeploy.model.outputs import plain_predictions
from skdeploy.model.probe import probe_columns, probe_output
from skdeploy.passport import Golden, Output, Passport
from skdeploy.passport.document import ATTRIBUTE
from skdeploy.passport.dtypes import parse_override, writes_nulls_in_two_ways
from skdeploy.passport.libraries import installed
from skdeploy.passport.observe import observe
from skdeploy.passport.training import as_frame, plain_cells
from skdeploy.saving.pickling import pickle_bare
from skdeploy.saving.rows import golden_rows, predicted_rows, take
from skdeploy.schema import Column, Schema, Table
from skdeploy.schema.cells import Unfit, compile_check


def save(
    pipeline: Any,
    X: Any,
    y: Any,
    path: str | Path,
    *,
    name: str = "model",
    version: str | None = None,
    columns: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    data: str | None = None,
    golden: Literal["real", "synthetic"] = "real",
) -> Passport:
    """Write `pipeline` to `path` as a joblib pickle that carries its passport, and prove it.

    pipeline       a fitted scikit-learn Pipeline or estimator; it is not changed
    X              what it was fitted on: DataFrame (n, columns), array (n, columns), n dicts or n texts
    y              the targets, (n,) or (n, outputs), for the outputs' names; None if there are none
    version        default: the first 12 hexadecimal digits of the pipeline's SHA-256
    columns        types that the dtypes do not tell: {"hour": "int?"}, ? for nullable
    descriptions   what the columns mean, with their units
    metrics        name -> number, shown with the model
    data           where the training data came from
    golden         "synthetic" keeps real rows out of the file

    Returns the passport. Raises SaveError, also if the written model would not predict what the
    pipeline does; then nothing is written.
    """
    _require_options(name, version, golden)
    pickled = pickle_bare(pipeline)
    frame, container = as_frame(X)
    schema = observe(frame, container, pipeline, columns=columns, descriptions=descriptions)
    rows, predictions = predicted_rows(pipeline, X, golden_rows(frame))
    cells = plain_cells(frame.iloc[rows])
    checked = [engine_cells(*pair) for pair in zip(schema.columns, cells, strict=True)]
    schema = _probe(pipeline, schema, frame, Table(checked, len(rows)), columns or {})
    output = probe_output(pipeline, schema, _sample(Table(checked, len(rows))), _output_names(y))
    made = _real(pipeline, X, rows, cells, predictions, output)
    if golden == "synthetic":
        made = synthetic_golden(pipeline, schema, output)
    passport = Passport(
        name=name,
        version=version or hashlib.sha256(pickled).hexdigest()[:12],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        schema=schema,
        output=output,
        golden=made,
        libraries=installed(),
        metrics={key: float(value) for key, value in (metrics or {}).items()},
        data=data,
    )
    _write(pipeline, passport, Path(path), frame)
    return passport


def _require_options(name: Any, version: Any, golden: str) -> None:
    if not isinstance(name, str) or not isinstance(version, str | None):
        raise SaveError(f"name and version must be strings: name={name!r}, version={version!r}.")
    if golden not in ("real", "synthetic"):
        raise SaveError(f"golden is {golden!r}: it should be 'real' or 'synthetic'.")


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


def engine_cells(column: Column, values: list[Any]) -> list[Any]:
    """Training values as checked cells; raises SaveError if they do not fit the column's type."""
    check = compile_check(column)
    try:
        return [None if value is None else check(value) for value in values]
    except Unfit as unfit:
        reason = str(unfit) or "there are others in X"
        raise SaveError(
            f"The column {column.name!r} cannot hold values of the type {column.type}: {reason}."
        ) from None


def _output_names(y: Any) -> list[str] | None:
    return [str(name) for name in y.columns] if isinstance(y, pd.DataFrame) else None


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


def _write(pipeline: Any, passport: Passport, path: Path, frame: pd.DataFrame) -> None:
    """Dump, load what was dumped, prove it; only then does it take the place of what was there."""
    carrier = copy.copy(pipeline)
    setattr(carrier, ATTRIBUTE, passport.to_plain())
    buffer = io.BytesIO()
    joblib.dump(carrier, buffer, compress=3)
    content = buffer.getvalue()
    try:
        load_model(content, digest=hashlib.sha256(content).hexdigest(), name=path.stem)
    except ModelUnavailable as error:
        raise SaveError(f"The model would be refused when it is loaded: {error}{_hint(frame)}") from error
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def _hint(frame: pd.DataFrame) -> str:
    twofold = [str(name) for name in frame if writes_nulls_in_two_ways(frame[name])]
    if not twofold:
        return ""
    return (
        f" The column {twofold[0]!r} writes nulls as None and as NaN, and JSON has one null: make them one "
        "before fitting."
    )
