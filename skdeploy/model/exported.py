"""An exported model: a folder with a graph and its passport, for where scikit-learn is too large.

    model.onnx      the compiled pipeline
    passport.json   the passport with its golden records, the columns of the graph's input, and digests

Loading it needs numpy, msgspec and onnxruntime. Nothing is unpickled. Golden records may be real rows:
the folder holds them as the model's file does.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from skdeploy.engines import Engine, NoAnswer
from skdeploy.engines.features import Damaged, from_plain
from skdeploy.engines.graph import Graph
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.errors import DigestMismatch, UnreadableModel
from skdeploy.model.isolated import in_child
from skdeploy.model.measuring import measured
from skdeploy.model.model import Model
from skdeploy.model.proof import prove
from skdeploy.passport import Output, Passport
from skdeploy.schema import Table

DOCUMENT_FILE = "passport.json"
GRAPH_FILE = "model.onnx"
FORMAT = 1

_AGAIN = "Export the model again."


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What passport.json holds.

    skdeploy       the version that wrote it
    model_sha256   of the model's file, which predictions name
    graph_sha256   of model.onnx
    largest        the largest number that the graph takes as scikit-learn does; None for any
    features       the columns of the graph's input, as `skdeploy.engines.features` writes them
    passport       the model's own
    """

    format: int = FORMAT
    skdeploy: str
    model_sha256: str
    graph_sha256: str
    largest: float | None
    features: list[Any]
    passport: dict[str, Any]

    def to_json(self) -> bytes:
        """UTF-8. Raises ValueError if there is a number in the passport that JSON has not."""
        # Python's own writer: it has whole numbers of any size, and texts with half a character.
        return json.dumps(msgspec.to_builtins(self), allow_nan=False).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> Document:
        """Raises UnreadableModel."""
        try:
            plain = json.loads(content)
        except ValueError as error:
            raise UnreadableModel(f"{DOCUMENT_FILE} is damaged: {error}. {_AGAIN}") from None
        written = plain.get("format") if isinstance(plain, dict) else None
        if written != FORMAT:
            raise UnreadableModel(
                f"{DOCUMENT_FILE} has the format {written!r}, this skdeploy reads {FORMAT}. {_AGAIN}"
            )
        try:
            return msgspec.convert(plain, cls)
        except msgspec.ValidationError as error:
            raise UnreadableModel(f"{DOCUMENT_FILE} is damaged: {error}. {_AGAIN}") from None


def is_exported(path: Path) -> bool:
    """Whether there is an exported model."""
    return (path / DOCUMENT_FILE).is_file()


def load_exported(folder: Path, sha256: str | None = None, *, isolated: bool = False) -> Model:
    """The model in `folder`, proved on its golden records; its digest is the model file's.

    sha256     of the model's file that it must have been exported from; None for any
    isolated   a forked child predicts and measures, see `skdeploy.model.isolated`: for who forks later

    Raises UnreadableModel, DigestMismatch or ProofFailed.
    """
    try:
        document, graph = ((folder / name).read_bytes() for name in (DOCUMENT_FILE, GRAPH_FILE))
    except OSError as error:
        raise UnreadableModel(f"{error.filename} cannot be read: {error.strerror}. {_AGAIN}") from None
    return read_exported(document, graph, str(folder), sha256, isolated=isolated)


def read_exported(
    content: bytes, graph: bytes, where: str, sha256: str | None = None, *, isolated: bool = False
) -> Model:
    """The same of the contents of both files; `where` is for messages."""
    document = Document.from_json(content)
    digest = hashlib.sha256(graph).hexdigest()
    if digest != document.graph_sha256:
        raise DigestMismatch(f"{where}/{GRAPH_FILE}", document.graph_sha256, digest, DOCUMENT_FILE)
    if sha256 not in (None, document.model_sha256):
        raise DigestMismatch(f"The model that {where} is exported from", sha256, document.model_sha256)
    passport = Passport.from_plain(document.passport)
    try:
        features = from_plain(document.features)
    except Damaged as error:
        raise UnreadableModel(f"{where}/{DOCUMENT_FILE} is damaged: {error}. {_AGAIN}") from None
    try:
        engine = onnx_engine(Graph(graph, features, document.largest), passport.output, WithoutReference())
    except Exception as error:  # onnxruntime raises exceptions of its own, and may not be installed
        raise UnreadableModel(f"{where} cannot be run: {type(error).__name__}: {error}") from error
    if not isolated:
        return _proved(passport, engine, document.model_sha256)
    model = in_child(
        lambda: replace(measured(_proved(passport, engine, document.model_sha256)), engine=WithoutReference())
    )
    return replace(model, engine=engine)


def _proved(passport: Passport, engine: Engine, digest: str) -> Model:
    return Model(passport, engine, prove(passport, engine, None).rows([0]), digest)


def onnx_engine(graph: Graph, output: Output, others: Any) -> OnnxEngine:
    """The engine that runs `graph`; `others` scores what the graph cannot take."""
    classes = output.classes or []
    return OnnxEngine(
        graph,
        others,
        boolean_labels=any(isinstance(label, bool) for label in classes),
        widths=[len(one) for one in classes] if output.names and classes else None,
    )


class WithoutReference(Engine):
    """Stands where scikit-learn would be asked for the records that the graph cannot take."""

    name = "none"

    def predict(self, table: Table) -> Any:  # noqa: ARG002 - an engine takes one
        """Raises NoAnswer."""
        raise NoAnswer("only scikit-learn can score it, which an exported model does without")

    def predict_proba(self, table: Table) -> Any:
        """Raises NoAnswer."""
        return self.predict(table)
