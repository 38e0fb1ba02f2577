"""Bytes -> the fitted pipeline in them: a joblib pickle, or a skops file as MLflow 3 writes them."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import joblib

from skdeploy.errors import DigestMismatch, UnreadableModel
from skdeploy.model.packed import most_unpacked, unpack, versions_behind
from skdeploy.passport.libraries import differences, installed

# A skops file is a zip archive; no pickle begins so.
_ZIP = b"PK\x03\x04"
# Of the versions behind a pickle, those by which no unpickling fails.
_HARMLESS = ("skdeploy", "processor")


def unpickle(content: bytes, digest: str, where: str, trusted: Sequence[str] = ()) -> tuple[Any, list[str]]:
    """The fitted pipeline in a joblib pickle or a skops file, and the warnings that came with it.

    digest    SHA-256 that `content` must have: it is compared here, on the very bytes that are unpickled
    trusted   types that a skops file may hold, beside skops' own

    Raises DigestMismatch or UnreadableModel.
    """
    if (got := hashlib.sha256(content).hexdigest()) != digest:
        raise DigestMismatch(where, digest, got, "the digest that it was given with")
    saved: Mapping[str, str] = {}
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if content.startswith(_ZIP):
                pipeline = _skops(content, where, trusted)
            else:
                pickled = unpack(content)
                saved = versions_behind(pickled) or {}
                pipeline = joblib.load(io.BytesIO(pickled))
    except UnreadableModel:
        raise
    except ModuleNotFoundError as error:
        raise UnreadableModel(
            f"{where} needs the module {error.name!r}, which is not installed here: install the "
            f"package that has it, or copy it into the current folder.{_other_versions(saved)}"
        ) from error
    except AttributeError as error:
        raise UnreadableModel(
            f"{where} needs a class or function that is not here: {error}. {_remedy(str(error))}"
            f"{_other_versions(saved)}"
        ) from error
    except Exception as error:  # a damaged pickle can raise anything
        raise UnreadableModel(
            f"{where} cannot be unpickled ({type(error).__name__}: {error}): no joblib pickle and no "
            f"skops file, or damaged.{_other_versions(saved)}"
        ) from error
    if not hasattr(pipeline, "predict"):
        raise UnreadableModel(f"{where} holds a {type(pipeline).__name__}, which has no predict method.")
    return pipeline, [str(warning.message).splitlines()[0] for warning in caught]


def _remedy(message: str) -> str:
    if any(library in message for library in ("sklearn", "numpy", "pandas", "scipy")):
        return (
            f"It was pickled with another version than the scikit-learn {installed()['scikit-learn']} here: "
            "train it again with this one."
        )
    return "If it was defined in the training script or notebook, move it to a module, and train again."


def _other_versions(saved: Mapping[str, str]) -> str:
    """A sentence that names the versions that are other ones here; "" if there are none."""
    found = differences({name: saved[name] for name in saved if name not in _HARMLESS}, installed())
    return f" The file was saved with other versions: {', '.join(found)}." if found else ""


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
