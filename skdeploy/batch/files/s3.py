"""Objects in S3, or in what speaks its protocol. Endpoint, region and credentials are boto3's own affair."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from skdeploy.batch.files.storage import Conflict, Storage, Stored
from skdeploy.errors import BatchError
from skdeploy.redacting import redacted
from skdeploy.source.target import quiet_transport

# No file is larger than that in one request; Amazon takes 5 GB.
_PIECE = 64 * 1024**2
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_MISSING = {"NoSuchKey", "404"}
_NO_ETAG = '"00000000000000000000000000000000"'

# The answer's code -> what it means, and what to do.
_MEANINGS = {
    "AccessDenied": "The credentials may not do that: grant s3:GetObject, s3:PutObject and "
    "s3:DeleteObject on the prefix, and s3:ListBucket on the bucket.",
    "NoSuchBucket": "There is no bucket of that name.",
    "PermanentRedirect": "The bucket is in another region: set AWS_REGION.",
    "AuthorizationHeaderMalformed": "The bucket is in another region: set AWS_REGION.",
    "NotImplemented": "The store does not know conditional writes.",
}
_CREDENTIALS = "Correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the role."
_MEANINGS |= dict.fromkeys(
    ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "InvalidClientTokenId"),
    _CREDENTIALS,
)


class S3Storage(Storage):
    """A prefix of a bucket.

    Nothing locks: that of two runs one loses is decided when the manifest is written, on the condition
    that it is still the one that was read (If-Match), or that there is none (If-None-Match).
    """

    exclusive = False
    scratch = None

    def __init__(self, bucket: str, prefix: str, variable: str, error: type[BatchError]) -> None:
        self._bucket = bucket
        self._prefix = prefix.rstrip("/") + "/" if prefix.rstrip("/") else ""
        self._variable = variable
        self._error = error
        self.where = f"s3://{bucket}/{self._prefix}"
        self._client = _client(variable, error)

    @property
    def endpoint(self) -> str:
        """Where the store is."""
        return str(self._client.meta.endpoint_url)

    def files(self, prefix: str) -> Iterator[Stored]:
        """See Storage."""
        for page in self._pages(Prefix=self._prefix + prefix):
            for entry in page.get("Contents", ()):
                yield Stored(entry["Key"][len(self._prefix) :], entry["Size"])

    def folders(self, prefix: str) -> list[str]:
        """See Storage."""
        whole = self._prefix + prefix
        return [
            entry["Prefix"][len(whole) :].rstrip("/")
            for page in self._pages(Prefix=whole, Delimiter="/")
            for entry in page.get("CommonPrefixes", ())
        ]

    def _pages(self, **what: str) -> Iterator[Any]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, **what)
        with self._told(self._prefix):
            yield from pages

    def read(self, name: str) -> tuple[bytes, str] | None:
        """See Storage."""
        with self._told(name, missing=True) as at:
            found = self._client.get_object(**at)
            return found["Body"].read(), found["ETag"]
        return None

    def keep(self, name: str, file: Path) -> None:
        """See Storage. A large file appears when all of its pieces are there."""
        size = file.stat().st_size
        with self._told(name, missing=True) as at:
            if self._client.head_object(**at)["ContentLength"] == size:
                return
        from boto3.s3.transfer import TransferConfig

        config = TransferConfig(multipart_threshold=_PIECE, multipart_chunksize=_PIECE, use_threads=False)
        with self._told(name) as at:
            self._client.upload_file(str(file), at["Bucket"], at["Key"], Config=config)

    def replace(self, name: str, content: bytes, tag: str | None) -> str:
        """See Storage."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with self._told(name, missing=True) as at:
            return str(self._client.put_object(**at, Body=content, **condition)["ETag"])
        # A condition on an object that is gone.
        raise Conflict(name)

    def remove(self, name: str) -> None:
        """See Storage."""
        with self._told(name) as at:
            self._client.delete_object(**at)

    def held(self, name: str) -> contextlib.AbstractContextManager[None]:  # noqa: ARG002
        """See Storage: nobody is kept away here."""
        return contextlib.nullcontext()

    def filesystem(self) -> Any:
        """See Storage. Arrow's own client, by the same credentials and at the same place."""
        from pyarrow.fs import S3FileSystem

        endpoint = urlsplit(self.endpoint)
        elsewhere = {"endpoint_override": endpoint.netloc, "scheme": endpoint.scheme}
        return S3FileSystem(
            region=self._client.meta.region_name or "us-east-1",
            connect_timeout=10,
            request_timeout=60,
            **({} if endpoint.netloc.endswith(".amazonaws.com") else elsewhere),
            **_fixed_credentials(),
        )

    def require_conditions(self, name: str, content: bytes) -> None:
        """See Storage. Some stores ignore the conditions, and say nothing."""
        for tag in (None, _NO_ETAG):
            with contextlib.suppress(Conflict):
                self.replace(name, content, tag)
                raise self._error(
                    f"{self._variable}: the store at {redacted(self.endpoint)} does not honour conditional "
                    "writes (If-Match, If-None-Match), without which two runs could write the same interval: "
                    "take a store that does, a folder, or a database."
                )

    @contextlib.contextmanager
    def _told(self, name: str, *, missing: bool = False) -> Iterator[dict[str, str]]:
        """Gives the object's address; what boto3 raises, as the storage's own error.

        missing   that an object is not there is no error: the block is left
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield {"Bucket": self._bucket, "Key": self._prefix + name}
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "unknown"))
            if code in _MISSING and missing:
                return
            if code in _CHANGED:
                raise Conflict(name) from None
            raise self._failed(f"S3 at {self.endpoint} said {code}", _MEANINGS.get(code, "")) from None
        except (BotoCoreError, Boto3Error) as error:
            # Its name alone: a message may hold what it was given.
            what = f"S3 at {self.endpoint} did not answer, or broke off ({type(error).__name__})"
            raise self._failed(what, "Check AWS_ENDPOINT_URL_S3, AWS_REGION, credentials, network.") from None

    def _failed(self, what: str, remedy: str) -> BatchError:
        return self._error(redacted(f"{self._variable}: {self.where}: {what}. {remedy}").rstrip())


def _fixed_credentials() -> dict[str, str]:
    """Those of variables and profiles; roles, whose credentials expire, are Arrow's own affair."""
    boto3 = import_module("boto3")
    found = boto3.session.Session().get_credentials()
    if found is None or found.method not in ("env", "shared-credentials-file", "config-file"):
        return {}
    fixed = {"access_key": found.access_key, "secret_key": found.secret_key, "session_token": found.token}
    return {name: value for name, value in fixed.items() if value}


def _client(variable: str, error: type[BatchError]) -> Any:
    try:
        boto3 = import_module("boto3")
    except ModuleNotFoundError:
        raise error("boto3 is not installed: run pip install 'skdeploy[batch]'.") from None
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    quiet_transport()
    patience = Config(
        connect_timeout=10, read_timeout=60, retries={"total_max_attempts": 4, "mode": "standard"}
    )
    try:
        return boto3.session.Session().client("s3", config=patience)
    except (BotoCoreError, ValueError) as failure:
        raise error(
            f"{variable}: S3 is not configured right ({type(failure).__name__}): check AWS_ENDPOINT_URL_S3, "
            "AWS_REGION and AWS_PROFILE."
        ) from None
