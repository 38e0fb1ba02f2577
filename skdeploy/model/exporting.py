"""A pickle -> an exported model's file, which is proved before it is handed out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from skdeploy.engines.features import NotPlain
from skdeploy.engines.graph import Graph
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import ExportError, SaveError
from skdeploy.model.choice import NotCompiled, compile_engine
from skdeploy.model.exported import Exported, WithoutReference, is_exported, load_exported, onnx_engine
from skdeploy.model.golden import synthetic_golden
from skdeploy.model.model import Model
from skdeploy.model.one_thread import one_thread
from skdeploy.model.outputs import predicted
from skdeploy.model.proof import golden_table, prove
from skdeploy.model.unpickling import unpickle
from skdeploy.passport import Golden, Passport
from skdeploy.passport.document import ATTRIBUTE
from skdeploy.passport.libraries import installed, versions

_REMEDY = (
    "Serve the pickle where scikit-learn is installed, or replace that step: docs/engines.md lists "
    "the steps that compile."
)


def export(
    content: bytes,
    *,
    digest: str,
    where: str,
    golden: Literal["synthetic", "real"] = "synthetic",
    trusted: Sequence[str] = (),
) -> tuple[bytes, Model]:
    """The file of the exported model, and the model as it loads from there. Equal contents make equal files.

    content   a pickle with a passport, or a skops file
    digest    SHA-256 of `content`, which is compared before it is unpickled
    where     for messages
    golden    "synthetic" makes golden records up from the schema, "real" keeps those of the pickle, which
              may be rows of the training data
    trusted   types that skops content may hold, beside skops' own

    Raises ExportError with reason and remedy, DigestMismatch, UnreadableModel or ProofFailed. Unpickling
    runs code: only call it on bytes you trust.
    """
    if is_exported(content):
        raise ExportError(
            f"{where} is an exported model already: copy it, or export the pickle it came from."
        )
    pipeline = unpickle(content, digest, where, trusted).pipeline
    plain = getattr(pipeline, ATTRIBUTE, None)
    if plain is None:
        raise ExportError(
            f"{where} has no passport, whose golden records prove an exported model: "
            "save it with skdeploy.save(pipeline, X, y, path)."
        )
    passport = Passport.from_plain(plain)
    with one_thread():
        graph = _compiled(pipeline, passport, where)
        if golden == "synthetic" and not passport.golden.synthetic:
            passport = msgspec.structs.replace(passport, golden=_synthetic(pipeline, passport, where))
    # Of neighbours that are equally far the exported model takes none.
    answered, _ = predicted(onnx_engine(graph, passport.output, WithoutReference()), golden_table(passport))
    passport = msgspec.structs.replace(passport, golden=passport.golden.rows(answered))
    try:
        exported = Exported(passport, graph, exported_from=digest, versions=versions()).to_bytes()
    except (NotPlain, ValueError) as error:
        raise ExportError(f"{where} cannot be exported: {error}. {_REMEDY}") from error
    model = load_exported(
        exported, digest=hashlib.sha256(exported).hexdigest(), where=f"The export of {where}"
    )
    return exported, model


def _compiled(pipeline: Any, passport: Passport, where: str) -> Graph:
    reference = SklearnEngine(pipeline, passport.schema)
    golden = prove(passport, reference, installed())
    try:
        graph = compile_engine(pipeline, passport, golden, reference, seconds=math.inf).graph
    except NotCompiled as error:
        raise ExportError(f"{where} cannot be exported: {error}. {_REMEDY}") from error
    assert graph is not None  # noqa: S101 - what is compiled has one
    return graph


def _synthetic(pipeline: Any, passport: Passport, where: str) -> Golden:
    try:
        return synthetic_golden(pipeline, passport.schema, passport.output)
    except SaveError as error:
        raise ExportError(
            f"{where} cannot be exported with synthetic golden records: {error} "
            "Where its readers may see training rows: skdeploy export --golden real."
        ) from error
