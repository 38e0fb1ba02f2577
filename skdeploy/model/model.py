"""A proved model: what it says of itself, how it predicts, where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skdeploy.engines import Engine
from skdeploy.errors import InvalidRecord, listed
from skdeploy.passport import Passport
from skdeploy.schema import RecordReader, Schema, Table

# Bad cells that an exception of `Model.predict` shows.
_MOST_NOTES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a model came from.

    uri          without credentials
    version      the registry's number
    fetched      when it came from there, RFC 3339
    from_cache   why it came from the cache although its source may have another; else None
    verified     whether the file's digest was known before: SKDEPLOY_MODEL_SHA256, or the source, says it
    stale        whether it came from the cache: the source may have another by now
    """

    uri: str
    version: str | None
    fetched: str
    from_cache: str | None
    verified: bool
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """How a compiled pipeline was compared with scikit-learn.

    records   how many records both predicted
    share     of the boundary cases that were made, how many there was time for, 0 to 1
    """

    records: int
    share: float


@dataclass(frozen=True, slots=True)
class Model:
    """A proved model. Safe to call from several threads.

    probe    a record that is known to predict, for telling a bad record from a broken engine
    digest   SHA-256 of the pickle that it came from, by which every door names it
    notes    what could not be known or proved, for the log and for `GET /`
    fallback   why scikit-learn serves although a compiled engine was wanted; None if it was not
    compared how the compiled engine was compared with scikit-learn; None if scikit-learn serves, or the
             model was loaded from an export
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
    compared: Compared | None = None
    origin: Origin | None = None
    cost: tuple[float, float] | None = None
    together: bool = False
    exported: str | None = None

    def __repr__(self) -> str:
        # Not the fields: golden and probe records must not end up in a log.
        return f"Model({self.passport.name} {self.passport.version}, engine {self.engine.name})"

    def predict(self, records: Any) -> Any:
        """What the pipeline's own `predict` returns, an array (n,) or (n, outputs), of checked records.

        records   a DataFrame of pandas or polars, a list of dicts, or one dict. A dict may lack the keys that
                  dicts of the training data lacked

        Raises InvalidRecord where a record does not fit the schema, TypeError for anything else than
        records, and what the pipeline raises.
        """
        if isinstance(records, Mapping):
            records = [records]
        if isinstance(records, list) and all(isinstance(record, Mapping) for record in records):
            optional = dict.fromkeys(column.name for column in self.schema.columns if column.null == "absent")
            records = [optional | dict(record) for record in records] if optional else records
        elif self.schema.container == "frame" and not hasattr(records, "columns"):
            raise TypeError(
                f"predict takes a DataFrame, a list of dicts or one dict, not {type(records).__name__}: the "
                f"model has the columns {listed(self.schema.names)}. For one row of a DataFrame give "
                "X.iloc[[0]]."
            )
        else:
            from skdeploy.passport.training import as_records

            rows = records.shape[0] if hasattr(records, "shape") else len(records)
            records = as_records(records) if rows else []
        checked = RecordReader(self.schema).read(records)
        try:
            checked.require_all_good()
        except InvalidRecord as error:
            for cell in error.cells[:_MOST_NOTES]:
                expected, got = cell.words
                error.add_note(
                    f"record {cell.record}, column {cell.column!r}: expected {expected}, got {got}"
                )
            raise
        predicted = np.asarray(self.engine.predict(checked.table))
        return predicted if self.passport.output.names else predicted.reshape(checked.count)

    @property
    def file_digest(self) -> str:
        """SHA-256 of the file that it was loaded from, which SKDEPLOY_MODEL_SHA256 is compared with."""
        return self.exported or self.digest

    @property
    def schema(self) -> Schema:
        """The columns of a record."""
        return self.passport.schema
