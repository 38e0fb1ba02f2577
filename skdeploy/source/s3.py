"""A model in S3, or in what speaks its protocol. Endpoint, region and credentials are boto3's own affair."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from skdeploy.errors import SourceError, SourceUnreachable
from skdeploy.redacting import redacted
from skdeploy.source.place import S3Object
from skdeploy.source.target import Target, model_files, quiet_transport, required

# Of the object: the digest of the file, as `aws s3 cp --metadata sha256=...` writes it.
METADATA = "sha256"

_CREDENTIALS = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_NO_CREDENTIALS = ("Credential", "Token", "ProfileNotFound", "SSO")
_REGION = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
_MISSING = {"404", "NoSuchKey", "NoSuchVersion"}
_FORBIDDEN = {"403", "AccessDenied", "AllAccessDisabled"}


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
    raise SourceError(
        "key",
        f"There is neither an object {place.key} in the bucket {place.bucket}, "
        f"nor {' or '.join(model_files())} in a folder of that name.",
        f"Look what is there (aws s3 ls s3://{place.bucket}/), and correct SKDEPLOY_MODEL_URI.",
    )


def endpoint(timeout: float) -> str:
    """Which store answers for `s3://` here, without credentials. Raises SourceError."""
    return redacted(_client(timeout, None).meta.endpoint_url).rstrip("/")


def _target(client: Any, bucket: str, key: str) -> Target:
    # Not HEAD: it has no body that would say why it is refused.
    found = client.get_object(Bucket=bucket, Key=key, Range="bytes=0-0")
    found["Body"].close()
    etag, digest = found["ETag"], found["Metadata"].get(METADATA)
    path = PurePosixPath(key)
    return Target(
        token=etag,
        where=f"s3://{bucket}/{key}",
        name=path.parent.name if path.name in model_files() and path.parent.name else path.stem,
        read=lambda: _read(client, S3Object(bucket, key), etag),
        digest=digest and digest.lower(),
        authority=f"the object's metadata {METADATA!r}",
    )


def _read(client: Any, place: S3Object, etag: str) -> bytes:
    with _explained(place, client):
        # The object that was resolved, or none: another may have taken its place.
        content: bytes = client.get_object(Bucket=place.bucket, Key=place.key, IfMatch=etag)["Body"].read()
        return content


def _client(timeout: float, endpoint: str | None) -> Any:
    boto3 = required("boto3", "boto3")
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    quiet_transport()
    patience = Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    try:
        return boto3.session.Session().client("s3", endpoint_url=endpoint, config=patience)
    except (BotoCoreError, ValueError) as error:  # a malformed endpoint is a ValueError
        raise _of_botocore(error, S3Object("", ""), "as configured") from None


@contextlib.contextmanager
def _explained(place: S3Object, client: Any) -> Iterator[None]:
    """Turns what boto3 raises into a SourceError that says which part is wrong."""
    from botocore.exceptions import BotoCoreError, ClientError

    endpoint = redacted(client.meta.endpoint_url)
    try:
        yield
    except client.exceptions.NoSuchKey:
        raise
    except ClientError as error:
        raise _of_answer(error.response, place, endpoint) from None
    except BotoCoreError as error:
        raise _of_botocore(error, place, endpoint) from None


def _of_answer(response: Any, place: S3Object, endpoint: str) -> SourceError:
    """What the store's error code means."""
    code = str(response.get("Error", {}).get("Code", "unknown"))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    said = f"S3 at {endpoint} said {code}"
    if code in _CREDENTIALS:
        return SourceUnreachable(
            "credentials",
            f"{said}: the credentials are wrong or have expired.",
            "Correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the role.",
        )
    if code == "NoSuchBucket":
        return SourceError(
            "bucket", f"{said}: there is no bucket {place.bucket}.", "Correct SKDEPLOY_MODEL_URI."
        )
    if code in _REGION:
        return SourceError(
            "region", f"{said}: the bucket is in another region.", "Set AWS_REGION to the bucket's."
        )
    if code in _FORBIDDEN:
        return SourceUnreachable(
            "permission",
            f"{said}: {place.key} in the bucket {place.bucket} may not be read, or is not there.",
            "Grant s3:GetObject on it, and s3:ListBucket on the bucket, without which a missing key cannot "
            "be told from a forbidden one.",
        )
    if code == "PreconditionFailed":
        return SourceUnreachable("key", f"{place.key} was replaced while it was read.", "Try again.")
    if code == "InvalidRange":
        return SourceError("key", f"{place.key} in the bucket {place.bucket} is empty.", "Upload it again.")
    if code in _MISSING:
        return SourceError("key", f"{said}: {place.key} is gone.", "Correct SKDEPLOY_MODEL_URI.")
    if status >= 500 or code == "SlowDown":
        return SourceUnreachable("endpoint", f"{said} ({status}).", "Try again, and look into its log.")
    return SourceError("endpoint", f"{said} ({status}).", "Check that AWS_ENDPOINT_URL_S3 speaks S3.")


def _of_botocore(error: Exception, place: S3Object, endpoint: str) -> SourceError:
    """What boto3's own errors mean. Their names alone are shown: a message may hold what it was given."""
    name = type(error).__name__
    if name.startswith(_NO_CREDENTIALS) or "Credentials" in name:
        return SourceUnreachable(
            "credentials",
            f"No usable credentials for S3 were found ({name}).",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role.",
        )
    if "Region" in name:
        return SourceError("region", f"There is no usable region ({name}).", "Set AWS_REGION.")
    if name == "ParamValidationError":
        return SourceError("bucket", f"{place.bucket!r} can be no bucket.", "Correct SKDEPLOY_MODEL_URI.")
    if isinstance(error, ValueError):
        return SourceError(
            "endpoint", "The endpoint of S3 is no URL.", "Correct AWS_ENDPOINT_URL_S3, or unset it."
        )
    return SourceUnreachable(
        "endpoint",
        f"S3 at {endpoint} did not answer, or broke off ({name}).",
        "Check AWS_ENDPOINT_URL_S3, AWS_REGION and the network.",
    )
