"""The refusals of the service as OpenAPI responses: each problem type with an example."""

from __future__ import annotations

from typing import Any

from skdeploy.errors import Rejection, count_cells
from skdeploy.web.problems import invalid_record, problem, unscorable

_CELL = Rejection(0, "a column", "type", "number", 'string "ten"')

# Status -> what it means, and an example per type of problem.
_PROBLEMS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "400": (
        "The body is no JSON, or the query is not understood",
        [
            problem(400, "malformed-body", "Malformed body", detail="The body is empty."),
            problem(400, "bad-query", "Bad query", detail="proba=1 is not understood."),
        ],
    ),
    "401": ("No key, or a wrong one", [problem(401, "unauthorized", "Unauthorized")]),
    "404": ("There is no such path", [problem(404, "not-found", "Not Found")]),
    "408": ("The body did not arrive in time", [problem(408, "request-timeout", "Request timeout")]),
    "413": (
        "More than one request may hold",
        [
            problem(413, "too-large", "Body too large"),
            problem(413, "too-many-records", "Too many records"),
        ],
    ),
    "415": (
        "The body is not said to be JSON",
        [problem(415, "unsupported-media-type", "Unsupported media type")],
    ),
    "422": (
        "Records do not fit the model; up to 100 bad cells are listed, and the others counted",
        [invalid_record([_CELL], count_cells([_CELL]))],
    ),
    "500": (
        "The model has no prediction, or something broke",
        [unscorable({0: "the pipeline raises ValueError"}), problem(500, "internal-error", "Internal error")],
    ),
    "502": ("The source has no model", [problem(502, "source-unavailable", "The source has no model")]),
    "503": (
        "Not now",
        [
            problem(503, "overloaded", "Overloaded"),
            problem(503, "timed-out", "Timed out"),
            problem(503, "not-ready", "Not ready"),
        ],
    ),
}


# Status -> the headers that come with it, and what they hold.
_HEADERS = {
    "401": {"WWW-Authenticate": "Basic and Bearer; a key is the password of the one, the token of the other"},
    "503": {"Retry-After": "Seconds; not if the service is about to end"},
}
REQUEST_ID = {
    "X-Request-ID": {
        "description": "What the request is called in the log: the header of that name, if it was sent",
        "schema": {"type": "string"},
    }
}


def _response(status: str, meaning: str, examples: list[dict[str, Any]]) -> dict[str, Any]:
    named = {one["type"].rsplit(":", 1)[1]: {"value": one} for one in examples}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": named}
    headers = {
        name: {"description": holds, "schema": {"type": "string"}}
        for name, holds in _HEADERS.get(status, {}).items()
    }
    return {
        "description": meaning,
        "headers": headers | REQUEST_ID,
        "content": {"application/problem+json": content},
    }


RESPONSES = {status: _response(status, *meaning) for status, meaning in _PROBLEMS.items()}


def answers(statuses: list[str]) -> dict[str, Any]:
    """References to the responses of these statuses."""
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}
