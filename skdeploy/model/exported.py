"""An exported model: one file with a graph and its passport, which runs no code of its own.

The file is a zip archive of three members that are stored, not compressed:

    skdeploy.json   Manifest: the pickle's digest, the versions that exported it, the graph's input
    passport.json   the passport with its golden records
    model.onnx      the compiled pipeline

Loading it needs numpy, msgspec and onnxruntime, and neither scikit-learn, pandas nor joblib. Nothing is
unpickled. A graph that someone else made can still answer wrongly, or take time and memory: the digest of the
file says whose it is.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec

from skdeploy.engines import Engine, NoAnswer
from skdeploy.engines.features import Damaged, from_plain, to_plain
from skdeploy.engines.graph import Graph
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.engines.vetting import UnsafeGraph, vet_graph
from skdeploy.errors import DigestMismatch, UnreadableModel
from skdeploy.model.isolated import in_child
from skdeploy.model.measuring import measured
from skdeploy.model.model import Model
from skdeploy.model.proof import prove
from skdeploy.passport import Output, Passport
from skdeploy.schema import RecordReader, Schema, Table

_log = logging.getLogger(__name__)

# A file of this name is loaded as an exported model or not at all, so that no pickle passes for one.
SUFFIX = ".skdeploy"
FORMAT = 1

_MANIFEST, _PASSPORT, _GRAPH = "skdeploy.json", "passport.json", "model.onnx"
# The members in their order, and the bytes that each may have.
_MOST_BYTES = {_MANIFEST: 2**28, _PASSPORT: 2**26, _GRAPH: 2**30}
# Of a zip archive: a member's two headers without its name, twice, and the record at the end.
_HEADERS, _END = 30 + 46, 22
_DATE = (1980, 1, 1, 0, 0, 0)
_LINUX = 3

_REMEDY = "Export the model again (skdeploy export)."


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of skdeploy.json.

    exported_from   SHA-256 of the pickle that the model was exported from
    versions        skdeploy's, Python's and the libraries' where it was exported
    largest         the largest number that the graph takes as scikit-learn does; None for any
    split_most      the column of the graph's input that trees split on most; None if none does
    undecided       whether the graph says which records it leaves to scikit-learn
    widest          the most numbers that trees read of a record
    features        the columns of the graph's input, as `skdeploy.engines.features` writes them
    """

    format: int = FORMAT
    exported_from: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
    versions: dict[str, str]
    largest: float | None
    split_most: int | None
    undecided: bool = False
    widest: int = 0
    features: list[Any]


