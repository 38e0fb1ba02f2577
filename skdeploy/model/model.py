"""A proved model: what it says of itself, how it predicts, where it came from."""

from __future__ import annotations

from dataclasses import dataclass

from skdeploy.engines import Engine
from skdeploy.passport import Passport
from skdeploy.schema import Schema, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a model came from.

    uri          without credentials
    version      the registry's number
    fetched      when it came from there, RFC 3339
    from_cache   why it came from the cache although its source may have another; else None
    verified     whether the file's digest was known before: SKDEPLOY_MODEL_SHA256, or the source, says it
    """

    uri: str
    version: str | None
    fetched: str
    from_cache: str | None
    verified: bool


@dataclass(frozen=True, slots=True)
class Model:
    """A proved model. Safe to call from several threads.

    probe    a record that is known to predict, for telling a bad record from a broken engine
    digest   SHA-256 of the pickle that it came from, by which every door names it
    notes    what could not be known or proved, for the log and for `GET /`
    fallback   why scikit-learn serves although a compiled engine was wanted; None if it was not
    origin   where it came from; None if nobody says
    cost     seconds of a call with one record, and seconds per further record; None if nobody measured it
    together whether records may share a call: golden records predict alone what they do together
    exported   SHA-256 of the exported model's file that it was loaded from, which names `digest`; None if it
               was loaded from the pickle
    """

    passport: Passport
    engine: Engine
    probe: Table
    digest: str
    notes: tuple[str, ...] = ()
    fallback: str | None = None
    origin: Origin | None = None
    cost: tuple[float, float] | None = None
    together: bool = False
    exported: str | None = None

    def __repr__(self) -> str:
        # Not the fields: golden and probe records must not end up in a log.
        return f"Model({self.passport.name} {self.passport.version}, engine {self.engine.name})"

    @property
    def file_digest(self) -> str:
        """SHA-256 of the file that it was loaded from, which SKDEPLOY_MODEL_SHA256 is compared with."""
        return self.exported or self.digest

    @property
    def schema(self) -> Schema:
        """The columns of a record."""
        return self.passport.schema
