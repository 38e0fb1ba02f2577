"""What runs on the executors. Batches of a part come in the order of its keys, and no key is in two parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from skdeploy.batch.rechunk import rechunk
from skdeploy.batch.scoring import ChunkScorer
from skdeploy.batch.spreading import Attempt, Stage
from skdeploy.model import Model, load_model

# A Python worker serves many tasks: it unpickles and proves a model once.
_MODELS: dict[tuple[str, str], Model] = {}
RECEIPT = "receipt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipped:
    """A model's file, which Spark has brought to every executor.

    file      its name, as SparkContext.addFile knows it
    digest    the SHA-256 that it must have
    name      the model's, if it has no passport
    engine    the driver's choice
    trusted   types that skops content may hold
    """

    file: str
    digest: str
    name: str
    engine: str
    trusted: tuple[str, ...]

    def model(self) -> Model:
        """The proved model. Raises ModelUnavailable."""
        known = _MODELS.get((self.digest, self.engine))
        if known is not None:
            return known
        from pyspark import SparkFiles

        model = load_model(
            Path(SparkFiles.get(self.file)).read_bytes(),
            digest=self.digest,
            name=self.name,
            where="the executor's copy",
            engine=self.engine,
            trusted=self.trusted,
        )
        _MODELS[self.digest, self.engine] = model
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is done to every part of an interval.

    types      the columns, and what the job on one machine reads them as
    keys       those of them that are the key
    size       records of a chunk
    run        goes into the names of attempts
    """

    shipped: Shipped
    types: Mapping[str, pa.DataType]
    keys: tuple[str, ...]
    proba: bool
    strict: bool
    drift: bool
    size: int
    run: str
    stage: Stage


def score_part(work: Work, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Score a part; one row, its receipt."""
    from pyspark import TaskContext

    context = TaskContext.get()
    attempt = Attempt(context.partitionId(), f"{work.run}-{context.taskAttemptId()}")
    key_types = {name: work.types[name] for name in work.keys}
    model = work.shipped.model()
    scorer = ChunkScorer(model, key_types, proba=work.proba, strict=work.strict, drift=work.drift)
    with work.stage.writing(attempt) as writing:
        typed = (as_types(batch, work.types) for batch in batches)
        for chunk in rechunk(typed, work.size, work.keys):
            writing.write(scorer.score(chunk))
        receipt = writing.close()
    if scorer.drift is not None:
        receipt = replace(receipt, drift=scorer.drift.plain)
    yield pa.RecordBatch.from_pydict({RECEIPT: [receipt.to_text()]})


def as_types(batch: pa.RecordBatch, types: Mapping[str, pa.DataType]) -> pa.RecordBatch:
    """The columns as the job on one machine reads them; one that cannot be so stays, as bad cells."""
    arrays = [_as_type(batch.column(name), kind) for name, kind in types.items()]
    return pa.RecordBatch.from_arrays(arrays, names=list(types))


def _as_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if array.type == kind:
        return array
    try:
        if isinstance(kind, pa.BaseExtensionType):
            return pa.ExtensionArray.from_storage(kind, array.cast(kind.storage_type))
        return array.cast(kind)
    except pa.ArrowException:
        return array
