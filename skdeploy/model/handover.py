"""A proved model, handed from the process that proved it to those that serve it.

Where the pipeline is compiled, they load the graph alone, as an exported model: nothing is unpickled,
compiled or measured once more. The pickle goes with it where the graph leaves records to scikit-learn, and
alone where scikit-learn serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from skdeploy.engines.features import NotPlain
from skdeploy.engines.graph import Graph
from skdeploy.errors import DigestMismatch, SkdeployError
from skdeploy.model.exported import Exported, is_exported, load_exported
from skdeploy.model.loading import load_model
from skdeploy.model.measuring import measured
from skdeploy.model.model import Compared, Model
from skdeploy.passport.libraries import versions


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What was found out of a model, beside its files. The fields are those of `Model`, and these.

    exported   SHA-256 of the exported model; None if there is none
    pickled    whether the file that was fetched is needed
    engine     the engine that serves
    """

    exported: str | None
    pickled: bool
    engine: str
    fallback: str | None
    compared: Compared | None
    notes: tuple[str, ...]
    cost: tuple[float, float] | None
    together: bool


@dataclass(frozen=True, slots=True)
class Handover:
    """What a process needs to serve a model that another one has proved.

    digest     SHA-256 of the file that was fetched
    exported   the exported model, or None
    fetched    the file that was fetched, or None where it is not needed
    """

    facts: Facts
    digest: str
    exported: bytes | None
    fetched: bytes | None

    @classmethod
    def of(
        cls, content: bytes, *, digest: str, name: str, where: str, engine: str, trusted: Sequence[str]
    ) -> tuple[Handover, Model]:
        """Prove and measure the model in a file, as `load_model` does, and make what others need of it."""
        if is_exported(content, where):
            model = measured(load_model(content, digest=digest, name=name, where=where, engine=engine))
            return cls(_facts(model, digest, pickled=False), digest, content, None), model
        from skdeploy.model.pickled import load_with_graph

        proved, graph = load_with_graph(
            content, digest=digest, name=name, where=where, engine=engine, trusted=trusted
        )
        model = measured(proved)
        exported = _exported(model, graph) if graph is not None else None
        if exported is not None and graph is not None:
            pickled = graph.leaves_records(model.schema)
            facts = _facts(model, hashlib.sha256(exported).hexdigest(), pickled=pickled)
            handover = cls(facts, digest, exported, content if pickled else None)
            if handover._is_loadable(where, trusted):
                return handover, model
        return cls(_facts(model, None, pickled=True), digest, None, content), model

    def load(self, *, name: str, where: str, trusted: Sequence[str]) -> Model:
        """The model, ready to serve. Raises DigestMismatch, UnreadableModel or ProofFailed.

        The arguments are those of `load_model`.
        """
        facts = self.facts
        if self.exported is None:
            assert self.fetched is not None  # noqa: S101 - one of them is there
            model = load_model(
                self.fetched, digest=self.digest, name=name, where=where, engine=facts.engine, trusted=trusted
            )
        else:
            model = self._load_exported(self.exported, where, trusted)
        return replace(
            model,
            fallback=facts.fallback,
            compared=facts.compared,
            notes=facts.notes,
            cost=facts.cost,
            together=facts.together,
        )

    def _load_exported(self, content: bytes, where: str, trusted: Sequence[str]) -> Model:
        digest = str(self.facts.exported)
        load = partial(load_exported, content, digest=digest, where=where, golden=False)
        if digest == self.digest:
            return load()
        if self.fetched is None:
            model = load()
        else:
            from skdeploy.engines.sklearn import SklearnEngine
            from skdeploy.model.unpickling import unpickle

            pipeline = unpickle(self.fetched, self.digest, where, trusted).pipeline
            model = load(reference=partial(SklearnEngine, pipeline))
        if model.digest != self.digest:
            raise DigestMismatch(f"The pickle that {where} was exported from", self.digest, model.digest)
        return replace(model, exported=None)

    def _is_loadable(self, where: str, trusted: Sequence[str]) -> bool:
        try:
            self.load(name="", where=where, trusted=trusted)
        except SkdeployError:  # too large for an exported model, say
            return False
        return True


def _facts(model: Model, exported: str | None, *, pickled: bool) -> Facts:
    return Facts(
        exported=exported,
        pickled=pickled,
        engine=model.engine.name,
        fallback=model.fallback,
        compared=model.compared,
        notes=model.notes,
        cost=model.cost,
        together=model.together,
    )


def _exported(model: Model, graph: Graph) -> bytes | None:
    """The exported model; None where it cannot be written: scikit-learn cuts texts into words, say."""
    try:
        return Exported(model.passport, graph, exported_from=model.digest, versions=versions()).to_bytes()
    except (NotPlain, ValueError):
        return None
