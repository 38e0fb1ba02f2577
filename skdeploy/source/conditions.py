"""What an answer or a failure of a source means, and what to do: docs/sources.md shows these tables.

Only the source's own "there is no such thing" is an answer, which ends the start. All else is an outage,
whatever keeps us from an answer: the last good model may stand in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from skdeploy.errors import SourceError, SourceUnreachable
from skdeploy.redacting import shortened


@dataclass(frozen=True, slots=True)
class Condition:
    """A row of a table.

    name     for the docs
    sign     a regular expression, found in "CODE: message" of an answer or "NAME: message" of an exception
    part     what is missing or wrong, as `skdeploy doctor` lists it
    means    the end of a sentence; the names in braces are the place's
    remedy   a sentence that says what to do
    answer   the source says that there is no such thing; else it is an outage
    """

    name: str
    sign: str
    part: str
    means: str
    remedy: str
    answer: bool = False


S3 = (
    Condition(
        "there is no such bucket",
        r"^NoSuchBucket",
        "bucket",
        "there is no bucket {bucket}",
        "Correct SKDEPLOY_MODEL_URI.",
        answer=True,
    ),
    Condition(
        "no bucket can have such a name",
        r"^InvalidBucketName|^ParamValidationError.*(?i:bucket)",
        "bucket",
        "{bucket!r} can be no bucket",
        "Correct SKDEPLOY_MODEL_URI.",
        answer=True,
    ),
    Condition(
        "there is no such object",
        r"^NoSuchKey|^NoSuchVersion|^MethodNotAllowed",
        "key",
        "there is no object {key} in the bucket {bucket}, nor a model's file in a folder of that name",
        "Look what is there (aws s3 ls s3://{bucket}/), and correct SKDEPLOY_MODEL_URI.",
        answer=True,
    ),
    Condition(
        "the object is empty",
        r"^InvalidRange",
        "key",
        "{key} in the bucket {bucket} is empty",
        "Upload it again.",
        answer=True,
    ),
    Condition(
        "the object was replaced while it was read",
        r"^PreconditionFailed",
        "key",
        "{key} was replaced while it was read",
        "Try again.",
    ),
    Condition(
        "the object is archived (Glacier)",
        r"^InvalidObjectState",
        "storage class",
        "{key} is archived, and cannot be read until it is restored",
        "Run aws s3api restore-object, or copy the object with --storage-class STANDARD.",
    ),
    Condition(
        "the object is encrypted with a key of the customer's (SSE-C)",
        r"Server Side Encryption|customer.provided|SSECustomer",
        "encryption",
        "{key} is encrypted with a key that every reader has to send (SSE-C)",
        "Copy it with SSE-S3 or SSE-KMS: aws s3 cp --sse aws:kms.",
    ),
    Condition(
        "the object's KMS key may not be used",
        r"KMS\.|(?i:\bkms\b)",
        "encryption",
        "the key that encrypts {key} cannot be used",
        "Grant kms:Decrypt on the object's KMS key to these credentials, or enable the key.",
    ),
    Condition(
        "the credentials are wrong or have expired",
        r"^(ExpiredToken|InvalidAccessKeyId|InvalidClientTokenId|InvalidToken|InvalidSecurity|SignatureDoesNotMatch"
        r"|TokenRefreshRequired|AuthFailure|UnrecognizedClient|InvalidIdentityToken|401\b)",
        "credentials",
        "the credentials are wrong or have expired",
        "Correct AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the role.",
    ),
    Condition(
        "the clock is wrong",
        r"^RequestTimeTooSkewed|^RequestExpired",
        "clock",
        "this machine's clock and the store's differ by too much",
        "Set this machine's clock (NTP).",
    ),
    Condition(
        "the bucket is in another region",
        r"^(AuthorizationHeaderMalformed|IllegalLocationConstraint|PermanentRedirect|TemporaryRedirect)",
        "region",
        "the bucket is in another region",
        "Set AWS_REGION to the bucket's.",
    ),
    Condition(
        "no region is set",
        r"^\w*Region\w*:",
        "region",
        "there is no usable region",
        "Set AWS_REGION.",
    ),
    Condition(
        "the object may not be read",
        r"^(AccessDenied|AllAccessDisabled|AccountProblem|403\b)",
        "permission",
        "{key} in the bucket {bucket} may not be read, or is not there",
        "Grant s3:GetObject on it, and s3:ListBucket on the bucket, without which a missing key cannot be "
        "told from a forbidden one.",
    ),
    Condition(
        "the store asks to slow down, or took too long",
        r"^(SlowDown|\w*Throttl\w*|TooManyRequests|ErrTooManyRequest|RequestLimitExceeded|RequestTimeout|BandwidthLimit"
        r"|4(08|25|29)\b)",
        "endpoint",
        "it is too busy to answer",
        "Try again later, or raise the store's limits.",
    ),
    Condition(
        "the store fails",
        r"^(InternalError|InternalFailure|ServiceUnavailable|OperationAborted|5\d\d\b)",
        "endpoint",
        "it failed",
        "Try again, and look into its log.",
    ),
    Condition(
        "the certificate is not trusted",
        r"^SSLError|CERTIFICATE",
        "certificate",
        "its certificate is not trusted here",
        "Set AWS_CA_BUNDLE to the file of the authority that signed it.",
    ),
    Condition(
        "the proxy does not let through",
        r"^ProxyConnectionError|^ProxyError|^407\b|ProxyAuthentication",
        "proxy",
        "the proxy on the way does not let through",
        "Correct HTTPS_PROXY and its credentials, or put the store's name into NO_PROXY.",
    ),
    Condition(
        "the endpoint is no URL",
        r"^ValueError",
        "endpoint",
        "the endpoint is no URL",
        "Correct AWS_ENDPOINT_URL_S3, or unset it.",
    ),
    Condition(
        "what answers is no S3 store, such as a login page",
        r"^(NotS3|30\d\b|404\b|ResponseParserError|KeyError|RecursionError)",
        "endpoint",
        "what answers there is no S3 store",
        "Check that AWS_ENDPOINT_URL_S3 is the store's address, and that no proxy or login page answers for "
        "it.",
    ),
    Condition(
        "nothing answers, or the download broke off or is too slow",
        r"",
        "endpoint",
        "it did not answer, or broke off",
        "Check AWS_ENDPOINT_URL_S3, AWS_REGION and the network.",
    ),
)

MLFLOW = (
    Condition(
        "the server refuses the name that it is called by",
        r"(?i)Host header|DNS rebinding",
        "tracking server",
        "it does not answer to the host name in MLFLOW_TRACKING_URI",
        "Start it with --allowed-hosts and that name, or use the name that it allows.",
    ),
    Condition(
        "the credentials are missing, wrong or have expired",
        r"CUSTOMER_UNAUTHORIZED|PERMISSION_DENIED|UNAUTHENTICATED|error code 40[13]|\b40[13] Client Error",
        "credentials",
        "it does not let us in",
        "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.",
    ),
    Condition(
        "the certificate is not trusted",
        r"CERTIFICATE|SSLError|SSL:",
        "certificate",
        "its certificate is not trusted here",
        "Set MLFLOW_TRACKING_SERVER_CERT_PATH to the file of the authority that signed it.",
    ),
    Condition(
        "the proxy does not let through",
        r"ProxyError|407 |Proxy Authentication",
        "proxy",
        "the proxy on the way does not let through",
        "Correct HTTPS_PROXY and its credentials, or put the server's name into NO_PROXY.",
    ),
    Condition(
        "the artifact store's client is not installed",
        r"^ModuleNotFoundError|^ImportError|No module named",
        "artifact store",
        "the client of the artifact store is not installed",
        "Install it (google-cloud-storage for gs://, azure-storage-blob for wasbs://), or start the server "
        "with --serve-artifacts, so that it passes artifacts on.",
    ),
    Condition(
        "the server asks to slow down, or fails",
        r"error code (408|425|429|5\d\d)|\b(408|425|429) Client Error|\b5\d\d Server Error|too many \d+ error"
        r"|REQUEST_LIMIT_EXCEEDED|TEMPORARILY_UNAVAILABLE",
        "tracking server",
        "it failed, or is too busy to answer",
        "Try again, and look into its log.",
    ),
    Condition(
        "what answers is no MLflow server of version 3, such as a login page",
        r"NotARegistry|redirects|404 Client Error|error code 404|valid "
        r"JSON|JSONDecodeError|TooManyRedirects|KeyError"
        r"|AttributeError|TypeError|ParseError|ENDPOINT_NOT_FOUND",
        "tracking server",
        "what answers there is no MLflow server of version 3",
        "Check that MLFLOW_TRACKING_URI is the server's address with its path prefix, and that no proxy or "
        "login page answers for it.",
    ),
    Condition(
        "nothing answers, or the download broke off or is too slow",
        r"",
        "tracking server",
        "it did not answer, or could not",
        "Check MLFLOW_TRACKING_URI and the network, and look into the server's log.",
    ),
)


def error_of(table: Sequence[Condition], said: str, who: str, **place: str) -> SourceError:
    """The error of the first condition whose sign is in `said`.

    said    "CODE: message", or "NAME: message" of an exception; shown without credentials, shortened
    who     the source, for the sentence
    place   what the texts in braces stand for
    """
    condition = next(row for row in table if re.search(row.sign, said))
    kind = SourceError if condition.answer else SourceUnreachable
    means, remedy = condition.means.format(**place), condition.remedy.format(**place)
    return kind(condition.part, f"{who}: {means} ({shortened(said).rstrip(': ')}).", remedy)
