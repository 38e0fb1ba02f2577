from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from skdeploy.api_keys import line_for, new_key
from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.web import create_app
from skdeploy.web.serving import ONLY


def document_of(model: Model, **settings: str) -> dict[str, Any]:
    answer = create_app(model, WebSettings.from_env(settings)).test_client().get("/openapi.json")
    assert answer.content_type == "application/json"
    return dict(answer.get_json())


def resolved(document: dict[str, Any], name: str) -> Any:
    """A validator of one of the document's schemas."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema_rs.validator_for(schema)


def test_the_record_is_the_models_own(regressor: Model) -> None:
    """Columns, types, nulls, and as an enum what the pipeline refuses otherwise."""
    columns = document_of(regressor)["components"]["schemas"]["Record"]["properties"]
    assert columns["size"]["type"] == ["number", "null"]
    assert columns["kind"]["enum"] == ["ash", "elm", "oak"]
    assert columns["age"]["maximum"] == 2**63 - 1


def test_minimal_hides_what_training_data_showed(regressor: Model) -> None:
    """SKDEPLOY_EXPOSE_SCHEMA=minimal: no categories, ranges or examples of columns."""
    record = document_of(regressor, SKDEPLOY_EXPOSE_SCHEMA="minimal")["components"]["schemas"]["Record"]
    assert not {"enum", "examples", "x-range-seen"} & {
        key for one in record["properties"].values() for key in one
    }


def test_proba_is_a_parameter_where_the_model_has_it(regressor: Model, classifier: Model) -> None:
    """A regression model's document does not offer probabilities."""
    for model, names in ((regressor, ["errors"]), (classifier, ["errors", "proba"])):
        operation = document_of(model)["paths"]["/predict"]["post"]
        assert [one["name"] for one in operation["parameters"]] == names


def test_answers_are_what_the_document_says(classifier: Model) -> None:
    """Single, list, ids, probabilities, partial: each fits the schema Answer; refusals fit Problem."""
    client = create_app(classifier, WebSettings.from_env({})).test_client()
    document = document_of(classifier)
    good = {"size": 1.5, "kind": "elm", "age": 3}
    for query in ("", "?proba=true", "?errors=partial"):
        for body in (good, [good, good], [good | {"id": "a"}, good], {**good, "age": 2.5}):
            answer = client.post("/predict" + query, json=body)
            name = "Answer" if answer.status_code == 200 else "Problem"
            resolved(document, name).validate(answer.json)
            assert str(answer.status_code) in document["paths"]["/predict"]["post"]["responses"]


def test_every_refusal_is_described(regressor: Model, tmp_path: Path) -> None:
    """With keys: 401 with its challenge, three ways to send one; 503 with Retry-After and all its types."""
    (tmp_path / "keys").write_text(line_for("backend", new_key()))
    (tmp_path / "keys").chmod(0o600)
    app = create_app(regressor, WebSettings.from_env({"SKDEPLOY_API_KEYS_FILE": str(tmp_path / "keys")}))
    with app.test_request_context("/openapi.json"):
        document = app.view_functions["document"]().get_json()  # type: ignore[union-attr]
    assert set(document["components"]["securitySchemes"]) == {"apiKey", "bearer", "basic"}
    refusals = document["components"]["responses"]
    assert "WWW-Authenticate" in refusals["401"]["headers"]
    assert "Retry-After" in refusals["503"]["headers"]
    examples = refusals["503"]["content"]["application/problem+json"]["examples"]
    assert set(examples) == {"overloaded", "timed-out", "not-ready"}
    predict = document["paths"]["/predict"]["post"]["responses"]
    assert set(predict) == {"200", "400", "401", "408", "413", "415", "422", "500", "503"}
    assert document["paths"]["/health"]["get"]["security"] == []


def test_the_document_follows_the_model(regressor: Model, classifier: Model) -> None:
    """After a swap it is the other model's."""
    app = create_app(regressor, WebSettings.from_env({}))
    client = app.test_client()
    assert client.get("/openapi.json").get_json()["info"]["version"] == regressor.passport.version
    app.extensions["skdeploy"].models[ONLY].swap(classifier)
    assert client.get("/openapi.json").get_json()["info"]["version"] == classifier.passport.version


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("application/json, text/html;q=0.5", "application/json"),
    ],
)
def test_the_index_is_a_page_for_browsers(regressor: Model, accept: str, kind: str) -> None:
    """curl and programs get JSON, a browser the page; caches are told."""
    answer = (
        create_app(regressor, WebSettings.from_env({})).test_client().get("/", headers={"Accept": accept})
    )
    assert (answer.mimetype, answer.headers["Vary"]) == (kind, "Accept")


def test_pages_need_nothing_from_elsewhere(regressor: Model) -> None:
    """Every file is the service's own, the policy allows no other, and all are small."""
    client = create_app(regressor, WebSettings.from_env({})).test_client()
    size = 0
    for path in ("/docs", *(f"/static/{name}" for name in ("style.css", "page.js", "docs.js", "common.js"))):
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "//" not in answer.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")
        size += len(answer.data)
    assert size < 60_000
    assert client.get("/static/app.py").status_code == 404
