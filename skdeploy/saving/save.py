"""A fitted pipeline and its training data -> model.bin, with its passport inside, proved."""

from __future__ import annotations

import hashlib
import io
import pickle
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import joblib
import msgspec
import pandas as pd

from skdeploy.errors import ModelUnavailable, SaveError
from skdeploy.model.assembling import REMEDY, NotAPipeline, assemble
from skdeploy.model.exported import SUFFIX
from skdeploy.model.packed import trailer
from skdeploy.model.pickled import load_pickled
from skdeploy.passport import Passport
from skdeploy.passport.document import ATTRIBUTE
from skdeploy.passport.dtypes import writes_nulls_in_two_ways
from skdeploy.passport.libraries import installed, versions
from skdeploy.passport.observe import observe
from skdeploy.passport.training import as_frame
from skdeploy.saving.examine import Found, examine
from skdeploy.saving.pickling import pickle_bare
from skdeploy.saving.sketching import sketch_of
from skdeploy.writing import write


def save(
    pipeline: Any,
    X: Any,
    y: Any,
    path: str | Path,
    *,
    name: str = "model",
    version: str | None = None,
    columns: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
    metrics: Mapping[str, float] | None = None,
    data: str | None = None,
    golden: Literal["real", "synthetic"] = "real",
) -> Passport:
    """Write `pipeline` to `path` as a joblib pickle that carries its passport, and prove it.

    pipeline       a fitted scikit-learn Pipeline or estimator, or a tuple, list or dict of one and of the
                   transformers before it, which is saved as a Pipeline; it is not changed
    X              what it was fitted on: DataFrame (n, columns), array (n, columns), n dicts or n texts
    y              the targets, (n,) or (n, outputs), for the outputs' names; None if there are none
    version        default: the first 12 hexadecimal digits of the pipeline's SHA-256
    columns        types that the dtypes do not tell: {"hour": "int?"}, ? for nullable
    descriptions   what the columns mean, with their units
    metrics        name -> number, shown with the model
    data           where the training data came from
    golden         "synthetic" keeps real rows out of the file

    Returns the passport. Raises SaveError, also if the written model would not predict what the
    pipeline does; then nothing is written.
    """
    _require_options(name, version, golden, Path(path))
    try:
        pipeline, _ = assemble(pipeline)
    except NotAPipeline as error:
        raise SaveError(f"What should be a fitted pipeline is {error}. {REMEDY}") from None
    pickled = pickle_bare(pipeline)
    frame, container = as_frame(X)
    schema = observe(frame, container, pipeline, columns=columns, descriptions=descriptions)
    found = examine(pipeline, X, y, frame, schema, columns or {}, synthetic=golden == "synthetic")
    version = version or hashlib.sha256(pickled).hexdigest()[:12]
    passport = _passport(found, name=name, version=version, metrics=metrics or {}, data=data)
    sketch = sketch_of(pipeline, passport, frame)
    passport = msgspec.structs.replace(passport, sketch=sketch)
    _write(pickled, passport, Path(path), frame)
    return passport


def _passport(
    found: Found, *, name: str, version: str, metrics: Mapping[str, float], data: str | None
) -> Passport:
    """Without a sketch."""
    return Passport(
        name=name,
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        schema=found.schema,
        output=found.output,
        golden=found.golden,
        libraries=installed(),
        metrics={key: float(value) for key, value in metrics.items()},
        data=data,
    )


def _require_options(name: Any, version: Any, golden: str, path: Path) -> None:
    if not path.parent.is_dir():
        raise SaveError(f"There is no folder {path.parent.absolute()} to write {path.name} to.")
    if path.name.endswith(SUFFIX):
        raise SaveError(f"{path} is the name of an exported model, and save writes a pickle: model.bin, say.")
    if not isinstance(name, str) or not isinstance(version, str | None):
        raise SaveError(f"name and version must be strings: name={name!r}, version={version!r}.")
    if golden not in ("real", "synthetic"):
        raise SaveError(f"golden is {golden!r}: it should be 'real' or 'synthetic'.")


def _write(pickled: bytes, passport: Passport, path: Path, frame: pd.DataFrame) -> None:
    """Dump, load what was dumped, prove it; only then does it take the place of what was there."""
    carrier = pickle.loads(pickled)
    setattr(carrier, ATTRIBUTE, passport.to_plain())
    buffer = io.BytesIO()
    joblib.dump(carrier, buffer)
    content = zlib.compress(buffer.getvalue() + trailer(versions()), level=3)
    try:
        digest = hashlib.sha256(content).hexdigest()
        load_pickled(content, digest=digest, name=path.stem, where=str(path))
    except ModelUnavailable as error:
        raise SaveError(f"The model would be refused when it is loaded: {error}{_hint(frame)}") from error
    try:
        write(path, content)
    except OSError as error:
        raise SaveError(f"{path} cannot be written: {error.strerror}.") from error


def _hint(frame: pd.DataFrame) -> str:
    twofold = [str(name) for name in frame if writes_nulls_in_two_ways(frame[name])]
    if not twofold:
        return ""
    return (
        f" The column {twofold[0]!r} writes nulls as None and as NaN, and JSON has one null: make them one "
        "before fitting."
    )
