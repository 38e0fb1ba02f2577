"""The OpenAPI 3.1 document of a service, made from what its model says of itself."""

from __future__ import annotations

from typing import Any

import msgspec

from skdeploy.errors import CELL_CODES
from skdeploy.web.answers import REQUEST_ID, RESPONSES, answers

_INT64 = {"minimum": -(2**63), "maximum": 2**63 - 1}
_LONG = "Whole numbers beyond 2^53 only with a fraction or an exponent: a double does not hold all of them."
_PROBLEM = {"$ref": "#/components/schemas/Problem"}


class Surface(msgspec.Struct, frozen=True, kw_only=True):
    """What the service has beside the model.

    max_records      the most records of one request
    ignore_unknown   whether columns that the model does not know are dropped, not refused
    secured          whether API keys are asked for
    metrics          whether there is /metrics
    admin            whether there is POST /admin/reload
    """

    max_records: int
    ignore_unknown: bool = False
    secured: bool = False
    metrics: bool = False
    admin: bool = False


def openapi(about: dict[str, Any], surface: Surface) -> dict[str, Any]:
    """The document, as plain values; `about` is what `GET /` answers, golden records are in neither."""
    model, output = about["model"], msgspec.to_builtins(about["output"])
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": model["name"],
            "version": model["version"],
            "description": "Predictions of a fitted model over HTTP.",
        },
        "servers": [{"url": "."}],
        "paths": _paths(output, surface),
        "components": {
            "schemas": _schemas(about, output, surface),
            "responses": RESPONSES,
        },
    }
    schemes: dict[str, Any] = {}
    if surface.secured:
        schemes |= {
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "bearer": {"type": "http", "scheme": "bearer"},
            "basic": {"type": "http", "scheme": "basic", "description": "The key is the password."},
        }
        document["security"] = [{"apiKey": []}, {"bearer": []}, {"basic": []}]
    if surface.admin:
        schemes["admin"] = {"type": "http", "scheme": "bearer", "description": "SKDEPLOY_ADMIN_TOKEN"}
    if schemes:
        document["components"]["securitySchemes"] = schemes
    return document


def _paths(output: dict[str, Any], surface: Surface) -> dict[str, Any]:
    guard = ["401"] if surface.secured else []
    opened: dict[str, Any] = {"security": []} if surface.secured else {}
    text = {"type": "string"}
    about = {"application/json": {"schema": {"type": "object"}}, "text/html": {"schema": text}}
    document = {"application/json": {"schema": {"type": "object"}}}
    status = {"application/json": {"schema": {"$ref": "#/components/schemas/Status"}}}
    paths = {
        "/predict": {"post": _predict(output, guard)},
        "/": {"get": _get("about", "What this is: a page for browsers, JSON for programs", about, guard)},
        "/health": {"get": _get("health", "Whether the process answers", status, []) | opened},
        "/ready": {"get": _get("ready", "Whether it can predict", status, ["503"]) | opened},
        "/openapi.json": {"get": _get("openapi", "This document", document, guard)},
        "/docs": {"get": _get("docs", "This document, to read", {"text/html": {"schema": text}}, guard)},
    }
    paths["/"]["get"]["responses"]["200"]["headers"] = {"Vary": {"schema": text}, **REQUEST_ID}
    if surface.metrics:
        plain = {"text/plain": {"schema": text}}
        paths["/metrics"] = {"get": _get("metrics", "Metrics for Prometheus", plain, guard)}
    if surface.admin:
        target = {"type": "object", "required": ["target"], "properties": {"target": {}}}
        paths["/admin/reload"] = {
            "post": {
                "operationId": "reload",
                "summary": "Look for another model at once",
                "security": [{"admin": []}],
                "responses": {
                    "202": {
                        "description": "What the source names now",
                        "headers": REQUEST_ID,
                        "content": {"application/json": {"schema": target}},
                    }
                }
                | answers(["401", "502"]),
            }
        }
    return paths


def _get(name: str, summary: str, content: dict[str, Any], refusals: list[str]) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "responses": {"200": {"description": summary, "headers": REQUEST_ID, "content": content}}
        | answers(refusals),
    }


