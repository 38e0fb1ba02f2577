"""The doctor: what is missing or wrong between here and a model, each part with its remedy."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from skdeploy.errors import DigestMismatch, ModelUnavailable, SettingsError, SourceError
from skdeploy.model import Model, read_versions
from skdeploy.source import Fetched, Source, Target, build, fetch, resolve, s3
from skdeploy.source.cache import Cache
from skdeploy.source.place import LocalFile, RegisteredModel, S3Object

# In the order in which servers look: who gets as far as one has passed those before it.
_S3 = ("boto3", "endpoint", "credentials", "region", "bucket", "permission", "key")
_MLFLOW = ("mlflow-skinny", "tracking URI", "tracking server", "credentials")


@dataclass(frozen=True, slots=True)
class Finding:
    """One part between here and the model. `remedy` is empty where all is well."""

    part: str
    well: bool
    what: str = ""
    remedy: str = ""


def examine(source: Source, engine: str = "auto") -> Iterator[Finding]:
    """The parts between here and the model, up to the first that is wrong. None holds a credential.

    The cache does not stand in: this is about what is there now.
    """
    visit = _Visit(source, engine)
    for parts, step in _steps(source, visit):
        try:
            said = step()
        except ModelUnavailable as error:
            wrong = _wrong(error, parts)
            passed = parts[: parts.index(wrong.part)] if wrong.part in parts else ()
            yield from visit.passed(passed)
            yield wrong
            return
        yield from visit.passed(parts[:-1])
        yield Finding(parts[-1], well=True, what=said)


def _steps(source: Source, visit: _Visit) -> list[tuple[tuple[str, ...], Callable[[], str]]]:
    return [
        (_parts(source), visit.resolve),
        (("digest",) if isinstance(source.place, LocalFile) else ("download", "digest"), visit.fetch),
        (("model",), visit.prove),
        *([(("cache",), visit.cache)] if source.cache else []),
    ]


class _Visit:
    """The steps to the model; each raises ModelUnavailable, or says what it found."""

    def __init__(self, source: Source, engine: str) -> None:
        self._source = source
        self._uncached = dataclasses.replace(source, cache=None)
        self._engine = engine
        # What there is to say of a part that is well, beside the last one of a step.
        self.found: dict[str, str] = {}
        self._target: Target
        self._fetched: Fetched

    def passed(self, parts: tuple[str, ...]) -> Iterator[Finding]:
        """Parts that are well."""
        return (Finding(part, well=True, what=self.found.get(part, "")) for part in parts)

    def resolve(self) -> str:
        if isinstance(self._source.place, S3Object):
            self.found["credentials"] = s3.credentials(self._source.timeout)
        self._target = resolve(self._uncached)
        return self._target.where

    def fetch(self) -> str:
        self._fetched = fetch(self._uncached, self._target)
        if self._source.sha256:
            compared = "as SKDEPLOY_MODEL_SHA256 says"
        elif self._target.digest:
            compared = f"as {self._target.authority} says"
        else:
            compared = "not checked: set SKDEPLOY_MODEL_SHA256 to check it"
        return f"{self._fetched.digest}, {compared}{_saved_with(self._fetched)}"

    def prove(self) -> str:
        return _proved(build(self._uncached, self._fetched, engine=self._engine))

    def cache(self) -> str:
        folder = self._source.cache
        assert folder is not None  # noqa: S101 - the step is only taken then
        try:
            # Trying is surer than asking: root may write where nothing can be written.
            Cache(folder).make()
            tempfile.TemporaryFile(dir=folder).close()
        except SettingsError as error:
            raise SourceError("cache", str(error), "Give another folder.") from None
        except OSError as error:
            raise SourceError(
                "cache",
                f"SKDEPLOY_MODEL_CACHE={str(folder)!r} cannot be written: {error.strerror}.",
                "Give another folder.",
            ) from None
        return str(folder)


def _saved_with(fetched: Fetched) -> str:
    saved = read_versions(fetched.content, fetched.where)
    named = [f"{name} {saved[name]}" for name in ("skdeploy", "python", "scikit-learn") if name in saved]
    return f"; saved with {', '.join(named)}" if named else ""


def _proved(model: Model) -> str:
    golden = len(model.passport.golden.predictions)
    if not golden:
        return f"{model!r}; it has no golden records, so that its predictions are not proved"
    return f"{model!r}; {golden} golden records predict what they should"


def _parts(source: Source) -> tuple[str, ...]:
    place = source.place
    if isinstance(place, LocalFile):
        return ("file",)
    if isinstance(place, S3Object):
        return _S3
    if isinstance(place, RegisteredModel):
        return (*_MLFLOW, "registered model", "alias" if place.alias else "version")
    return (*_MLFLOW, "run")


def _wrong(error: ModelUnavailable, parts: tuple[str, ...]) -> Finding:
    if isinstance(error, SourceError):
        return Finding(error.part, well=False, what=error.what, remedy=error.remedy)
    part = "digest" if isinstance(error, DigestMismatch) else parts[-1]
    return Finding(part, well=False, what=str(error))
