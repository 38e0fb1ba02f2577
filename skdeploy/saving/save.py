"""A fitted pipeline and its training data -> model.bin, with its passport inside, proved."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from skdeploy.errors import ModelUnavailable, ProofFailed, SaveError
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
from skdeploy.saving.pickling import Pickled, sources_of, without_passport
from skdeploy.saving.report import Progress, Saved
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
    output: str | None = None,
    unit: str | None = None,
    metrics: Mapping[str, float] | None = None,
    data: str | None = None,
    golden: Literal["real", "synthetic"] = "real",
    code: Sequence[str | Path] = (),
    quiet: bool = False,
) -> Saved:
    """Write `pipeline` to `path` as a joblib pickle that carries its passport, and prove it.

    pipeline       a fitted scikit-learn Pipeline or estimator, or a tuple, list or dict of one and of the
                   transformers before it, which is saved as a Pipeline; it is not changed
    X              what it was fitted on: DataFrame (n, columns) of pandas or polars, array or sparse matrix
                   (n, columns), n dicts or n texts
    y              the targets, (n,) or (n, outputs), for the outputs' names; None if there are none
    version        default: the first 12 hexadecimal digits of the pipeline's SHA-256
    columns        types that the dtypes do not tell: {"hour": "int?"}, ? for nullable
    descriptions   what the columns mean, with their units
    output, unit   what is predicted, "air time", and its unit, "minutes"
    metrics        name -> number, shown with the model
    data           where the training data came from
    golden         "synthetic" keeps real rows out of the file
    code           files or folders of your own modules that the pipeline uses, ["features.py"]: they travel
                   in the file as source. What it uses of the script or notebook itself travels as bytecode,
                   which only the same minor version of Python loads
    quiet          print neither what was decided nor, where it takes more than a second, what is being done

    Returns the passport with what was decided, and prints that as a table. Raises SaveError, also if the
    written model would not predict what the pipeline does; then nothing is written.
    """
    _require_options(name, version, golden, output, unit, metrics, Path(path))
    with Progress.shown(quiet) as progress:
        try:
            pipeline, _ = assemble(pipeline)
        except NotAPipeline as error:
            raise SaveError(f"What should be a fitted pipeline is {error}. {REMEDY}") from None
        sources = sources_of(code)
        pipeline = without_passport(pipeline)
        # What cannot be pickled is refused before anything else is done.
        digest = hashlib.sha256(Pickled(pipeline, sources).content).hexdigest()
        frame, container = as_frame(X)
        if hasattr(y, "__len__") and not hasattr(y, "tocsr") and len(y) != len(frame):
            raise SaveError(
                f"y has {len(y):,} rows and X has {len(frame):,}: give those that belong together."
            )
        schema = observe(frame, container, pipeline, columns=columns, descriptions=descriptions)
        progress.step = "trying the pipeline with nulls and unknown categories"
        found = examine(pipeline, X, y, frame, schema, columns or {}, synthetic=golden == "synthetic")
        passport = _passport(
            found, name=name, version=version or digest[:12], metrics=metrics or {}, data=data
        )
        named = msgspec.structs.replace(passport.output, title=output, unit=unit)
        progress.step = "making a sketch of X"
        sketch = sketch_of(pipeline, passport, frame)
        passport = msgspec.structs.replace(passport, sketch=sketch, output=named)
        progress.step = "proving what was written, and compiling it"
        saved = _write(pipeline, sources, passport, Path(path), frame)
    if not quiet:
        print(saved)
    return saved


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


def _require_options(
    name: Any, version: Any, golden: str, output: Any, unit: Any, metrics: Any, path: Path
) -> None:
    if not path.parent.is_dir():
        raise SaveError(f"There is no folder {path.parent.absolute()} to write {path.name} to.")
    if path.name.endswith(SUFFIX):
        raise SaveError(f"{path} is the name of an exported model, and save writes a pickle: model.bin, say.")
    texts = {"name": name, "version": version, "output": output, "unit": unit}
    for option, text in texts.items():
        if not isinstance(text, str) and (text is not None or option == "name"):
            raise SaveError(
                f"{option} is {text!r}: it should be a string, {option}={_EXAMPLES[option]!r}, say."
            )
    if not name.strip():
        raise SaveError("name is empty: give the model one, name='flights', say.")
    for metric, value in (metrics or {}).items():
        if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
            raise SaveError(f"The metric {metric!r} is no number: metrics={{{metric!r}: 0.93}}, say.")
    if golden not in ("real", "synthetic"):
        raise SaveError(f"golden is {golden!r}: it should be 'real' or 'synthetic'.")


_EXAMPLES = {"name": "flights", "version": "v7", "output": "air time", "unit": "minutes"}


def _write(
    pipeline: Any, sources: Mapping[str, str], passport: Passport, path: Path, frame: pd.DataFrame
) -> Saved:
    """Dump, load what was dumped, prove it; only then does it take the place of what was there.

    pipeline   a copy, which gets the passport
    """
    with suppress(AttributeError):  # of one that takes no other attributes; its pickle then shows that
        setattr(pipeline, ATTRIBUTE, passport.to_plain())
    pickled, notes = Pickled(pipeline, sources), []
    if ATTRIBUTE.encode() not in pickled.content:
        # Its own __getstate__ leaves out what it does not know.
        step = type(pipeline).__name__
        carrier = Pipeline([(step.lower(), pipeline)])
        setattr(carrier, ATTRIBUTE, passport.to_plain())
        pickled = Pickled(carrier, sources)
        notes.append(
            f"{step} drops other attributes when it is pickled: it was saved as a Pipeline of one step."
        )
    content = zlib.compress(pickled.content + trailer(versions() | pickled.versions), level=3)
    try:
        digest = hashlib.sha256(content).hexdigest()
        model = load_pickled(content, digest=digest, name=path.stem, where=str(path), engine="auto")
    except ProofFailed as error:
        if notes:
            raise SaveError(
                f"A pickle of {type(pipeline).__name__} keeps no passport, and no Pipeline can hold it: "
                "derive the class from sklearn.base.BaseEstimator, or keep other attributes in its "
                "__getstate__."
            ) from error
        raise SaveError(
            f"Written and loaded again, the pipeline does not do what it did: {error.what} Do its "
            f"predictions depend on chance, or on the clock?{_hint(frame)}"
        ) from error
    except ModelUnavailable as error:
        raise SaveError(f"The model would be refused when it is loaded: {error}{_hint(frame)}") from error
    if not model.passport.is_same(passport):
        raise SaveError(
            "The model would be loaded without its passport, or with another: its class changes it."
        )
    try:
        write(path, content)
    except OSError as error:
        raise SaveError(f"{path} cannot be written: {error.strerror}.") from error
    return Saved(
        **{name: getattr(passport, name) for name in Passport.__struct_fields__},
        path=str(path),
        engine=model.engine.name,
        fallback=model.fallback,
        had_nulls=[
            column.null == "absent" or bool(holds)
            for column, holds in zip(passport.schema.columns, frame.isna().any(), strict=True)
        ],
        notes=[
            *notes,
            *pickled.notes,
            *([f"In the file as source: {', '.join(sources)}."] if sources else []),
        ],
    )


def _hint(frame: pd.DataFrame) -> str:
    twofold = [str(name) for name in frame if writes_nulls_in_two_ways(frame[name])]
    if not twofold:
        return ""
    return (
        f" The column {twofold[0]!r} writes nulls as None and as NaN, and JSON has one null: make them one "
        "before fitting."
    )
