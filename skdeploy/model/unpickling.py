"""Bytes -> the fitted pipeline in them: a joblib pickle, or a skops file as MLflow 3 writes them."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import platform
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import joblib

from skdeploy.errors import DigestMismatch, UnreadableModel
from skdeploy.model.assembling import REMEDY, NotAPipeline, assemble
from skdeploy.model.packed import BYTECODE, most_unpacked, unpack, versions_in
from skdeploy.passport.libraries import installed, ways_out

# A skops file is a zip archive; no pickle begins so.
_ZIP = b"PK\x03\x04"
# Of the versions behind a pickle, those by which no unpickling fails.
_HARMLESS = ("skdeploy", "processor", BYTECODE)
# Packages, and what their distributions are called.
_LIBRARIES = {
    "sklearn": "scikit-learn",
    "numpy": "numpy",
    "pandas": "pandas",
    "scipy": "scipy",
    "joblib": "joblib",
}
_CLOUDPICKLE = b"cloudpickle.cloudpickle"
_UNKNOWN_BYTECODE = (
    "It was written with cloudpickle, and functions that it holds by value are bytecode of the Python that "
    "wrote it, which the file does not name: another minor version may fail at random."
)
_UNKNOWN_VERSION = (
    " The file does not say which version it was saved with. Either serve it with that one, or train it "
    "again with the one that is here."
)


class Unpickled(NamedTuple):
    """The fitted pipeline of a file.

    saved   the versions that the file was saved with, as far as it tells
    notes   on how its parts were put together, and what unpickling warned of
    """

    pipeline: Any
    saved: Mapping[str, str]
    notes: list[str]


def unpickle(content: bytes, digest: str, where: str, trusted: Sequence[str] = ()) -> Unpickled:
    """The fitted pipeline in a joblib pickle or a skops file.

    digest    SHA-256 that `content` must have: it is compared here, on the very bytes that are unpickled
    trusted   types that a skops file may hold, beside skops' own

    Raises DigestMismatch or UnreadableModel.
    """
    if (got := hashlib.sha256(content).hexdigest()) != digest:
        raise DigestMismatch(where, digest, got, "the digest that it was given with")
    saved: Mapping[str, str] = {}
    pickled = b""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if content.startswith(_ZIP):
                held = _skops(content, where, trusted)
            else:
                pickled = unpack(content)
                saved = versions_in(pickled)
                _require_same_bytecode(saved, where)
                held = joblib.load(io.BytesIO(pickled))
        pipeline, assembled = assemble(held)
    except UnreadableModel:
        raise
    except NotAPipeline as error:
        raise UnreadableModel(f"{where} holds {error}. {REMEDY}") from None
    except ModuleNotFoundError as error:
        raise UnreadableModel(
            f"{where} needs the module {error.name!r}{_missing(str(error.name), saved)}"
        ) from error
    except AttributeError as error:
        raise UnreadableModel(
            f"{where} needs a class or function that is not here: {error}. {_remedy(str(error), saved)}"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise UnreadableModel(
            f"{where} cannot be unpickled ({type(error).__name__}: {error}): no joblib pickle and no "
            f"skops file, or damaged.{other_versions(saved)}"
        ) from error
    warned = [f"On loading: {str(warning.message).splitlines()[0]}" for warning in caught]
    notes = [assembled] if assembled else []
    if _CLOUDPICKLE in pickled and BYTECODE not in saved:
        notes.append(_UNKNOWN_BYTECODE)
    return Unpickled(pipeline, saved, [*notes, *warned])


def _require_same_bytecode(saved: Mapping[str, str], where: str) -> None:
    """Raise UnreadableModel if functions that were stored by value are of another Python: it would crash."""
    here = ".".join(platform.python_version_tuple()[:2])
    if saved.get(BYTECODE, here) != here:
        raise UnreadableModel(
            f"{where} holds functions or classes by value, as bytecode of Python {saved[BYTECODE]}, and this "
            "is "
            f"Python {here}; nothing of it was unpickled. Serve it with Python {saved[BYTECODE]}, or save it "
            "with "
            'code=["module.py"], which puts the source of modules into the file.'
        )


def other_versions(saved: Mapping[str, str]) -> str:
    """What the file was saved with and is another version here, and the two ways out; "" if nothing is."""
    ways = ways_out({name: version for name, version in saved.items() if name not in _HARMLESS}, installed())
    return f" {ways}" if ways else ""


def _missing(module: str, saved: Mapping[str, str]) -> str:
    """The end of a sentence on a module that is not found."""
    package = module.partition(".")[0]
    if module == "lz4":
        return ", with which it is compressed: run pip install lz4."
    if library := _library_of(module):
        return (
            f", which the {library} {installed().get(library, '')} here does not have."
            f"{other_versions(saved) or _UNKNOWN_VERSION}"
        )
    return (
        f', which is not here. If it is a module of your own, save the model with code=["{package}.py"], '
        "which puts its source into the file, or copy it into the current folder; if a package has it, "
        f"install that package.{other_versions(saved)}"
    )


def _remedy(message: str, saved: Mapping[str, str]) -> str:
    if any(library in message for library in ("sklearn", "numpy", "pandas", "scipy")):
        return other_versions(saved).lstrip() or _UNKNOWN_VERSION.lstrip()
    return (
        "If it was defined in the training script or notebook, save the pipeline there with skdeploy.save, "
        f"which puts it into the file, or move it to a module and train again.{other_versions(saved)}"
    )


def _library_of(module: str) -> str | None:
    """The library that a module is of, by its package or by the name of a compiled module inside.

    Cython's classes are pickled with the bare names of their modules: `_loss` is sklearn._loss._loss.
    """
    package = module.partition(".")[0]
    for name, library in _LIBRARIES.items():
        if package == name:
            return library
        spec = importlib.util.find_spec(name)
        folders = spec.submodule_search_locations if spec else None
        if package.startswith("_") and any(
            [*Path(folder).glob(f"**/{package}.*")] for folder in folders or ()
        ):
            return library
    return None


def _skops(content: bytes, where: str, trusted: Sequence[str]) -> Any:
    """What skops builds without running code of the file: of types that it knows, or that are trusted."""
    try:
        import skops.io
    except ModuleNotFoundError as error:
        raise UnreadableModel(
            f"{where} is a skops file, and skops is not installed: run pip install 'skdeploy[mlflow]'."
        ) from error
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        unpacked, most = sum(info.file_size for info in archive.infolist()), most_unpacked(content)
    if unpacked > most:
        raise UnreadableModel(f"{where} unpacks to {unpacked:,} bytes, more than {most:,}: it is damaged.")
    unknown = sorted(set(skops.io.get_untrusted_types(data=content)) - set(trusted))
    if unknown:
        raise UnreadableModel(
            f"{where} holds types that skops does not trust: {', '.join(unknown)}. If they are what you "
            f"saved, set SKDEPLOY_SKOPS_TRUSTED={','.join([*trusted, *unknown])}"
        )
    return skops.io.loads(content, trusted=list(trusted))
