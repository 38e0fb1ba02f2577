"""What a URI points to, and what came from there."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from skdeploy.errors import SourceError
from skdeploy.mlflow_variables import EXPORTED_FILE

_PICKLED = ("model.pkl", "model.skops")
_EXPORTED = (EXPORTED_FILE,)


def takes_exported() -> bool:
    """Whether a pickle could not be loaded here, for lack of scikit-learn."""
    return find_spec("sklearn") is None


def model_files() -> tuple[str, ...]:
    """Names of the file that holds the model in a folder that MLflow wrote, the one to take first.

    `log_model` puts the exported model beside the pickle.
    """
    return _EXPORTED + _PICKLED if takes_exported() else _PICKLED + _EXPORTED


@dataclass(frozen=True, slots=True)
class Target:
    """What a URI points to at the moment; finding it out reads no model.

    token       changes when the target does
    where       for messages; has no credentials
    name        the model's, if it has no passport
    read        downloads the file; raises SourceError
    digest      the SHA-256 that it should have, if its place says; `authority` is who says so
    version     the registry's number
    local       a file of this machine, which needs no digest
    """

    token: str
    where: str
    name: str
    read: Callable[[], bytes]
    digest: str | None = None
    authority: str = ""
    version: str | None = None
    local: bool = False


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file whose digest has been compared; nothing of it was unpickled.

    digest     SHA-256 of `content`
    where      for messages; has no credentials
    name       the model's, if it has no passport
    version    the registry's number
    fetched    when it came from its source, RFC 3339
    verified   whether its digest was known before, or it is a file of this machine
    from_cache   why it came from the cache although another one may be at the source; else None
    notes      what the log and `GET /` should say
    """

    content: bytes
    digest: str
    where: str
    name: str
    version: str | None
    fetched: str
    verified: bool
    from_cache: str | None = None
    notes: tuple[str, ...] = ()


def sha256_of(text: str | None, where: str) -> str | None:
    """The digest in a tag, as people and sha256sum write it; None if there is none.

    Raises SourceError if it holds something else.
    """
    if text is None or not text.strip():
        return None
    match = re.fullmatch(r"(?:sha256[:=])?([0-9a-f]{64})(?:\s+\*?\S.*)?", text.strip().lower())
    if match is None:
        raise SourceError(
            "digest",
            f"{where[0].upper()}{where[1:]} is no SHA-256.",
            "Write the 64 hexadecimal digits that sha256sum prints.",
        )
    return match[1]


def quiet_transport() -> None:
    """Keep boto3 and urllib3 from saying at DEBUG what they send: session tokens and signed URLs."""
    for name in ("boto3", "botocore", "urllib3"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.getEffectiveLevel(), logging.INFO))


def required(module: str, package: str) -> Any:
    """The module, imported now; SourceError with the remedy if it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise
        raise SourceError(
            package, f"{package} is not installed:", "run pip install 'skdeploy[mlflow]'."
        ) from None
