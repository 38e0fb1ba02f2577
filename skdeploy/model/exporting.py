"""A model's file -> the two files of an exported model. They are proved before they are written."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skdeploy.engines.features import NotPlain, to_plain
from skdeploy.engines.graph import Graph
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import ExportError
from skdeploy.model.choice import NotCompiled, compile_engine
from skdeploy.model.exported import DOCUMENT_FILE, GRAPH_FILE, Document, read_exported
from skdeploy.model.model import Model
from skdeploy.model.proof import prove
from skdeploy.model.unpickling import unpickle
from skdeploy.passport import Passport
from skdeploy.passport.document import ATTRIBUTE
from skdeploy.passport.libraries import installed
from skdeploy.writing import write

_REMEDY = "Deploy the container, which has scikit-learn."


def export(
    content: bytes, folder: Path, *, digest: str, where: str, version: str, trusted: Sequence[str] = ()
) -> Model:
    """Write the model in `content` into `folder`, which is made, and return it as it loads from there.

    The same content makes the same bytes, whatever was in the folder. The graph is written first: who
    reads in between finds the old model, or a digest that does not fit.

    digest    SHA-256 of `content`, which is compared before it is unpickled
    where     for messages
    version   skdeploy's own, which is written down
    trusted   types that skops content may hold, beside skops' own

    Raises ExportError with reason and remedy, DigestMismatch, UnreadableModel, ProofFailed, or OSError.
    Unpickling runs code: only call it on bytes you trust.
    """
    pipeline, _ = unpickle(content, digest, where, trusted)
    plain = getattr(pipeline, ATTRIBUTE, None)
    if plain is None:
        raise ExportError(
            f"{where} has no passport, whose golden records prove an exported model: "
            "save it with skdeploy.save(pipeline, X, y, path)."
        )
    passport = Passport.from_plain(plain)
    graph = _compiled(pipeline, passport, where)
    document = _document(graph, passport, digest, where, version)
    model = read_exported(document, graph.content, f"The export of {where}")
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / GRAPH_FILE, graph.content)
    write(folder / DOCUMENT_FILE, document)
    return model


def _compiled(pipeline: Any, passport: Passport, where: str) -> Graph:
    reference = SklearnEngine(pipeline, passport.schema)
    golden = prove(passport, reference, installed())
    try:
        return compile_engine(pipeline, passport, golden, reference)[1]
    except NotCompiled as error:
        raise ExportError(f"{where} cannot be exported: {error}. {_REMEDY}") from error


def _document(graph: Graph, passport: Passport, digest: str, where: str, version: str) -> bytes:
    try:
        return Document(
            skdeploy=version,
            model_sha256=digest,
            graph_sha256=hashlib.sha256(graph.content).hexdigest(),
            largest=graph.largest,
            features=to_plain(graph.features),
            passport=passport.to_plain(),
        ).to_json()
    except (NotPlain, ValueError) as error:
        raise ExportError(f"{where} cannot be exported: {error}. {_REMEDY}") from error
