"""A pickle's bytes -> a model that is proved, if they have the digest that they should have."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from skdeploy.engines.graph import Graph
from skdeploy.engines.onnx import import_runtime
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import UnreadableModel, described, listed
from skdeploy.memory import release
from skdeploy.model.choice import choose_engine
from skdeploy.model.exported import WithoutReference, onnx_engine
from skdeploy.model.isolated import in_child
from skdeploy.model.measuring import measured
from skdeploy.model.model import Model
from skdeploy.model.one_thread import one_thread
from skdeploy.model.probe import probe_columns, probe_output, taking_texts, telling_whole_numbers
from skdeploy.model.proof import prove
from skdeploy.model.unpickling import Unpickled, other_versions, unpickle
from skdeploy.passport import Golden, Passport
from skdeploy.passport.derive import derive
from skdeploy.passport.document import ATTRIBUTE
from skdeploy.passport.libraries import differences, installed
from skdeploy.schema import RecordReader, Schema, Table

_log = logging.getLogger(__name__)

_SAVE_IT = (
    "Save it with skdeploy.save(pipeline, X, y, path), which learns the columns from the training data X."
)
_NO_SKETCH = (
    "It was saved without a sketch of its training data: nobody sees whether records drift away from them."
)


def load_pickled(
    content: bytes,
    *,
    digest: str,
    name: str,
    where: str,
    engine: str = "sklearn",
    trusted: Sequence[str] = (),
    isolated: bool = False,
) -> Model:
    """Unpickle `content`, and prove that it predicts what its passport says.

    A pickle without passport gets one derived from the fitted pipeline, with `name` for its name;
    what could not be known then stands in the model's notes. `where` is for messages.

    engine    "sklearn", "auto" or "onnx", see `skdeploy.model.choice`
    trusted   types that skops content may hold, beside skops' own
    isolated  a forked child predicts and measures, for a process that forks later: `skdeploy.model.isolated`

    Raises DigestMismatch, UnreadableModel, ProofFailed or, if the engine that was asked for cannot be had,
    ModelUnavailable. Unpickling runs code: only call it on bytes you trust.
    """
    if not isolated:
        return load_with_graph(
            content, digest=digest, name=name, where=where, engine=engine, trusted=trusted
        )[0]
    unpickled = unpickle(content, digest, where, trusted)
    release()
    prove_it = partial(_proved, unpickled, digest, name, engine)
    meanwhile = _prepare_runtime if engine != "sklearn" else None
    model, graph = in_child(lambda: _told(*prove_it()), unpickled.pipeline, meanwhile)
    reference = SklearnEngine(unpickled.pipeline, model.schema)
    chosen = onnx_engine(graph, model.passport.output, reference) if graph else reference
    return replace(model, engine=chosen)


def load_with_graph(
    content: bytes, *, digest: str, name: str, where: str, engine: str, trusted: Sequence[str]
) -> tuple[Model, Graph | None]:
    """The same, in this process, with the graph of a model that is compiled."""
    return _proved(unpickle(content, digest, where, trusted), digest, name, engine)


def _prepare_runtime() -> None:
    # Without it scikit-learn serves, and the child says so.
    with suppress(ImportError):
        import_runtime()


def _told(model: Model, graph: Graph | None) -> tuple[Model, Graph | None]:
    """What a child tells: the model measured, and the graph in place of the engine."""
    return replace(measured(model), engine=WithoutReference()), graph


def _proved(unpickled: Unpickled, digest: str, name: str, engine: str) -> tuple[Model, Graph | None]:
    """The model, and its graph if it is compiled."""
    pipeline = unpickled.pipeline
    plain = getattr(pipeline, ATTRIBUTE, None)
    with one_thread():
        if plain is None:
            return _bare_model(unpickled, digest, name, engine)
        passport = Passport.from_plain(plain)
        here = installed()
        golden = prove(passport, SklearnEngine(pipeline, passport.schema), here)
        _log.info("%d golden records predict what the passport says", len(passport.golden.predictions))
        for difference in differences(passport.libraries, here):
            _log.info("Made with other versions, and proved equal: %s", difference)
        chosen = choose_engine(pipeline, passport, golden, engine)
    notes = () if passport.sketch else (_NO_SKETCH,)
    model = Model(passport, chosen.engine, golden.rows([0]), digest, notes, chosen.fallback, chosen.compared)
    return model, chosen.graph


def _bare_model(unpickled: Unpickled, digest: str, name: str, engine: str) -> tuple[Model, Graph | None]:
    pipeline = unpickled.pipeline
    schema, assumed, notes = derive(pipeline)
    sample = Table([[column.example] for column in schema.columns], 1)
    try:
        output = probe_output(pipeline, schema, sample, None)
    except Exception as error:  # the pipeline may raise anything
        raise UnreadableModel(
            f"{name} has no passport, and a record made up from the fitted pipeline does not predict "
            f"({described(error)}). {_SAVE_IT}{other_versions(unpickled.saved)}"
        ) from error
    if unclear := taking_texts(pipeline, schema, sample, assumed):
        raise UnreadableModel(
            f"{name} has no passport, and its pipeline does not tell whether these columns hold numbers, "
            f"texts, booleans or dates, since it drops them or takes any of these: {listed(unclear)}. "
            f"{_SAVE_IT} Or leave out of X what is not used, and fit again."
        )
    if unclear := telling_whole_numbers(pipeline, schema, assumed):
        raise UnreadableModel(
            f"{name} has no passport, and its pipeline predicts another thing for 1 than for 1.0 in these "
            f"columns, without telling which of them they hold: {listed(unclear)}. {_SAVE_IT}"
        )
    schema = probe_columns(pipeline, schema, sample)
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
        *unpickled.notes,
    )
    chosen = choose_engine(pipeline, passport, sample, engine)
    model = Model(passport, chosen.engine, sample, digest, all_notes, chosen.fallback, chosen.compared)
    return model, chosen.graph


def _require_consistent(schema: Schema, sample: Table, name: str) -> None:
    """The made-up record must pass the model's own checks, or no client's record would."""
    record = dict(zip(schema.names, (cells[0] for cells in sample.cells), strict=True))
    if RecordReader(schema).read([record]).bad:
        raise UnreadableModel(
            f"{name} has no passport, and its derived schema refuses its own example. {_SAVE_IT}"
        )
