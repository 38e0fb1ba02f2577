"""Resolve a URI, fetch what it points to, load it; from the cache where its source is down."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from skdeploy.config import ENGINES, ModelSettings
from skdeploy.config import sha256 as read_sha256
from skdeploy.errors import (
    DigestMismatch,
    SettingsError,
    SourceError,
    SourceUnreachable,
    UnverifiedModel,
)
from skdeploy.model import Model, Origin, load_model
from skdeploy.model.exported import SUFFIX
from skdeploy.source import files, registry, s3
from skdeploy.source.cache import Cache, Record
from skdeploy.source.place import LocalFile, S3Object, Source
from skdeploy.source.target import Fetched, Target

_log = logging.getLogger(__name__)

# Parts of an outage that may mean that this service is no longer meant to have the model.
_LETS_NOBODY_IN = ("credentials", "permission")
_UNVERIFIED = "Its digest was not known before it was loaded."


def load(
    uri: str | Path,
    sha256: str | None = None,
    *,
    engine: str = "auto",
    cache: str | Path | None = None,
    timeout: float = 3.0,
    allow_unverified: bool = False,
    trusted: tuple[str, ...] = (),
) -> Model:
    """The proved model at `uri`: a path, file://, s3://, models:/ or runs:/ of a pickle or an exported model.

    engine   "sklearn", "auto" (compiled where that is proved equal) or "onnx" (compiled or nothing)

    The others are those of `Source`. Raises ModelUnavailable (its subclasses say why) or
    SettingsError. Unpickling runs code: give the digest, a file you trust, or an exported model.
    """
    if engine not in ENGINES:
        raise SettingsError(f"There is no engine {engine!r}: give one of {', '.join(ENGINES)}.")
    try:
        digest = read_sha256(sha256 or "")
    except ValueError as error:
        raise SettingsError(f"sha256={sha256!r} is no SHA-256: give its {error}.") from None
    source = Source(
        uri=str(uri),
        sha256=digest,
        cache=Path(cache) if cache else None,
        timeout=timeout,
        allow_unverified=allow_unverified,
        trusted=trusted,
    )
    return load_from(source, engine=engine)


def load_from(source: Source, *, engine: str = "auto", isolated: bool = False) -> Model:
    """The proved model from `source`, or the last good one in the cache if the source is down.

    isolated   a forked child predicts and measures, see `skdeploy.model.isolated`: before a fork

    Raises ModelUnavailable.
    """
    _make_cache(source)
    try:
        fetched = fetch(source)
    except SourceUnreachable as error:
        return build(source, _recall(source, error), engine=engine, isolated=isolated)
    model = build(source, fetched, engine=engine, isolated=isolated)
    remember(source, fetched)
    return model


def load_from_settings(settings: ModelSettings, *, isolated: bool = False) -> Model:
    """The proved model that the settings name, with the engine that they ask for.

    isolated   a forked child predicts and measures, see `skdeploy.model.isolated`: before a fork

    Raises ModelUnavailable or SettingsError.
    """
    return load_from(Source.from_settings(settings), engine=settings.engine, isolated=isolated)


def address(source: Source) -> str:
    """Where the source's URI leads from here: the URI and its server, without user, password or token.

    The same name in another store, or at another registry, has another address. Raises SourceError.
    """
    place = source.place
    if isinstance(place, LocalFile):
        return place.path.absolute().as_uri()
    if isinstance(place, S3Object):
        return f"{source.uri} at {s3.endpoint(source.timeout)}"
    return f"{source.uri} at {registry.server()}"


def resolve(source: Source) -> Target:
    """What the source's URI points to at the moment: a question or two to its server, no download.

    Another token means another model. Raises SourceError; SourceUnreachable if the server is down.
    """
    place = source.place
    if isinstance(place, LocalFile):
        return files.resolve(place.path)
    if isinstance(place, S3Object):
        return s3.resolve(place, source.timeout)
    return registry.resolve(place, source.timeout)


def fetch(source: Source, target: Target | None = None) -> Fetched:
    """The file that `target` (default: what `resolve` says) names, its digest compared.

    A file that the cache has under the digest that it should have is not downloaded again. Raises
    SourceUnreachable, UnverifiedModel, DigestMismatch, or another SourceError.
    """
    target = target or resolve(source)
    expected = source.sha256 or target.digest
    if expected is None and not (target.local or source.allow_unverified or _runs_no_code(target.where)):
        raise _unverified(target)
    content = _cached(source, expected)
    if content is None:
        content = target.read()
    digest = hashlib.sha256(content).hexdigest()
    if expected is not None and digest != expected:
        raise DigestMismatch(
            target.where, expected, digest, "SKDEPLOY_MODEL_SHA256" if source.sha256 else target.authority
        )
    verified = expected is not None or target.local
    return Fetched(
        content=content,
        digest=digest,
        where=target.where,
        name=target.name,
        version=target.version,
        fetched=_now(),
        verified=verified,
        notes=() if verified else (_UNVERIFIED,),
    )


def build(source: Source, fetched: Fetched, *, engine: str = "auto", isolated: bool = False) -> Model:
    """What was fetched, unpickled and proved. Raises ModelUnavailable.

    isolated   a forked child predicts and measures, see `skdeploy.model.isolated`: before a fork

    Wherever the file was kept meanwhile, it has the digest that was configured.
    """
    if source.sha256 not in (None, fetched.digest):
        raise DigestMismatch(fetched.where, source.sha256, fetched.digest)
    model = load_model(
        fetched.content,
        digest=fetched.digest,
        name=fetched.name,
        where=fetched.where,
        engine=engine,
        trusted=source.trusted,
        isolated=isolated,
    )
    return originating(model, source, fetched)


def originating(model: Model, source: Source, fetched: Fetched) -> Model:
    """The model with what its source says of it."""
    origin = Origin(
        uri=source.uri,
        version=fetched.version,
        fetched=fetched.fetched,
        from_cache=fetched.from_cache,
        stale=fetched.from_cache is not None,
        # A path verifies nothing, though it needs no digest.
        verified=source.sha256 is not None or (fetched.verified and not isinstance(source.place, LocalFile)),
    )
    return dataclasses.replace(model, origin=origin, notes=(*model.notes, *fetched.notes))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def remember(source: Source, fetched: Fetched) -> None:
    """Keep a model that has proved itself, for when its source is down. A failure is only logged."""
    if source.cache is None or isinstance(source.place, LocalFile):
        return
    try:
        Cache(source.cache).put(record_of(source, fetched), fetched.content)
    except (OSError, SourceError) as error:
        _log.warning("The model is not cached: %s cannot be written: %s", source.cache, error)


def confirm(source: Source) -> None:
    """The source has just named the model that came from there last."""
    if source.cache is not None and not isinstance(source.place, LocalFile):
        Cache(source.cache).confirm(address(source))


def distrust(source: Source, record: Record) -> str | None:
    """Why a model that was kept, or published, is not what `source` names; None if it may be.

    Raises SourceError.
    """
    if record.address != (here := address(source)):
        return f"it came from {record.address}, not from {here}"
    if source.sha256 not in (None, record.digest):
        return f"it has the SHA-256 {record.digest}, not SKDEPLOY_MODEL_SHA256"
    if not (record.verified or source.allow_unverified or _runs_no_code(record.where)):
        return "it is unverified (SKDEPLOY_ALLOW_UNVERIFIED=1 takes it)"
    return None


def record_of(source: Source, fetched: Fetched) -> Record:
    """What a cache says of a file, beside its content."""
    return Record(
        address=address(source),
        **{name: getattr(fetched, name) for name in Record.__struct_fields__ if name != "address"},
    )


def recalled(
    record: Record, content: bytes, *, from_cache: str | None = None, notes: tuple[str, ...] = ()
) -> Fetched:
    """The file that a cache has, or that was published."""
    fields: dict[str, Any] = {
        name: getattr(record, name) for name in Record.__struct_fields__ if name != "address"
    }
    notes = notes if record.verified else (*notes, _UNVERIFIED)
    return Fetched(content=content, **fields, from_cache=from_cache, notes=notes)


def _make_cache(source: Source) -> None:
    """Make the cache's folder. Raises SettingsError if others may write there."""
    if source.cache is None or isinstance(source.place, LocalFile):
        return
    try:
        Cache(source.cache).make()
    except OSError as error:
        _log.warning("No model will be cached: %s cannot be made: %s", source.cache, error.strerror)


