"""Micro-batching, where it is proved that a record's answer does not depend on its neighbours."""

from __future__ import annotations

import logging
from dataclasses import replace

from skdeploy.engines.batching import BatchingEngine
from skdeploy.errors import ProofFailed
from skdeploy.model.measuring import DEPENDS, OneByOne, few_golden
from skdeploy.model.model import Model
from skdeploy.model.proof import prove
from skdeploy.passport.libraries import installed

_log = logging.getLogger(__name__)


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
        prove(few_golden(model.passport), OneByOne(model.engine), installed())
    except ProofFailed as error:
        _log.warning(DEPENDS)
        _log.debug("It was found out so: %s", error)
        notes = model.notes if DEPENDS in model.notes else (*model.notes, DEPENDS)
        return replace(model, notes=notes)
    return replace(model, engine=BatchingEngine(model.engine, most=most, wait=wait))
