"""Training data, or a sample of them, with the pipeline's own predictions -> the passport's sketch."""

from __future__ import annotations

import warnings
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from skdeploy.drift import Sketch
from skdeploy.drift.learning import learn
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import ProofFailed
from skdeploy.model.model import Model
from skdeploy.model.proof import golden_table
from skdeploy.passport import Golden, Passport
from skdeploy.passport.training import plain_cells
from skdeploy.schema import Schema, Table, Unfit, compile_check
from skdeploy.scoring import Scorer

# The rows that are looked at: by chance alone the shares of so many are right to half a percent.
_MOST_ROWS = 10_000
_MOST_CELLS = 2_000_000
_LEAST_ROWS = 1_000


def sketch_of(pipeline: Any, passport: Passport, frame: pd.DataFrame) -> Sketch | None:
    """What the rows of `frame` are like, and what `pipeline` predicts for them.

    Rows that every door would refuse are left out; None if there are no others.
    """
    try:
        probe = golden_table(_first_golden(passport))
    except ProofFailed:  # so the model cannot be loaded, and loading it says why
        return None
    table = _checked(passport.schema, frame.iloc[_rows(frame)])
    if not table.count:
        return None
    model = Model(passport, SklearnEngine(pipeline, passport.schema), probe, digest="")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what it warns of is said when the golden records are predicted
        outputs = Scorer(model).predict(table).columns
    output = passport.output
    return learn(passport.schema.columns, table, outputs, names=output.names, classes=output.classes)


def _first_golden(passport: Passport) -> Passport:
    golden = passport.golden
    first = Golden(cells=[cells[:1] for cells in golden.cells], predictions=golden.predictions[:1])
    return msgspec.structs.replace(passport, golden=first)


def _rows(frame: pd.DataFrame) -> Any:
    """By chance, and the same ones every time: evenly spaced ones could keep time with the data."""
    most = min(_MOST_ROWS, max(_LEAST_ROWS, _MOST_CELLS // len(frame.columns)))
    if len(frame) <= most:
        return np.arange(len(frame))
    return np.sort(np.random.default_rng(0).choice(len(frame), most, replace=False))


def _checked(schema: Schema, frame: pd.DataFrame) -> Table:
    fits = np.ones(len(frame), dtype=bool)
    columns: list[Any] = []
    for column in schema.columns:
        series = frame[column.name]
        if series.dtype == np.float64 and column.type == "float" and not column.refuses_unknown(strict=False):
            numbers = series.to_numpy()
            fits &= np.isfinite(numbers) | (np.isnan(numbers) & column.nullable)
            columns.append(numbers)
            continue
        (values,) = plain_cells(series.to_frame())
        check, cells = compile_check(column), []
        for row, value in enumerate(values):
            try:
                cells.append(check(value))
            except Unfit:
                cells.append(None)
                fits[row] = False
        columns.append(cells)
    return Table(columns, len(frame)).rows(np.flatnonzero(fits).tolist())
