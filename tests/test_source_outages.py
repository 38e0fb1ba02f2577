"""Each condition of a source, as a server that lies answers it: an outage or an answer, and its remedy."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skdeploy
from skdeploy.errors import SourceError, SourceUnreachable
from skdeploy.mlflow_variables import DIGEST_TAG
from skdeploy.redacting import redacted
from skdeploy.source import Source, conditions, confirm, download, load_from, resolve
from skdeploy.source.conditions import Condition
from tests import stores
from tests.live import ROOT
from tests.stores import Answer, lying

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
PAGE = b"<html><body>Please log in</body></html>"


def s3_error(status: int, code: str, message: str = "The store's own sentence.", **headers: str) -> Answer:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return lambda _: (status, {"Content-Type": "application/xml", **headers}, body)


def s3_object(content: bytes, *, etag: str | None = '"e1"', digest: str | None = None) -> Answer:
    """An object whose metadata say `digest`, default: the right one."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        headers = {"x-amz-meta-sha256": digest or hashlib.sha256(content).hexdigest()}
        if etag is not None:
            headers["ETag"] = etag
        if request.headers.get("Range") == "bytes=0-0":
            return 206, {**headers, "Content-Range": f"bytes 0-0/{len(content)}"}, content[:1]
        return 200, headers, content

    return answer


