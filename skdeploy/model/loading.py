"""Bytes -> a model that is proved. The digest has been compared before (`skdeploy.source`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from threadpoolctl import threadpool_limits  # it comes with scikit-learn

from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import UnreadableModel
from skdeploy.model.choice import choose_engine
from skdeploy.model.model import Model
from skdeploy.model.probe import probe_columns, probe_output
from skdeploy.model.proof import prove
from skdeploy.model.unpickling import unpickle
from skdeploy.passport import Golden, Passport
from skdeploy.passport.derive import derive
from skdeploy.passport.document import ATTRIBUTE
from skdeploy.passport.libraries import differences, installed
from skdeploy.schema import RecordReader, Schema, Table

_log = logging.getLogger(__name__)

_NO_SKETCH = (
    "It was saved without a sketch of its training data: nobody sees whether records drift away from them."
)


def load_model(
    content: bytes,
    *,
    digest: str,
    name: str,
    where: str,
    engine: str = "sklearn",
    trusted: Sequence[str] = (),
) -> Model:
    """Unpickle `content`, and prove that it predicts what its passport says.

    A pickle without passport gets one derived from the fitted pipeline, with `name` for its name;
    what could not be known then stands in the model's notes. `where` is for messages.

    engine    "sklearn", "auto" or "onnx", see `skdeploy.model.choice`
    trusted   types that skops content may hold, beside skops' own

    Raises UnreadableModel, ProofFailed or, if the engine that was asked for cannot be had,
    ModelUnavailable. Unpickling runs code: only call it on bytes you trust.
    """
    pipeline, warned = unpickle(content, where, trusted)
    plain = getattr(pipeline, ATTRIBUTE, None)
    if plain is None:
        return _bare_model(pipeline, digest, name, warned, engine)
    passport = Passport.from_plain(plain)
    here = installed()
    # Of a few hundred records, and where others use the CPUs a tree's threads wait seconds for each other.
    with threadpool_limits(1):
        golden = prove(passport, SklearnEngine(pipeline, passport.schema), here)
        _log.info("%d golden records predict what the passport says", len(passport.golden.predictions))
        for difference in differences(passport.libraries, here):
            _log.info("Made with other versions, and proved equal: %s", difference)
        chosen, fallback = choose_engine(pipeline, passport, golden, engine)
    notes = () if passport.sketch else (_NO_SKETCH,)
    return Model(passport, chosen, golden.rows([0]), digest, notes, fallback)


def _bare_model(pipeline: Any, digest: str, name: str, warned: list[str], engine: str) -> Model:
    schema, notes = derive(pipeline)
    sample = Table([[column.example] for column in schema.columns], 1)
    try:
        schema = probe_columns(pipeline, schema, sample)
        output = probe_output(pipeline, schema, sample, None)
    except Exception as error:  # the pipeline may raise anything
        raise UnreadableModel(
            f"{name} has no passport, and a record made up from the fitted pipeline does not predict "
            f"({type(error).__name__}: {error}). Save it with skdeploy.save(pipeline, X, y, path)."
        ) from error
    passport = Passport(
        name=name,
        version=digest[:12],
        created=None,
        schema=schema,
        output=output,
        golden=Golden(cells=[[] for _ in schema.columns], predictions=[]),
    )
    _require_consistent(schema, sample, name)
    all_notes = (
        "It has no passport: its schema is derived, its predictions are not proved.",
        *notes,
    )
    chosen, fallback = choose_engine(pipeline, passport, sample, engine)
    return Model(
        passport,
        chosen,
        sample,
        digest,
        (*all_notes, *(f"On loading: {warning}" for warning in warned)),
        fallback,
    )


def _require_consistent(schema: Schema, sample: Table, name: str) -> None:
    """The made-up record must pass the model's own checks, or no client's record would."""
    record = dict(zip(schema.names, (cells[0] for cells in sample.cells), strict=True))
    if RecordReader(schema).read([record]).bad:
        raise UnreadableModel(
            f"{name} has no passport, and its derived schema refuses its own example. "
            "Save it with skdeploy.save(pipeline, X, y, path)."
        )
