"""A model's file -> a model that is proved, if it has the digest that it should have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from skdeploy.errors import ModelUnavailable, UnreadableModel
from skdeploy.model.exported import Exported, is_exported, load_exported
from skdeploy.model.model import Model
from skdeploy.model.packed import unpack, versions_in


def load_model(
    content: bytes,
    *,
    digest: str,
    name: str,
    where: str,
    engine: str = "auto",
    trusted: Sequence[str] = (),
    isolated: bool = False,
) -> Model:
    """The model in an exported model's file, which is never unpickled, or in a pickle.

    digest    SHA-256 that `content` must have: it is compared on the very bytes that are loaded
    name      the model's, if it is a pickle without a passport
    where     the file's path or URI: one that ends in `.skdeploy` must be an exported model
    engine    "sklearn", "auto" or "onnx", see `skdeploy.model.choice`
    trusted   types that skops content may hold, beside skops' own
    isolated  a forked child predicts and measures, for a process that forks later: `skdeploy.model.isolated`

    Raises DigestMismatch, UnreadableModel, ProofFailed or, if the engine that was asked for cannot be had,
    ModelUnavailable. Unpickling runs code: only call it on bytes you trust.
    """
    if is_exported(content, where):
        if engine == "sklearn":
            raise ModelUnavailable(
                f"SKDEPLOY_ENGINE=sklearn, but {where} is an exported model, without scikit-learn: unset it."
            )
        return load_exported(content, digest=digest, where=where, isolated=isolated)
    try:
        from skdeploy.model.pickled import load_pickled
    except ModuleNotFoundError as error:
        raise UnreadableModel(
            f"{where} is a pickle, and {error.name} is not installed here: "
            "run pip install 'skdeploy[serve]', or export the model (skdeploy export)."
        ) from error
    return load_pickled(
        content, digest=digest, name=name, where=where, engine=engine, trusted=trusted, isolated=isolated
    )


def read_versions(content: bytes, where: str) -> Mapping[str, str]:
    """The versions of Python and the libraries that saved a model's file; nothing is unpickled.

    Empty if the file does not hold them, or is damaged.
    """
    try:
        if is_exported(content, where):
            return Exported.from_bytes(content, where).versions
        return versions_in(unpack(content))
    except (UnreadableModel, ValueError, EOFError, ModuleNotFoundError):  # loading it says what is wrong
        return {}
