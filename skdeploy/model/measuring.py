"""What calls of a model cost, and whether records may share one."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from skdeploy.engines import Engine
from skdeploy.errors import ProofFailed
from skdeploy.model.model import Model
from skdeploy.model.outputs import plain_predictions
from skdeploy.model.proof import golden_table, prove
from skdeploy.passport import Golden, Passport
from skdeploy.schema import Table

_log = logging.getLogger(__name__)

DEPENDS = "Each request is scored alone: a golden record predicts something else without the others."
_TOGETHER_RAISES = "Each request is scored alone: golden records do not predict together ({})."
_RAISES = "Each request is scored alone: a golden record does not predict without the others ({})."

# The start-up proof predicts all golden records in one call; this many are predicted alone as well.
_ALONE = 8
# Seconds that calls of one size are repeated for, and the number of calls that suffices.
_SECONDS = 0.025
_CALLS = 25
# So many copies of the probe stand in for golden records.
_COPIES = 100


def measured(model: Model) -> Model:
    """The model with its `cost` and `together`; the model itself if it has them already.

    The engine predicts: about 50 ms with a model that is quick. With one that is slow these are three calls,
    and eight with one record each. If records may not share a call, a note says why.
    """
    if model.cost is not None:
        return model
    if model.engine.name != "sklearn":  # the compiled engine has one thread, also where there is no joblib
        return _measured(model)
    from skdeploy.model.one_thread import one_thread

    with one_thread():
        return _measured(model)


def _measured(model: Model) -> Model:
    golden = model.passport.golden
    if not golden.predictions:
        _log.info("Each request is scored alone: no golden records prove that others do not matter")
        several = model.probe.rows([0] * _COPIES)
        return replace(model, cost=_cost(model.engine, model.probe, several))
    table = golden_table(model.passport)
    reason = _dependence(model.passport, model.engine, table)
    notes = model.notes
    if reason is not None:
        _log.warning(reason)
        notes = (*notes, reason)
    cost = _cost(model.engine, table.rows([0]), table)
    return replace(model, cost=cost, together=reason is None, notes=notes)


def _cost(engine: Engine, one: Table, several: Table) -> tuple[float, float]:
    """Seconds of a call with one record, and seconds per further record.

    Where a record alone, or several of them, do not predict, the cost is that of the calls that do.
    """
    # The first call of a size may prepare what later ones use.
    alone = _median(lambda: engine.predict(one), at_least=2)
    together = _median(lambda: engine.predict(several), at_least=1)
    if alone is None or several.count < 2:
        return (together or 0.0), (together or 0.0) / several.count
    if together is None:
        return alone, alone
    return alone, max(0.0, (together - alone) / (several.count - 1))


def _median(call: Callable[[], Any], at_least: int) -> float | None:
    """Seconds of a call; None if it raises."""
    times: list[float] = []
    while len(times) < at_least or (sum(times) < _SECONDS and len(times) < _CALLS):
        begin = time.perf_counter()
        try:
            call()
        except Exception:  # the pipeline may raise anything
            return None
        times.append(time.perf_counter() - begin)
    return statistics.median_low(times)


def _dependence(passport: Passport, engine: Engine, table: Table) -> str | None:
    """Why records may not share a call; None if golden records predict alone what they do together.

    Both are predictions of this engine and this machine, so that they are equal to the last bit, or to
    1e-9 where BLAS adds up in another order for another number of records.
    """
    try:
        predictions = plain_predictions(engine.predict(table), passport.output)
        probabilities = None
        if passport.golden.probabilities is not None:
            probabilities = np.asarray(engine.predict_proba(table)).tolist()
    except Exception as error:  # the pipeline may raise anything
        return _TOGETHER_RAISES.format(type(error).__name__)
    here = Golden(cells=passport.golden.cells, predictions=predictions, probabilities=probabilities)
    passport = few_golden(msgspec.structs.replace(passport, golden=here))
    try:
        prove(passport, OneByOne(engine), passport.libraries)
    except ProofFailed as error:
        _log.debug("It was found out so: %s", error)
        return DEPENDS if error.__cause__ is None else _RAISES.format(type(error.__cause__).__name__)
    return None


def few_golden(passport: Passport) -> Passport:
    """The passport with a few of its golden records, spread over all of them."""
    golden = passport.golden
    count = len(golden.predictions)
    return msgspec.structs.replace(passport, golden=golden.rows(range(0, count, -(-count // _ALONE))))


class OneByOne(Engine):
    """An engine that calls another one once per record."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.engine = engine

    def predict(self, table: Table) -> Any:
        """An array (n,) or (n, outputs)."""
        return np.concatenate([self.engine.predict(table.rows([index])) for index in range(table.count)])

    def predict_proba(self, table: Table) -> Any:
        """An array (n, classes)."""
        return np.concatenate(
            [self.engine.predict_proba(table.rows([index])) for index in range(table.count)]
        )
