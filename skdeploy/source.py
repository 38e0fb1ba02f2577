"""Where a model comes from: a URI -> a verified file's bytes -> a model."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import unquote, urlsplit

from skdeploy.errors import DigestMismatch, ModelUnavailable, SettingsError
from skdeploy.model import Model, load_model


def load(uri: str | Path, sha256: str | None = None, *, engine: str = "auto") -> Model:
    """The proved model at `uri`, a path or file:// URI.

    sha256   64 hexadecimal digits that the file must have, compared before it is unpickled
    engine   "sklearn", "auto" (compiled where that is proved equal) or "onnx" (compiled or nothing)

    Raises ModelUnavailable (its subclasses say why) or SettingsError. Unpickling runs code: give
    the digest, or a file you trust.
    """
    path = _local_path(str(uri))
    content = _read(path)
    digest = hashlib.sha256(content).hexdigest()
    if sha256 is not None and digest != sha256.lower():
        raise DigestMismatch(str(path), sha256.lower(), digest)
    return load_model(content, digest=digest, name=path.stem, where=str(path), engine=engine)


def _local_path(uri: str) -> Path:
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return Path(unquote(parts.path))
    if "://" in uri:
        raise SettingsError(f"MODEL_URI={uri!r} is not a path or a file:// URI.")
    return Path(uri)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelUnavailable(
            f"There is no model at {path.absolute()}: train one (make train), or set MODEL_URI."
        ) from None
    except OSError as error:
        raise ModelUnavailable(f"The model at {path} cannot be read: {error.strerror}.") from error
