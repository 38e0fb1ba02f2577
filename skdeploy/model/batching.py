"""Micro-batching, where it is proved that a record's answer does not depend on its neighbours."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from skdeploy.engines import Engine
from skdeploy.engines.batching import BatchingEngine
from skdeploy.errors import ProofFailed
from skdeploy.model.model import Model
from skdeploy.model.proof import prove
from skdeploy.passport import Golden, Passport
from skdeploy.passport.libraries import installed
from skdeploy.schema import Table

_log = logging.getLogger(__name__)

# The start-up proof predicts all golden records in one call; this many are predicted alone as well.
_ALONE = 8
_DEPENDS = "Each request is scored alone: a golden record predicts something else without the others."


def batched(model: Model, *, most: int, wait: float) -> Model:
    """The model with its concurrent calls gathered if scikit-learn serves, else the model itself.

    It is the model itself, too, if its golden records do not predict alone what they predict
    together: then strangers' records would change a prediction.

    most   records of one call; with less than 2 nothing is gathered
    wait   seconds that a call waits for others, at most
    """
    if model.engine.name != "sklearn" or most < 2:
        return model
    if not model.passport.golden.predictions:
        _log.info("Each request is scored alone: no golden records prove that others do not matter")
        return model
    try:
        prove(_few_golden(model.passport), _OneByOne(model.engine), installed())
    except ProofFailed as error:
        _log.warning(_DEPENDS)
        _log.debug("It was found out so: %s", error)
        return replace(model, notes=(*model.notes, _DEPENDS))
    return replace(model, engine=BatchingEngine(model.engine, most=most, wait=wait))


def _few_golden(passport: Passport) -> Passport:
    golden = passport.golden
    step = -(-len(golden.predictions) // _ALONE)
    probabilities = golden.probabilities
    few = Golden(
        cells=[cells[::step] for cells in golden.cells],
        predictions=golden.predictions[::step],
        probabilities=None if probabilities is None else probabilities[::step],
    )
    return msgspec.structs.replace(passport, golden=few)


class _OneByOne(Engine):
    """An engine that calls another one once per record."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.engine = engine

    def predict(self, table: Table) -> Any:
        return np.concatenate([self.engine.predict(table.rows([index])) for index in range(table.count)])

    def predict_proba(self, table: Table) -> Any:
        return np.concatenate(
            [self.engine.predict_proba(table.rows([index])) for index in range(table.count)]
        )
