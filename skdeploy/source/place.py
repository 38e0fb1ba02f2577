"""A URI's parts, and what goes with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from skdeploy.config import ModelSettings
from skdeploy.errors import SettingsError
from skdeploy.redacting import holds_credentials, shown


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file of this machine."""

    path: Path


@dataclass(frozen=True, slots=True)
class S3Object:
    """An object, or a folder that MLflow wrote a model into."""

    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A model of an MLflow registry: what an alias points to, or one version."""

    name: str
    alias: str | None = None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class RunModel:
    """The model of an MLflow run, by its name or its artifact path."""

    run: str
    path: str


Place = LocalFile | S3Object | RegisteredModel | RunModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A place that a model comes from, and how it is treated.

    sha256             64 hexadecimal digits that the file must have
    cache              a folder that keeps the last good models; None for no cache
    timeout            seconds that a registry or store has for an answer; it is asked twice
    cache_max_age      seconds since the source last answered for which a cached model stands in where it lets
                       nobody in; an outage of another kind is bridged however long it lasts
    allow_unverified   load from the network even if nobody says which digest the file should have
    trusted            types that a model.skops may hold, beside skops' own

    Raises SettingsError if the URI cannot be one, or does not go with the digest.
    """

    uri: str
    sha256: str | None = None
    cache: Path | None = None
    timeout: float = 3.0
    cache_max_age: float = 7 * 24 * 3600.0
    allow_unverified: bool = False
    trusted: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        place = self.place
        if self.sha256 and isinstance(place, RegisteredModel) and place.alias:
            raise SettingsError(
                f"SKDEPLOY_MODEL_SHA256 and SKDEPLOY_MODEL_URI={self.uri!r} do not go together: an alias "
                "moves, a digest does not. Unset SKDEPLOY_MODEL_SHA256 (the registry's digests are "
                "compared), or name a version."
            )

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Source:
        """The place that the settings name."""
        return cls(
            uri=settings.model_uri,
            sha256=settings.model_sha256,
            cache=Path(settings.model_cache) if settings.model_cache else None,
            cache_max_age=settings.cache_max_age,
            allow_unverified=settings.allow_unverified,
            trusted=settings.skops_trusted,
        )

    @property
    def place(self) -> Place:
        """The URI's parts."""
        return _parse(self.uri)


# What people give, and what it should be.
_UNKNOWN = (
    (
        r"gs:/",
        "is in Google Cloud Storage, which is no source of models: copy the file (gcloud storage cp URI "
        "model.bin) or mount the bucket, and name its path.",
    ),
    (
        r"(wasbs?|abfss?|adl|az):/",
        "is in Azure's storage, which is no source of models: copy the file (az storage blob download), and "
        "name its path.",
    ),
    (
        r"(dbfs|hdfs|viewfs|ftp|sftp):/",
        "is no source of models: copy the file to a path or to s3://, or register the model and name "
        "models:/name@alias.",
    ),
    (
        r"mlflow-artifacts:/",
        "names an artifact of the tracking server, not a model: name the model by its run, "
        "runs:/RUN_ID/model, or register it and name models:/name@alias.",
    ),
    (
        r"https?:/",
        "is a web address, which is no source of models: download the file and name its path, or for a model "
        "of an MLflow server set MLFLOW_TRACKING_URI and name models:/name@alias.",
    ),
    (
        r"s3:/+arn:|arn:",
        "is an ARN: name the bucket, s3://bucket/key, or an access point by its alias, s3://alias-s3alias/key.",
    ),
    (
        r"models:/m-[0-9a-f]+/?$",
        "is a logged model, which has no digest to compare: name it by its run, runs:/RUN_ID/model, or "
        "register it and name models:/name@alias.",
    ),
    (
        r"(?i)models:/[^/@]+/(production|staging|archived|none)/?$",
        "names a stage, which MLflow 3 has no more: give the version an alias and name models:/name@alias.",
    ),
    (
        r"(?i)models:/[^/@]+/latest/?$|models:/[^/@]+@latest$",
        "names the latest version, whatever it is: give one an alias and name models:/name@alias.",
    ),
)


def _parse(uri: str) -> Place:
    for sign, why in _UNKNOWN:
        if re.match(sign, uri):
            raise SettingsError(f"SKDEPLOY_MODEL_URI={shown(uri)!r} {why}")
    if "://" in uri and holds_credentials(uri):
        raise SettingsError(
            f"SKDEPLOY_MODEL_URI={shown(uri)!r} was given with credentials, which would end up in logs: give "
            "them in the environment, as AWS_ACCESS_KEY_ID or MLFLOW_TRACKING_USERNAME and their like."
        )
    if match := re.fullmatch(r"s3://(?!arn:)([^/?#]+)/(.+)", uri):
        return S3Object(match[1], match[2])
    if match := re.fullmatch(r"models:/([^/@]+)@(?!latest$)([^/@]+)", uri):
        return RegisteredModel(match[1], alias=match[2])
    if match := re.fullmatch(r"models:/([^/@]+)/(\d+)", uri):
        return RegisteredModel(match[1], version=match[2])
    if match := re.fullmatch(r"runs:/([^/]+)/(.+)", uri):
        return RunModel(match[1], match[2].rstrip("/"))
    if uri.startswith("file:"):
        return LocalFile(Path(unquote(urlsplit(uri).path)))
    if "://" in uri or uri.startswith(("models:", "runs:", "s3:")):
        raise SettingsError(
            f"SKDEPLOY_MODEL_URI={shown(uri)!r} is not a path, file://..., s3://bucket/key, "
            "models:/name@alias, models:/name/version or runs:/id/model."
        )
    return LocalFile(Path(uri))
