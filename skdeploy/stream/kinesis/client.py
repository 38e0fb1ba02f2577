"""Connections to AWS, and which of their errors pass."""

from __future__ import annotations

from typing import Any

from skdeploy.errors import SettingsError, StreamError
from skdeploy.source.target import quiet_transport, required

# Beside whatever answers with a status of 500 or above.
_PASSING = {
    "KMSThrottlingException",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeoutException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TransactionInProgressException",
}


def connect(service: str, *, attempts: int = 1) -> Any:
    """A client of boto3; its endpoint, region and credentials come from its own variables.

    attempts   how often the client itself asks before it gives up; whoever retries in its own way says 1

    Raises SettingsError, or SourceError if boto3 is not installed.
    """
    boto3 = required("boto3", "boto3")
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    quiet_transport()
    patience = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"total_max_attempts": attempts, "mode": "standard"},
        tcp_keepalive=True,
    )
    try:
        return boto3.session.Session().client(service, config=patience)
    except (BotoCoreError, ValueError) as error:
        name = type(error).__name__
        raise SettingsError(
            f"There is no client for {service} ({name}): set AWS_REGION, and correct or unset "
            "AWS_ENDPOINT_URL."
        ) from None


def transport_errors() -> tuple[type[Exception], ...]:
    """What boto3 raises if a call did not work."""
    from botocore.exceptions import BotoCoreError, ClientError

    return (BotoCoreError, ClientError)


def code_of(error: Exception) -> str:
    """What AWS calls the error; "" if it is the connection's."""
    response: dict[str, Any] = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def passes(error: Exception) -> bool:
    """Whether the same call may work a little later: throttling, a failure at AWS, no connection."""
    from botocore.exceptions import ConnectionError as NoConnection
    from botocore.exceptions import HTTPClientError

    if isinstance(error, (NoConnection, HTTPClientError)):
        return True
    response: dict[str, Any] = getattr(error, "response", None) or {}
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return code_of(error) in _PASSING or status >= 500


def refused(error: Exception, what: str) -> StreamError:
    """An error that will not pass, as ours. Messages of AWS name resources, not records."""
    said = getattr(error, "response", {}).get("Error", {}).get("Message", "")
    reason = f"{code_of(error) or type(error).__name__}{f' ({said})' if said else ''}"
    return StreamError(f"{what}: {reason}. Correct its name, the region, or the permissions.")
