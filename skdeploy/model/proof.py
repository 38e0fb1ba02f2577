"""The start-up proof: the golden records predict what the passport says, or the model is refused."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

import numpy as np

from skdeploy.engines import Engine
from skdeploy.errors import ProofFailed, described
from skdeploy.model.outputs import plain_predictions
from skdeploy.passport import Golden, Passport
from skdeploy.passport.libraries import ways_out
from skdeploy.schema import RecordReader, Table

SAME_MAKE = 1e-9  # same library versions and processor: the same arithmetic, almost always
OTHER_MAKE = 1e-5
_EXPORTED = "The exported model is not the pipeline that was saved. Export it again."
_DAMAGED = "The file does not hold the pipeline that was saved. Save the model again."


def prove(passport: Passport, engine: Engine, libraries: dict[str, str] | None) -> Table:
    """Predict the golden records, and return them; raises ProofFailed naming record and both values.

    libraries   what is installed here; None where the engine has none of those that the passport names

    Two numbers are equal if |a - b| <= rtol * |b| + rtol * std(golden predictions). Labels must
    be the same, unless the two most probable classes are closer together than rtol.
    """
    # In sentences, with the remedy; empty where the same versions on the same processor predict.
    made_differently = _EXPORTED if libraries is None else ways_out(passport.libraries, libraries)
    try:
        table = golden_table(passport)
        _compare(passport, engine, table, made_differently)
    except ProofFailed:
        raise
    except Exception as error:  # the pipeline may raise anything
        raise ProofFailed(
            f"The golden records do not predict ({described(error)}).", made_differently or _DAMAGED
        ) from error
    return table


def _compare(passport: Passport, engine: Engine, table: Table, made_differently: str) -> None:
    golden = passport.golden
    raw = np.asarray(engine.predict(table))
    rtol = _rtol(raw, made_differently)
    got = plain_predictions(raw, passport.output)
    spreads = _spreads(golden.predictions)
    for index, (value, expected) in enumerate(zip(got, golden.predictions, strict=True)):
        pairs = zip(_parts(value), _parts(expected), spreads, strict=True)
        if all(_equal(a, b, rtol, spread) for a, b, spread in pairs):
            continue
        if _is_toss_up(passport, index, [value, expected], rtol):
            continue
        raise ProofFailed(
            f"Golden record {index} predicts {value!r}, but the passport says {expected!r} "
            f"(tolerance {rtol:g}).",
            made_differently or _DAMAGED,
        )
    _prove_probabilities(golden, engine, table, made_differently)


def _rtol(raw: Any, made_differently: str) -> float:
    """In single precision the number of BLAS threads alone moves the sixth digit."""
    single_precision = raw.dtype.kind == "f" and raw.dtype.itemsize < 8
    return OTHER_MAKE if made_differently or single_precision else SAME_MAKE


def golden_table(passport: Passport) -> Table:
    """The golden records as the engine takes them; raises ProofFailed if the schema refuses one."""
    names, golden = passport.schema.names, passport.golden
    records = [dict(zip(names, row, strict=True)) for row in zip(*golden.cells, strict=True)]
    checked = RecordReader(passport.schema, reveal=False).read(records)
    for index, cells in checked.bad.items():
        raise ProofFailed(
            f"The model's own schema refuses its golden record {index}: column {cells[0].column!r} "
            f"expects {cells[0].expected}.",
            "Save the model again.",
        )
    return checked.table


def _prove_probabilities(golden: Golden, engine: Engine, table: Table, made_differently: str) -> None:
    if golden.probabilities is None:
        return
    raw = np.asarray(engine.predict_proba(table))
    rtol = _rtol(raw, made_differently)
    for index, (row, expected) in enumerate(zip(raw.tolist(), golden.probabilities, strict=True)):
        for a, b in zip(row, expected, strict=True):
            if abs(a - b) > rtol:
                raise ProofFailed(
                    f"Golden record {index} has the probability {a!r}, but the passport says {b!r} "
                    f"(tolerance {rtol:g}).",
                    made_differently or _DAMAGED,
                )


def _parts(prediction: Any) -> list[Any]:
    return list(prediction.values()) if isinstance(prediction, dict) else [prediction]


def _spreads(predictions: list[Any]) -> list[float]:
    """Per output, the standard deviation of its golden predictions; 0 for labels."""
    columns: Iterator[tuple[Any, ...]] = zip(*map(_parts, predictions), strict=True)
    return [
        statistics.pstdev(column) if all(isinstance(v, float) for v in column) else 0.0 for column in columns
    ]


def _equal(a: Any, b: Any, rtol: float, spread: float) -> bool:
    if isinstance(a, float) and isinstance(b, (int, float)) and not isinstance(b, bool):
        return math.isfinite(a) and abs(a - b) <= rtol * abs(b) + rtol * spread
    return type(a) is type(b) and bool(a == b)


def _is_toss_up(passport: Passport, index: int, labels: list[Any], rtol: float) -> bool:
    """Whether both labels are the two most probable classes, and these are equally probable."""
    classes = passport.output.classes
    if passport.golden.probabilities is None or classes is None or len(classes) < 2:
        return False
    row = passport.golden.probabilities[index]
    first, second = sorted(range(len(row)), key=lambda place: -row[place])[:2]
    return row[first] - row[second] <= rtol and all(
        label in (classes[first], classes[second]) for label in labels
    )