def elsewhere(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
    return 301, {"Location": f"http://{request.headers['Host']}/again"}, b""


def mlflow_error(status: int, code: str, message: str = "The server's own sentence.") -> Answer:
    body = json.dumps({"error_code": code, "message": message}).encode()
    return lambda _: (status, {"Content-Type": "application/json"}, body)


def page(status: int) -> Answer:
    return lambda _: (status, {"Content-Type": "text/html"}, PAGE)


# What a store answers by the condition's name, and settings under which it is met without an answer.
S3: dict[str, list[Answer | dict[str, str]]] = {
    "there is no such bucket": [s3_error(404, "NoSuchBucket")],
    "no bucket can have such a name": [s3_error(400, "InvalidBucketName")],
    "there is no such object": [s3_error(404, "NoSuchKey"), s3_error(404, "NoSuchVersion")],
    "the object is empty": [s3_error(416, "InvalidRange")],
    "the object was replaced while it was read": [s3_error(412, "PreconditionFailed")],
    "the object is archived (Glacier)": [
        s3_error(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
    ],
    "the object is encrypted with a key of the customer's (SSE-C)": [
        s3_error(400, "InvalidRequest", "The object was stored using a form of Server Side Encryption.")
    ],
    "the object's KMS key may not be used": [
        s3_error(403, "AccessDenied", "User is not authorized to perform: kms:Decrypt"),
        s3_error(400, "KMS.DisabledException", "The key is disabled"),
    ],
    "the credentials are wrong or have expired": [
        *(s3_error(400, code) for code in ("ExpiredToken", "InvalidToken", "InvalidClientTokenId")),
        *(s3_error(403, code) for code in ("InvalidAccessKeyId", "SignatureDoesNotMatch")),
        page(401),
    ],
    "the clock is wrong": [s3_error(403, "RequestTimeTooSkewed")],
    "the bucket is in another region": [
        s3_error(400, "AuthorizationHeaderMalformed"),
        s3_error(301, "PermanentRedirect"),
    ],
    "no region is set": [{"AWS_DEFAULT_REGION": "no such region"}],
    "the object may not be read": [s3_error(403, "AccessDenied"), page(403)],
    "the store asks to slow down, or took too long": [
        *(s3_error(429, code) for code in ("TooManyRequests", "ErrTooManyRequest", "Throttling")),
        s3_error(400, "RequestTimeout"),
        s3_error(503, "SlowDown"),
        page(408),
        page(425),
        page(429),
    ],
    "the store fails": [
        s3_error(500, "InternalError"),
        s3_error(503, "ServiceUnavailable"),
        page(502),
        page(504),
    ],
    "the certificate is not trusted": [],
    "the proxy does not let through": [page(407)],
    "the endpoint is no URL": [{"AWS_ENDPOINT_URL_S3": "nonsense"}],
    "what answers is no S3 store, such as a login page": [
        page(200),
        page(404),
        elsewhere,
        s3_object(b"content", etag=None),
    ],
    "nothing answers, or the download broke off or is too slow": [
        {"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1"}
    ],
}
MLFLOW: dict[str, list[Answer | dict[str, str]]] = {
    "the server refuses the name that it is called by": [
        lambda _: (403, {}, b"Invalid Host header - possible DNS rebinding attack detected")
    ],
    "the credentials are missing, wrong or have expired": [
        page(401),
        page(403),
        mlflow_error(403, "PERMISSION_DENIED"),
        mlflow_error(401, "UNAUTHENTICATED"),
    ],
    "the certificate is not trusted": [],
    "the proxy does not let through": [page(407)],
    "the artifact store's client is not installed": [],
    "the server asks to slow down, or fails": [
        page(408),
        page(425),
        page(429),
        page(500),
        page(502),
        page(503),
    ],
    "what answers is no MLflow server of version 3, such as a login page": [
        page(200),
        page(404),
        elsewhere,
        lambda _: (200, {"Content-Type": "application/json"}, b"{}"),
        lambda _: (200, {"Content-Type": "application/json"}, b"[]"),
    ],
    "nothing answers, or the download broke off or is too slow": [
        {"MLFLOW_TRACKING_URI": "http://127.0.0.1:1"}
    ],
}
STORES = (("S3", conditions.S3, S3), ("MLflow", conditions.MLFLOW, MLFLOW))
CASES = [
    pytest.param(store, row, case, id=f"{store}: {row.name} {place}")
    for store, table, cases in STORES
    for row in table
    for place, case in enumerate(cases[row.name])
]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    stores.enter(monkeypatch, {"MLFLOW_DISABLE_TELEMETRY": "true"})

    def enter(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return enter


@pytest.mark.parametrize(("store", "row", "case"), CASES)
def test_a_condition_is_told_for_what_it_is(
    store: str, row: Condition, case: Answer | dict[str, str], environment: Callable[[dict[str, str]], None]
) -> None:
    """Outage or answer, the part that is wrong, and the remedy of the table."""
    uri = "s3://bucket/model.bin" if store == "S3" else "models:/tree@champion"
    answer = case if callable(case) else page(500)
    with lying(answer) as address, stores.within(10):
        environment(KEYS | {"AWS_ENDPOINT_URL_S3": address, "MLFLOW_TRACKING_URI": address})
        environment({} if callable(case) else case)
        with pytest.raises(SourceError) as caught:
            resolve(Source(uri=uri))
    error = caught.value
    assert (error.part, isinstance(error, SourceUnreachable)) == (row.part, not row.answer), str(error)
    assert error.remedy == row.remedy.format(bucket="bucket", key="model.bin"), str(error)


def test_the_stores_own_sentence_is_shown(environment: Callable[[dict[str, str]], None]) -> None:
    """A long one in its beginning and its end."""
    with lying(s3_error(403, "AccessDenied", "Because " + "of this " * 200 + "point.")) as address:
        environment(KEYS | {"AWS_ENDPOINT_URL_S3": address})
        with pytest.raises(SourceUnreachable, match=r"AccessDenied: Because of this .* \.\.\. .* point\."):
            resolve(Source(uri="s3://bucket/model.bin"))


@pytest.mark.parametrize(
    "digest",
    ["SHA256:{}", "{}  model.bin\n", "sha256={}", " {}\n", "{} *model.bin"],
    ids=lambda text: repr(text),
)
def test_a_digest_is_read_as_people_write_it(
    digest: str, environment: Callable[[dict[str, str]], None], regressor_file: Path
) -> None:
    """With its kind, its file's name, or in capitals."""
    content = regressor_file.read_bytes()
    right = hashlib.sha256(content).hexdigest().upper()
    with lying(s3_object(content, digest=digest.format(right).strip())) as address:
        environment(KEYS | {"AWS_ENDPOINT_URL_S3": address})
        assert skdeploy.load("s3://bucket/model.bin").digest == right.lower()


def test_what_is_no_digest_is_refused(environment: Callable[[dict[str, str]], None]) -> None:
    """It is not taken for a wrong one, nor for none."""
    with lying(s3_object(b"content", digest="d41d8cd98f00b204e9800998ecf8427e")) as address:
        environment(KEYS | {"AWS_ENDPOINT_URL_S3": address})
        with pytest.raises(SourceError, match="is no SHA-256"):
            skdeploy.load("s3://bucket/model.bin")


def test_a_body_that_drips_is_given_up(
    environment: Callable[[dict[str, str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, and the whole never would."""
    monkeypatch.setattr(download, "LEAST_SECONDS", 0.5)
    over = threading.Event()

    def drip(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes] | None:
        if request.headers.get("Range") == "bytes=0-0":
            return s3_object(b"c" * 1000)(request)
        request.send_response(200)
        request.send_header("ETag", '"e1"')
        request.send_header("Content-Length", "1000")
        request.end_headers()
        with contextlib.suppress(OSError):
            while not over.is_set():
                request.wfile.write(b"c")
                time.sleep(0.05)
        return None

    with lying(drip) as address, stores.within(10):
        environment(KEYS | {"AWS_ENDPOINT_URL_S3": address})
        with pytest.raises(SourceUnreachable, match="brought less than 64 KB"):
            skdeploy.load("s3://bucket/model.bin")
        over.set()


# Credentials


def sts(status: int, code: str) -> Answer:
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>".encode()
    return lambda _: (status, {"Content-Type": "text/xml"}, body)


STALE = b'{"AccessKeyId":"a","SecretAccessKey":"b","Token":"t","Expiration":"2020-01-01T00:00:00Z"}'
ROLE = {"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/token"}
CHAIN: list[tuple[str, Answer, dict[str, str], str]] = [
    ("none at all", page(500), {}, "No credentials for S3 were found in env"),
    ("a token that STS refuses", sts(400, "InvalidIdentityToken"), ROLE, "InvalidIdentityToken"),
    ("STS is too busy", sts(400, "Throttling"), ROLE, "Throttling"),
    (
        "a token's file that is missing",
        page(500),
        ROLE | {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/none"},
        "No such file",
    ),
    (
        "a token's file that is empty",
        page(500),
        ROLE | {"AWS_WEB_IDENTITY_TOKEN_FILE": "{folder}/empty"},
        "web-identity",
    ),
    (
        "stale ones of a container",
        lambda _: (200, {}, STALE),
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "{address}/c"},
        "container",
    ),
    ("a profile that is not there", page(500), {"AWS_PROFILE": "nobody"}, "AWS_PROFILE"),
    (
        "a process that is not there",
        page(500),
        {"AWS_CONFIG_FILE": "{folder}/config", "AWS_PROFILE": "a"},
        "custom-process",
    ),
]


@pytest.fixture(scope="module")
def cached(regressor_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a store, and a cache with the model that came from there."""
    cache = tmp_path_factory.mktemp("cache") / "cache"
    with lying(s3_object(regressor_file.read_bytes())) as address:
        with pytest.MonkeyPatch.context() as once:
            stores.enter(once, KEYS | {"AWS_ENDPOINT_URL_S3": address})
            skdeploy.load("s3://bucket/model.bin", cache=cache, engine="sklearn")
        yield address, cache


@pytest.mark.parametrize(
    ("answer", "variables", "said"), [pytest.param(*row[1:], id=row[0]) for row in CHAIN]
)
def test_credentials_that_cannot_be_had_are_an_outage(
    answer: Answer,
    variables: dict[str, str],
    said: str,
    environment: Callable[[dict[str, str]], None],
    cached: tuple[str, Path],
    tmp_path: Path,
) -> None:
    """The step of the chain is named, and the last good model serves."""
    (tmp_path / "token").write_text("a-long-token")
    (tmp_path / "empty").write_text("")
    (tmp_path / "config").write_text("[profile a]\ncredential_process=/nonexistent/x\n")
    store, cache = cached
    with lying(answer) as address:
        environment({"AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL_S3": store})
        environment({"AWS_ENDPOINT_URL_STS": address})
        environment({key: value.format(folder=tmp_path, address=address) for key, value in variables.items()})
        with pytest.raises(SourceUnreachable, match=re.escape(said)) as caught:
            resolve(Source(uri="s3://bucket/model.bin"))
        assert caught.value.part == "credentials"
        origin = skdeploy.load("s3://bucket/model.bin", cache=cache, engine="sklearn").origin
    assert origin is not None
    assert origin.from_cache == caught.value.what


def test_where_nobody_is_let_in_a_copy_stands_in_for_a_week(
    environment: Callable[[dict[str, str]], None], regressor_file: Path, tmp_path: Path
) -> None:
    """From when the source last named it; an outage of another kind is bridged however long it lasts."""
    answers = [s3_object(regressor_file.read_bytes())]
    with lying(lambda request: answers[0](request)) as address:
        environment(KEYS | {"AWS_ENDPOINT_URL_S3": address})
        source = Source(uri="s3://bucket/model.bin", cache=tmp_path / "cache")
        load_from(source, engine="sklearn")
        for record in (tmp_path / "cache").glob("*.json"):
            os.utime(record, (time.time() - 8 * 86400,) * 2)
        answers[0] = s3_error(403, "AccessDenied")
        with pytest.raises(SourceUnreachable, match=r"over 7 days \(SKDEPLOY_CACHE_MAX_AGE\) ago"):
            load_from(source, engine="sklearn")
        answers[0] = s3_error(503, "SlowDown")
        assert load_from(source, engine="sklearn").origin is not None
        confirm(source)
        answers[0] = s3_error(403, "AccessDenied")
        origin = load_from(source, engine="sklearn").origin
    assert origin is not None
    assert origin.stale


# The model that MLflow would take


def run_of(*models: dict[str, Any]) -> Answer:
    """A tracking server whose run has these logged models."""

    def answer(request: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if "/runs/get" in request.path:
            outputs = [{"model_id": each["id"], "step": each["step"]} for each in models]
            run = {
                "info": {"run_id": "r", "experiment_id": "0", "artifact_uri": "s3://b/0/r/artifacts"},
                "outputs": {"model_outputs": outputs},
            }
            return 200, {}, json.dumps({"run": run}).encode()
        found = next(each for each in models if request.path.endswith(each["id"]))
        if found.get("deleted"):
            return mlflow_error(404, "RESOURCE_DOES_NOT_EXIST")(request)  # type: ignore[return-value]
        info = {
            "model_id": found["id"],
            "experiment_id": "0",
            "name": found.get("name", "model"),
            "artifact_uri": f"s3://b/{found['id']}",
            "creation_timestamp_ms": found["created"],
            "last_updated_timestamp_ms": found["created"],
            "status": "LOGGED_MODEL_READY",
        }
        return 200, {}, json.dumps({"model": {"info": info}}).encode()

    return answer


@pytest.mark.parametrize(
    ("models", "taken"),
    [
        ([{"id": "m-1", "step": 1, "created": 1}, {"id": "m-2", "step": 2, "created": 2}], "m-2"),
        ([{"id": "m-1", "step": 0, "created": 5}, {"id": "m-2", "step": 0, "created": 3}], "m-1"),
        (
            [{"id": "m-1", "step": 0, "created": 1}, {"id": "m-2", "step": 9, "created": 2, "deleted": True}],
            "m-1",
        ),
        (
            [{"id": "m-1", "step": 0, "created": 1}, {"id": "m-2", "step": 9, "created": 2, "name": "other"}],
            "m-1",
        ),
    ],
    ids=["the last step", "the last of a step", "not a deleted one", "not one of another name"],
)
def test_of_several_models_of_a_run_the_last_is_taken(
    models: list[dict[str, Any]], taken: str, environment: Callable[[dict[str, str]], None]
) -> None:
    """As mlflow.sklearn.load_model and register_model take it."""
    with lying(run_of(*models)) as address:
        environment({"MLFLOW_TRACKING_URI": address})
        assert resolve(Source(uri="runs:/r/model", allow_unverified=True)).token == f"s3://b/{taken}"


def test_artifacts_on_the_servers_own_disk_are_told(environment: Callable[[dict[str, str]], None]) -> None:
    """Which this machine does not have: that is no missing training."""

    def answer(_: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        version = {"name": "tree", "version": "1", "tags": [{"key": DIGEST_TAG, "value": "a" * 64}]}
        return (
            200,
            {},
            json.dumps({"model_version": version, "artifact_uri": "/srv/mlruns/1/artifacts"}).encode(),
        )

    with lying(answer) as address:
        environment({"MLFLOW_TRACKING_URI": address})
        with pytest.raises(SourceUnreachable, match=r"on the tracking server's own disk.*--serve-artifacts"):
            skdeploy.load("models:/tree/1")


# Secrets

# Letters that stand in no message of ours, between what an address is parsed by.
PASSWORD = st.lists(
    st.sampled_from(["ZqZq", "XwXw", "@", "/", ":", "?", "#", "%40", " ", "'", "[", "&", "é"]), min_size=1
)


@settings(max_examples=200, deadline=None)
@given(password=PASSWORD.map("".join))
def test_no_part_of_a_password_is_in_a_text(password: str) -> None:
    """Whatever it is made of, if no space or quote cuts the address."""
    text = f"GET http://user:{password}@host:5000/api/2.0?a=1 failed"
    if not re.search(r"[\s'\"<>]", password):
        assert not re.search("Zq|Xw|user", redacted(text)), redacted(text)


@pytest.mark.parametrize(
    "password", ["S3cr@etPart", "S3cr/etPart", "S3cr etPart", "S3cr'etPart", "S3cr?etPart", "S3cr#etPart"]
)
def test_no_part_of_a_password_is_in_an_error(
    password: str, environment: Callable[[dict[str, str]], None]
) -> None:
    """Of an address in the environment, whatever its clients make of it."""
    with lying(page(503)) as address:
        odd = address.replace("://", f"://user:{password}@")
        environment(KEYS | {"AWS_ENDPOINT_URL_S3": odd, "MLFLOW_TRACKING_URI": odd})
        for uri in ("models:/a@b", "s3://bucket/model.bin"):
            with pytest.raises(SourceError) as caught:
                resolve(Source(uri=uri))
            assert not re.search("S3cr|etPart", str(caught.value)), str(caught.value)


# The docs


def tables() -> str:
    """The tables of docs/sources.md."""
    parts = []
    for store, table, _ in STORES:
        rows = [
            f"| {row.name} | {'answer' if row.answer else 'outage'} | {row.part} | {row.remedy} |".replace(
                "{", "<"
            ).replace("}", ">")
            for row in table
        ]
        parts.append(
            "\n".join(
                [f"### {store}", "| what | is an | part | remedy |", "| --- | --- | --- | --- |", *rows]
            )
        )
    return "\n\n".join(parts)


def test_the_docs_have_the_tables() -> None:
    """docs/sources.md has every condition with its remedy; all are tried here but those without a case."""
    assert tables() in (ROOT / "docs" / "sources.md").read_text()
    untried = {row.name for _, table, cases in STORES for row in table if not cases[row.name]}
    assert untried == {"the certificate is not trusted", "the artifact store's client is not installed"}


def test_a_certificate_that_is_not_trusted_is_told() -> None:
    """By what botocore and requests raise for it."""
    for table, said in (
        (conditions.S3, "SSLError: SSL validation failed: CERTIFICATE_VERIFY_FAILED"),
        (
            conditions.MLFLOW,
            "MlflowException: SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]",
        ),
    ):
        assert conditions.error_of(table, said, "It", bucket="", key="").part == "certificate"
    missing = conditions.error_of(conditions.MLFLOW, "ModuleNotFoundError: No module named 'google'", "It")
    assert missing.part == "artifact store"


if __name__ == "__main__":
    print(tables())