def _recall(source: Source, error: SourceUnreachable) -> Fetched:
    """The last good model from this address; else the error again, with why there is none."""
    if source.cache is None:
        raise _nothing_cached(error, "SKDEPLOY_MODEL_CACHE names no folder with a copy.")
    cache = Cache(source.cache)
    record = cache.record(address(source))
    content = cache.content(record.digest) if record else None
    if record is None or content is None:
        raise _nothing_cached(error, f"The cache {source.cache} has no good copy of it.")
    if reason := distrust(source, record):
        raise _nothing_cached(error, f"The copy in the cache is not used: {reason}.")
    if error.part in _LETS_NOBODY_IN and cache.age(record.address) > source.cache_max_age:
        days = f"{source.cache_max_age / 86400:g} days (SKDEPLOY_CACHE_MAX_AGE)"
        raise _nothing_cached(error, f"The source last confirmed the copy in the cache over {days} ago.")
    note = f"It comes from the cache, fetched {record.fetched}, because: {error.what}"
    return recalled(record, content, from_cache=error.what, notes=(note,))


def _cached(source: Source, digest: str | None) -> bytes | None:
    return Cache(source.cache).content(digest) if source.cache and digest else None


def _runs_no_code(where: str) -> bool:
    """Whether the file's name says that it is an exported model: it is then loaded as one, or refused."""
    return where.endswith(SUFFIX)


def _nothing_cached(error: SourceUnreachable, why: str) -> SourceUnreachable:
    return SourceUnreachable(error.part, f"{error.what} {why}", error.remedy)


def _unverified(target: Target) -> UnverifiedModel:
    return UnverifiedModel(
        "digest",
        f"Nobody says which SHA-256 {target.where} should have, and unpickling it would run its code.",
        "Give an exported model (.skdeploy), which runs no code; promote the model with train.py, which tags "
        "the version; write the digest into the object's metadata; give SKDEPLOY_MODEL_SHA256 (not with "
        "an alias); or set SKDEPLOY_ALLOW_UNVERIFIED=1 if only you can write there.",
    )