def _predict(output: dict[str, Any], guard: list[str]) -> dict[str, Any]:
    parameters = [
        _parameter("errors", ["partial"], "Good records of a list are answered although others are bad")
    ]
    if output["probabilities"]:
        parameters.append(
            _parameter("proba", ["true", "false"], "Give the probability per class beside the label")
        )
    return {
        "operationId": "predict",
        "summary": "Predict for a record, or for a list of records",
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}},
        },
        "responses": {
            "200": {
                "description": "A prediction, or one per record",
                "headers": REQUEST_ID,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
            }
        }
        | answers(["400", *guard, "408", "413", "415", "422", "500", "503"]),
    }


def _parameter(name: str, values: list[str], description: str) -> dict[str, Any]:
    schema = {"type": "string", "enum": values}
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _schemas(about: dict[str, Any], output: dict[str, Any], surface: Surface) -> dict[str, Any]:
    several = {"type": "array", "minItems": 1, "maxItems": surface.max_records}
    stamp = {"type": "object", "required": ["name", "version"]}
    prediction = _prediction(output)
    item: dict[str, Any] = {"prediction": prediction, "error": _PROBLEM, "index": {"type": "integer"}}
    if output["probabilities"]:
        item["probabilities"] = {"type": ["object", "array"]}
    key = about["id_field"]
    if key is not None:
        item[key] = _identifier()
    one = {"type": "object", "required": ["prediction", "model"], "properties": item | {"model": stamp}}
    listed = {"type": "object", "required": ["index"], "properties": item}
    many = {
        "type": "object",
        "required": ["predictions", "model"],
        "properties": {
            "predictions": {"type": "array", "items": {"anyOf": [listed, prediction]}},
            "more_errors": _more_errors(),
            "model": stamp,
        },
    }
    record = {"$ref": "#/components/schemas/Record"}
    return {
        "Record": _record(about["schema"], key, surface.ignore_unknown),
        "Request": {"oneOf": [record, several | {"items": record}]},
        "Answer": {"oneOf": [one, many]},
        "Problem": _problem_schema(),
        "Status": {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}},
    }


def _more_errors() -> dict[str, Any]:
    index = {"type": "integer", "minimum": 0}
    run = {"type": "array", "items": index, "minItems": 2, "maxItems": 2}
    return {
        "type": "object",
        "description": "Only with errors=partial: the bad records past those that are described",
        "required": ["count", "indices"],
        "properties": {
            "count": {"type": "integer", "minimum": 1},
            "indices": {
                "type": "array",
                "description": "The first and the last index of each run of such records",
                "items": run,
            },
        },
    }


def _record(schema: dict[str, Any], key: str | None, ignore_unknown: bool) -> dict[str, Any]:
    """The record's schema, with every bound that the service holds to."""
    columns = {}
    for name, column in schema["properties"].items():
        columns[name] = column | (_INT64 if column.get("format") == "int64" else {})
        if "number" in column["type"]:
            columns[name]["description"] = " ".join(filter(None, [column.get("description"), _LONG]))
    if key is not None:
        columns[key] = _identifier()
    return schema | {"properties": columns, "additionalProperties": ignore_unknown}


def _identifier() -> dict[str, Any]:
    return {"type": ["string", "integer", "null"], "description": "Passed through", **_INT64}


def _prediction(output: dict[str, Any]) -> dict[str, Any]:
    words = {"title": output["title"]} if output["title"] else {}
    if output["unit"]:
        words["description"] = f"In {output['unit']}"
    return words | _type_of_prediction(output)


def _type_of_prediction(output: dict[str, Any]) -> dict[str, Any]:
    if output["names"]:
        return {"type": "object", "required": output["names"]}
    if output["kind"] == "classification" and output["classes"]:
        return {"enum": output["classes"]}
    return {"type": "number"} if output["kind"] == "regression" else {}


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    error = {
        "type": "object",
        "properties": {
            "record": {"type": "integer"},
            "column": {"type": ["string", "null"]},
            "code": {"type": "string", "enum": list(CELL_CODES)},
            "expected": text,
            "got": text,
            "reason": text,
        },
    }
    return {
        "type": "object",
        "required": ["type", "title", "status"],
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "errors": {"type": "array", "items": error},
        },
    }