@dataclass(frozen=True, slots=True)
class Exported:
    """The contents of an exported model's file; the fields are explained at `Manifest`."""

    passport: Passport
    graph: Graph
    exported_from: str
    versions: dict[str, str]

    def to_bytes(self) -> bytes:
        """The file. Equal models make equal bytes.

        Raises NotPlain if a feature cannot be written, ValueError for a number that JSON does not have.
        """
        manifest = Manifest(
            exported_from=self.exported_from,
            versions=self.versions,
            largest=self.graph.largest,
            split_most=self.graph.split_most,
            undecided=self.graph.undecided,
            widest=self.graph.widest,
            features=to_plain(self.graph.features),
        )
        return _zipped(
            {
                _MANIFEST: _to_json(msgspec.to_builtins(manifest)),
                _PASSPORT: _to_json(self.passport.to_plain()),
                _GRAPH: self.graph.content,
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes, where: str, *, golden: bool = True) -> Exported:
        """The reverse of `to_bytes`, for a file that anyone may have written. Nothing runs.

        where    for messages
        golden   False accepts a file without golden records, which nothing proves: one that another
                 process of this service has proved and published

        Raises UnreadableModel.
        """
        try:
            members = _unzipped(content)
            manifest = msgspec.convert(_of_format(_from_json(members, _MANIFEST)), Manifest)
            passport = Passport.from_plain(_from_json(members, _PASSPORT), golden=golden)
            features = from_plain(manifest.features, len(passport.schema.columns))
            vet_graph(members[_GRAPH])
        except UnsafeGraph as error:
            raise UnreadableModel(f"{where} has a graph that is not run: {error}. {_REMEDY}") from None
        except (_Refused, Damaged, msgspec.ValidationError, UnreadableModel) as error:
            raise UnreadableModel(f"{where} is no exported model, or damaged: {error}. {_REMEDY}") from None
        width = sum(feature.width for feature in features)
        if manifest.split_most is not None and not 0 <= manifest.split_most < width:
            raise UnreadableModel(f"{where} is damaged: split_most={manifest.split_most}. {_REMEDY}")
        graph = Graph(
            members[_GRAPH],
            features,
            manifest.largest,
            manifest.split_most,
            undecided=manifest.undecided,
            widest=manifest.widest,
        )
        return cls(passport, graph, manifest.exported_from, manifest.versions)


def is_exported(content: bytes, where: str = "") -> bool:
    """Whether a file is an exported model, or bears the name of one: then it must not be unpickled.

    where   the file's path or URI
    """
    if where.endswith(SUFFIX):
        return True
    # The first header tells it, and the directory at the end where bytes were put in front of the archive.
    return _MANIFEST.encode() in content[:64] + content[-512:]


def load_exported(
    content: bytes,
    *,
    digest: str,
    where: str,
    isolated: bool = False,
    golden: bool = True,
    reference: Callable[[Schema], Engine] | None = None,
) -> Model:
    """The model in an exported model's file, proved on its golden records.

    digest     SHA-256 that `content` must have
    where      for messages
    isolated   a forked child predicts and measures, for a process that forks later: `skdeploy.model.isolated`
    golden     False accepts a file without golden records, see `Exported.from_bytes`
    reference  makes the engine that scores the records which the graph cannot take; None for no answer

    Raises DigestMismatch, UnreadableModel or ProofFailed.
    """
    if (got := hashlib.sha256(content).hexdigest()) != digest:
        raise DigestMismatch(where, digest, got, "the digest that it was given with")
    exported = Exported.from_bytes(content, where, golden=golden)
    passport = exported.passport
    try:
        engine = onnx_engine(
            exported.graph, passport.output, reference(passport.schema) if reference else WithoutReference()
        )
    except ModuleNotFoundError as error:
        raise UnreadableModel(
            f"{where} needs the package {error.name}: run pip install {error.name}."
        ) from None
    except Exception as error:  # onnxruntime raises exceptions of its own
        raise UnreadableModel(f"{where} cannot be run: {type(error).__name__}: {error}. {_REMEDY}") from error

    def proved() -> Model:
        probe = _probe(passport, engine, where)
        return Model(passport, engine, probe, exported.exported_from, exported=digest)

    if not isolated:
        return proved()
    model = in_child(lambda: replace(measured(proved()), engine=WithoutReference()))
    return replace(model, engine=engine)


def _probe(passport: Passport, engine: Engine, where: str) -> Table:
    """A record that predicts: the first golden record, once all are proved, else the schema's example."""
    if passport.golden.predictions:
        golden = prove(passport, engine, None)
        _log.info("%s: %d golden records predict what the passport says", where, golden.count)
        return golden.rows([0])
    example = {column.name: column.example for column in passport.schema.columns}
    checked = RecordReader(passport.schema).read([example])
    if checked.bad:
        raise UnreadableModel(f"{where} is damaged: its schema refuses its own example. {_REMEDY}")
    return checked.table


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


class _Refused(Exception):
    """The archive or a member of it is not as `to_bytes` writes it."""


def _zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = _LINUX, 0o100644 << 16
            archive.writestr(info, content)
    return buffer.getvalue()


def _unzipped(content: bytes) -> dict[str, bytes]:
    """The members, none of which is read before its size is known to be true and not too large."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            infos = archive.infolist()
            _require_plain(infos, len(content))
            return {info.filename: archive.read(info) for info in infos}
    except _Refused:
        raise
    except Exception as error:  # zipfile raises many things on what is no archive
        raise _Refused(f"{type(error).__name__}: {error}") from error


def _require_plain(infos: list[zipfile.ZipInfo], length: int) -> None:
    """Refuse an archive with other members, compressed or too large ones, or bytes beside its members.

    length   of the archive
    """
    if [info.filename for info in infos] != [*_MOST_BYTES]:
        names = ", ".join(repr(info.filename[:100]) for info in infos[:5])
        raise _Refused(f"its members are {names or 'none'}, not {', '.join(_MOST_BYTES)}")
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits or info.compress_size != info.file_size:
            raise _Refused(f"its member {info.filename} is not stored as it is")
        if info.file_size > _MOST_BYTES[info.filename]:
            raise _Refused(f"its member {info.filename} has {info.file_size:,} bytes, more than any export")
    expected = sum(info.file_size + _HEADERS + 2 * len(info.filename) for info in infos) + _END
    if expected != length:
        raise _Refused(f"it has {length:,} bytes, and its members make {expected:,}")


def _to_json(plain: Any) -> bytes:
    # Python's own writer: it has whole numbers of any size, and texts with half a character.
    return json.dumps(plain, allow_nan=False).encode() + b"\n"


def _from_json(members: dict[str, bytes], name: str) -> Any:
    try:
        return json.loads(members[name], parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"{name}: {error}") from None


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def _of_format(plain: Any) -> Any:
    written = plain.get("format") if isinstance(plain, dict) else None
    if written != FORMAT:
        raise _Refused(f"its format is {written!r}, and this skdeploy reads {FORMAT}")
    return plain
