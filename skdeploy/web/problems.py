"""Exceptions -> RFC 9457 problem documents: one shape for every error of the service."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec
from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from skdeploy.errors import InvalidRecord, MalformedBody, Rejection, TooManyRecords

_log = logging.getLogger(__name__)

HEADERS = [("Content-Type", "application/problem+json")]
_TYPE = "urn:skdeploy:problem:"


class HttpProblem(Exception):
    """A refusal that only HTTP knows: media types, limits, queries.

    slug      the last part of the problem's type, such as "too-large"
    headers   more of the answer's
    """

    def __init__(
        self, status: int, slug: str, title: str, detail: str, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.status, self.slug, self.title, self.detail = status, slug, title, detail
        self.headers = dict(headers)


def problem(status: int, slug: str, title: str, **members: Any) -> dict[str, Any]:
    """A problem document; `members` that are None are left out."""
    document = {"type": _TYPE + slug, "title": title, "status": status, **members}
    return {key: value for key, value in document.items() if value is not None}


def invalid_record(cells: Sequence[Rejection], detail: str | None = None) -> dict[str, Any]:
    """The document for records that do not fit, their bad cells listed."""
    errors = []
    for cell in cells:
        expected, got = cell.words
        errors.append(asdict(cell) | {"expected": expected, "got": got})
    return problem(422, "invalid-record", "Invalid record", detail=detail, errors=errors)


def unscorable(reasons: Mapping[int, str]) -> dict[str, Any]:
    """The document for valid records that the pipeline has no answer for."""
    return problem(
        500,
        "unscorable-record",
        "The model has no prediction for this record",
        detail="The record is valid, but " + "; ".join(dict.fromkeys(reasons.values())) + ".",
        errors=[{"record": index, "reason": reason} for index, reason in reasons.items()],
    )


def describe_exception(error: Exception) -> tuple[dict[str, Any], dict[str, str]]:
    """The problem document and extra headers for any exception; what is ours is logged."""
    if isinstance(error, HttpProblem):
        return problem(error.status, error.slug, error.title, detail=error.detail), error.headers
    if isinstance(error, MalformedBody):
        return problem(400, "malformed-body", "Malformed body", detail=str(error)), {}
    if isinstance(error, TooManyRecords):
        detail = f"{error} (SKDEPLOY_MAX_RECORDS). Send them in several requests."
        return problem(413, "too-many-records", "Too many records", detail=detail), {}
    if isinstance(error, InvalidRecord):
        return invalid_record(error.cells, str(error)), {}
    if isinstance(error, HTTPException) and error.code is not None and error.code < 500:
        return _from_werkzeug(error)
    _log.exception("Internal error", exc_info=error)
    return problem(500, "internal-error", "Internal error"), {}


def respond(error: Exception) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body that answer an exception."""
    document, headers = describe_exception(error)
    return document["status"], [*HEADERS, *headers.items()], msgspec.json.encode(document)


# The client has left before its answer: nobody reads it, and it is counted as nginx counts it.
CLIENT_GONE: tuple[int, list[tuple[str, str]], bytes] = (499, [], b"")
INTERNAL = (500, HEADERS, msgspec.json.encode(problem(500, "internal-error", "Internal error")))


def install(app: Flask) -> None:
    """Let every exception of `app` be answered by a problem document."""

    def handle(error: Exception) -> Response:
        status, headers, body = respond(error)
        return Response(body, status, headers)

    app.register_error_handler(Exception, handle)


def _from_werkzeug(error: HTTPException) -> tuple[dict[str, Any], dict[str, str]]:
    slug = error.name.lower().replace(" ", "-")
    headers = {name: value for name, value in error.get_headers() if name == "Allow"}
    detail = f"Allowed here: {headers['Allow']}." if "Allow" in headers else None
    return problem(error.code or 400, slug, error.name, detail=detail), headers
