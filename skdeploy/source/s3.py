"""A model in S3, or in what speaks its protocol. Endpoint, region and credentials are boto3's own affair."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from skdeploy.errors import SourceError, SourceUnreachable
from skdeploy.redacting import shortened, shown
from skdeploy.source import conditions
from skdeploy.source.download import Download
from skdeploy.source.place import S3Object
from skdeploy.source.target import Target, model_files, quiet_transport, required, sha256_of

# Of the object: the digest of the file, as `aws s3 cp --metadata sha256=...` writes it.
METADATA = "sha256"

# boto3's own errors whose texts hold nothing but addresses; of the others the names alone are shown.
_SPEAKING = ("SSLError", "ParamValidationError")
_NO_CREDENTIALS = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role."
)
_CHUNK = 256 * 1024


def resolve(place: S3Object, timeout: float, endpoint: str | None = None) -> Target:
    """The object as it is now, or the model file of the folder; no more than its first byte is read.

    endpoint   what boto3 does not find in its own variables

    Raises SourceError.
    """
    client = _client(timeout, endpoint)
    keys = [place.key.rstrip("/"), *(f"{place.key.rstrip('/')}/{file}" for file in model_files())]
    for key in keys[place.key.endswith("/") :]:
        with _explained(place, client):
            try:
                return _target(client, place.bucket, key)
            except client.exceptions.NoSuchKey:
                continue
    raise conditions.error_of(conditions.S3, "NoSuchKey", _who(client), bucket=place.bucket, key=place.key)


def endpoint(timeout: float) -> str:
    """Which store answers for `s3://` here, without credentials. Raises SourceError."""
    try:
        client = _unsigned(_session(timeout), None)
    except SourceUnreachable:  # a profile that is gone cannot say another
        client = _unsigned(_session(timeout, {"profile": (None, None, None, None)}), None)
    return shown(client.meta.endpoint_url)


def credentials(timeout: float) -> str:
    """Which step of the chain of credentials answered, and which had none. Raises SourceUnreachable."""
    session = _session(timeout)
    _unsigned(session, None)  # a wrong endpoint is told first
    method, without = _sign(session)
    return f"{method} has some" + (f"; none in {', '.join(without)}" if without else "")


def _target(client: Any, bucket: str, key: str) -> Target:
    # Not HEAD: it has no body that would say why it is refused.
    found = client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
    found["Body"].close()
    if "ETag" not in found:
        raise _NotS3("an answer without an ETag")
    where, etag = f"s3://{bucket}/{key}", found["ETag"]
    path = PurePosixPath(key)
    return Target(
        token=etag,
        where=where,
        name=path.parent.name if path.name in model_files() and path.parent.name else path.stem,
        read=lambda: _read(client, S3Object(bucket, key), etag),
        digest=sha256_of(found["Metadata"].get(METADATA), f"the metadata {METADATA!r} of {where}"),
        authority=f"the object's metadata {METADATA!r}",
    )


def _read(client: Any, place: S3Object, etag: str) -> bytes:
    with _explained(place, client):
        # The object that was resolved, or none: another may have taken its place.
        body = client.get_object(Bucket=place.bucket, Key=place.key, IfMatch=etag)["Body"]
        return Download(f"s3://{place.bucket}/{place.key}").read(body.iter_chunks(_CHUNK))


class _NotS3(Exception):
    """An answer that no S3 store gives."""


def _session(timeout: float, variables: Any = None) -> Any:
    """A session whose clients, that of STS included, give up soon."""
    required("botocore", "boto3")
    import botocore.session
    from botocore.config import Config

    quiet_transport()
    session = botocore.session.Session(variables)
    session.register_component("data_loader", _loader())
    session.set_default_client_config(
        Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"total_max_attempts": 2, "mode": "standard"},
        )
    )
    return session


@functools.cache
def _loader() -> Any:
    """What describes the services to botocore: megabytes of JSON, read once."""
    from botocore.loaders import create_loader

    return create_loader()


def _sign(session: Any) -> tuple[str, list[str]]:
    """Give the session credentials: the step of the chain that has some, and those before it."""
    from botocore.exceptions import ProfileNotFound

    method, without = "its configuration", list[str]()
    try:
        for provider in session.get_component("credential_provider").providers:
            method = provider.METHOD
            if found := provider.load():
                key = found.get_frozen_credentials()
                session.set_credentials(key.access_key, key.secret_key, key.token)
                return method, without
            without.append(method)
    except ProfileNotFound:
        raise _no_profile() from None
    except Exception as error:  # files, processes and servers of the chain raise what they like
        raise SourceUnreachable(
            "credentials",
            f"The credentials for S3 cannot be had from {method} ({_told(error)}).",
            f"Mend or unset it, or: {_NO_CREDENTIALS[0].lower()}{_NO_CREDENTIALS[1:]}",
        ) from None
    raise SourceUnreachable(
        "credentials", f"No credentials for S3 were found in {', '.join(without)}.", _NO_CREDENTIALS
    )


def _no_profile() -> SourceUnreachable:
    what = "AWS_PROFILE names a profile that the configuration does not have."
    return SourceUnreachable("credentials", what, _NO_CREDENTIALS)


def _told(error: Exception) -> str:
    """A failed step of the chain; never what a file or a process of it holds."""
    from botocore.exceptions import ClientError

    if isinstance(error, ClientError):
        said = error.response.get("Error", {})
        return shortened(f"{said.get('Code', 'unknown')}: {said.get('Message', '')}")
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return type(error).__name__


def _client(timeout: float, endpoint: str | None) -> Any:
    session = _session(timeout)
    _unsigned(session, endpoint)  # a wrong endpoint is told before credentials are asked for
    _sign(session)
    return session.create_client("s3", endpoint_url=endpoint)


def _unsigned(session: Any, endpoint: str | None) -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ProfileNotFound

    try:
        return session.create_client("s3", endpoint_url=endpoint, config=Config(signature_version=UNSIGNED))
    except ProfileNotFound:
        raise _no_profile() from None
    except (BotoCoreError, ValueError) as error:  # a malformed endpoint is a ValueError
        said = f"{type(error).__name__}:"
        raise conditions.error_of(conditions.S3, said, "S3", bucket="", key="") from None


def _who(client: Any) -> str:
    return f"S3 at {shown(client.meta.endpoint_url)}"


@contextlib.contextmanager
def _explained(place: S3Object, client: Any) -> Iterator[None]:
    """Turns whatever boto3 raises into a SourceError that says which part is wrong."""
    from botocore.exceptions import ClientError

    try:
        yield
    except (client.exceptions.NoSuchKey, SourceError):
        raise
    except Exception as error:  # endless redirects and answers of other servers end in any exception
        if isinstance(error, ClientError):
            said = error.response.get("Error", {})
            # A page of a proxy's has no code.
            code = said.get("Code") or error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            text = f"{code}: {said.get('Message') or ''}"
        else:
            name = type(error).__name__.lstrip("_")
            text = f"{name}: {error}" if name in (*_SPEAKING, "NotS3") else f"{name}:"
        raise conditions.error_of(
            conditions.S3, text, _who(client), bucket=place.bucket, key=place.key
        ) from None
