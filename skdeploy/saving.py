"""A fitted pipeline and its training data -> model.bin, with its passport inside, proved."""

from __future__ import annotations

import copy
import hashlib
import io
import pickle
import pickletools
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import joblib
import msgspec
import numpy as np
import pandas as pd

from skdeploy.errors import SaveError
from skdeploy.model.golden import proves_probabilities, synthetic_golden
from skdeploy.model.loading import load_model
from skdeploy.model.outputs import not_finite, plain_predictions
from skdeploy.model.probe import probe_columns, probe_output
from skdeploy.passport import Golden, Output, Passport
from skdeploy.passport.document import ATTRIBUTE
from skdeploy.passport.libraries import installed
from skdeploy.passport.observe import as_frame, observe, plain_cells, with_override_checked
from skdeploy.schema import Column, Schema, Table
from skdeploy.schema.cells import Unfit, compile_check

GOLDEN_RECORDS = 200


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

    Returns the passport. Raises SaveError, or ProofFailed if the written model does not predict
    what the pipeline does.
    """
    pickled = _pickle(pipeline)
    frame, container = as_frame(X)
    schema = observe(frame, container, pipeline, columns=columns, descriptions=descriptions)
    rows, predictions = _predicted_rows(pipeline, X, _golden_rows(frame))
    cells = plain_cells(frame.iloc[rows])
    schema = _probe(pipeline, schema, frame, cells, columns or {})
    output = probe_output(pipeline, schema, _sample(schema, cells), _output_names(y))
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
    _write(pipeline, passport, Path(path))
    return passport


def _pickle(pipeline: Any) -> bytes:
    """The pipeline's bytes without passport; raises SaveError if no other process could load them."""
    bare = copy.copy(pipeline)
    vars(bare).pop(ATTRIBUTE, None)
    try:
        content = pickle.dumps(bare)
    except Exception as error:  # pickling calls the objects' own code
        raise SaveError(
            f"The pipeline cannot be pickled: {error}. A lambda or a function inside a function must "
            "become a function of a module."
        ) from error
    if any(argument == "__main__" for _, argument, _ in pickletools.genops(content)):
        raise SaveError(
            "The pipeline uses a class or function of the script or notebook itself (__main__), which "
            "no other process can load: move it to a module, import it from there, and fit again."
        )
    return content


def _golden_rows(frame: pd.DataFrame) -> list[int]:
    """Evenly spaced rows, and for each column the first with a null."""
    even = np.unique(np.linspace(0, len(frame) - 1, GOLDEN_RECORDS).astype(int)).tolist()
    nulls = [int(np.argmax(frame[name].isna())) for name in frame if frame[name].isna().any()]
    return sorted({*even, *nulls})


def _predicted_rows(pipeline: Any, X: Any, rows: list[int]) -> tuple[list[int], Any]:
    """Those of `rows` whose prediction is finite, with the pipeline's own predictions."""
    try:
        predictions = np.asarray(pipeline.predict(_take(X, rows)))
    except Exception as error:  # the pipeline may raise anything
        raise SaveError(
            f"The pipeline does not predict X ({type(error).__name__}: {error}). Is it fitted, and on "
            "these columns?"
        ) from error
    bad = set(not_finite(predictions))
    good = [place for place in range(len(rows)) if place not in bad]
    if not good:
        raise SaveError("The pipeline predicts no finite number for any row of X that was tried.")
    return [rows[place] for place in good], predictions[good]


def _take(X: Any, rows: list[int]) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if isinstance(X, np.ndarray) else [X[row] for row in rows]


def _probe(
    pipeline: Any,
    schema: Schema,
    frame: pd.DataFrame,
    cells: list[list[Any]],
    overrides: Mapping[str, str],
) -> Schema:
    """The schema as trying the pipeline shows it; overrides of the user win where it can do them."""

    def distinct(name: str) -> list[Any]:
        return sorted(plain_cells(frame[[name]].dropna().drop_duplicates())[0])

    probed = probe_columns(pipeline, schema, _sample(schema, cells), distinct)
    columns = []
    for column, values in zip(probed.columns, cells, strict=True):
        # A golden record with a null predicts, whatever the probe on other rows said.
        column = msgspec.structs.replace(column, nullable=column.nullable or None in values)
        if column.name in overrides:
            column = with_override_checked(column, overrides[column.name], column.nullable)
        columns.append(column)
    return Schema(container=schema.container, columns=columns)


def _sample(schema: Schema, cells: list[list[Any]], size: int = 3) -> Table:
    """The records with the fewest nulls, as the engine takes them."""
    rows = list(zip(*cells, strict=True))
    fullest = sorted(range(len(rows)), key=lambda index: sum(cell is None for cell in rows[index]))
    return Table(
        [
            engine_cells(column, [values[index] for index in fullest[:size]])
            for column, values in zip(schema.columns, cells, strict=True)
        ],
        min(size, len(rows)),
    )


def engine_cells(column: Column, values: list[Any]) -> list[Any]:
    """Training values as checked cells; raises SaveError if they do not fit the column's type."""
    check = compile_check(msgspec.structs.replace(column, nullable=True))
    try:
        return [check(value) for value in values]
    except Unfit:
        raise SaveError(
            f"The column {column.name!r} is to be {column.type}, but X holds other values in it."
        ) from None


def _output_names(y: Any) -> list[str] | None:
    return [str(name) for name in y.columns] if isinstance(y, pd.DataFrame) else None


def _real(
    pipeline: Any, X: Any, rows: list[int], cells: list[list[Any]], predictions: Any, output: Output
) -> Golden:
    probabilities = None
    if proves_probabilities(output):
        probabilities = np.asarray(pipeline.predict_proba(_take(X, rows))).tolist()
    return Golden(
        cells=cells,
        predictions=plain_predictions(predictions, output),
        probabilities=probabilities,
    )


def _write(pipeline: Any, passport: Passport, path: Path) -> None:
    """Dump, load what was dumped, prove it; only then does it take the place of what was there."""
    carrier = copy.copy(pipeline)
    setattr(carrier, ATTRIBUTE, passport.to_plain())
    buffer = io.BytesIO()
    joblib.dump(carrier, buffer, compress=3)
    content = buffer.getvalue()
    load_model(content, digest=hashlib.sha256(content).hexdigest(), name=path.stem)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
