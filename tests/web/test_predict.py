from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from skdeploy.errors import SettingsError
from skdeploy.model import Model
from skdeploy.schema import Table
from skdeploy.scoring import Scorer
from tests.web.ways import client_of

RECORD = {"size": 11.5, "kind": "elm", "age": 3}


def post(client: FlaskClient, body: Any, query: str = "", **headers: str) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post(f"/predict{query}", data=data, headers={"Content-Type": "application/json"} | headers)


def expected(model: Model, *ages: int) -> list[float]:
    return (
        Scorer(model).predict(Table([[11.5] * len(ages), ["elm"] * len(ages), list(ages)], len(ages))).values
    )


def test_a_record_gets_a_prediction(regressor: Model) -> None:
    """One object in, one prediction out, with the model that made it."""
    answer = post(client_of(regressor), RECORD)
    assert answer.status_code == 200
    assert answer.json == {
        "prediction": pytest.approx(expected(regressor, 3)[0]),
        "model": {"name": "tree", "version": regressor.passport.version},
    }


def test_a_list_gets_predictions_in_order(regressor: Model) -> None:
    """An array in, bare predictions out, in the same order."""
    answer = post(client_of(regressor), [RECORD | {"age": age} for age in (5, 1, 8)])
    assert answer.json["predictions"] == pytest.approx(expected(regressor, 5, 1, 8))


def test_a_key_comes_back(regressor: Model) -> None:
    """An id passes through, for one record and for those of a list that have one."""
    client = client_of(regressor)
    assert post(client, RECORD | {"id": "f-1"}).json["id"] == "f-1"
    items = post(client, [RECORD | {"id": 7}, RECORD]).json["predictions"]
    assert [(item["index"], item.get("id")) for item in items] == [(0, 7), (1, None)]
    assert "id" not in items[1]


def test_the_key_has_the_name_that_is_set(regressor: Model) -> None:
    """SKDEPLOY_ID_FIELD names the key; a column's name is refused for it."""
    assert post(client_of(regressor, SKDEPLOY_ID_FIELD="key"), RECORD | {"key": 1}).json["key"] == 1
    for taken in ("age", "prediction"):
        with pytest.raises(SettingsError, match=f"SKDEPLOY_ID_FIELD='{taken}'"):
            client_of(regressor, SKDEPLOY_ID_FIELD=taken)


def test_probabilities_are_given_on_request(classifier: Model) -> None:
    """?proba=true adds the probability per class; a list then holds objects."""
    client = client_of(classifier)
    assert "probabilities" not in post(client, RECORD).json
    one = post(client, RECORD, "?proba=true").json
    assert one["prediction"] == "young"
    assert one["probabilities"]["young"] > 0.5
    many = post(client, [RECORD, RECORD], "?proba=true").json["predictions"]
    assert many[1] == {"index": 1, "prediction": "young", "probabilities": one["probabilities"]}


def test_a_regressor_has_no_probabilities(regressor: Model) -> None:
    """Asking for what the model cannot say is the query's fault."""
    answer = post(client_of(regressor), RECORD, "?proba=true")
    assert answer.status_code == 400
    assert "does not give probabilities" in answer.json["detail"]


@pytest.mark.parametrize(
    "query", ["?proba=yes", "?output=proba", "?errors=ignore", "?proba=true&proba=true", "?proba"]
)
def test_a_query_that_is_not_understood_is_refused(query: str, classifier: Model) -> None:
    """No parameter is ignored silently."""
    answer = post(client_of(classifier), RECORD, query)
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")
    assert answer.json["type"] == "urn:skdeploy:problem:bad-query"


def test_bad_cells_are_listed(regressor: Model) -> None:
    """422 with every bad cell: record, column, expected, got."""
    answer = post(client_of(regressor), [RECORD, RECORD | {"age": 2.9, "kind": "fir"}])
    assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
    assert answer.json == {
        "type": "urn:skdeploy:problem:invalid-record",
        "title": "Invalid record",
        "status": 422,
        "detail": "2 bad cells in 1 record",
        "errors": [
            {
                "record": 1,
                "column": "kind",
                "code": "category",
                "expected": 'string, one of "ash", "elm", "oak"',
                "got": 'string "fir" (not seen in training)',
            },
            {"record": 1, "column": "age", "code": "type", "expected": "integer", "got": "number 2.9"},
        ],
    }


def test_partial_answers_the_good_ones(regressor: Model) -> None:
    """?errors=partial: predictions and problems by index, in order, with their keys."""
    body = [RECORD, {"id": "x"}, RECORD | {"age": 4, "id": "y"}]
    answer = post(client_of(regressor), body, "?errors=partial")
    assert answer.status_code == 200
    first, second, third = answer.json["predictions"]
    assert first == {"index": 0, "prediction": pytest.approx(expected(regressor, 3)[0])}
    assert (second["index"], second["id"], len(second["error"]["errors"])) == (1, "x", 3)
    assert (third["index"], third["id"]) == (2, "y")
    assert third["prediction"] == pytest.approx(expected(regressor, 4)[0])


def test_partial_counts_the_bad_ones_past_those_that_it_describes(regressor: Model) -> None:
    """Bad records past 100 bad cells have no item, and are reported as runs of indices."""
    body: list[Any] = [{}] * 40 + [RECORD] + [{"id": "x"}] * 3 + [RECORD] + [7]
    answer = post(client_of(regressor), body, "?errors=partial").json
    assert [item["index"] for item in answer["predictions"]] == [*range(34), 40, 44]
    last = answer["predictions"][33]["error"]
    assert len(last["errors"]) == 1
    assert last["detail"] == "3 bad cells in 1 record; only the first cell is listed"
    assert answer["more_errors"] == {"count": 10, "indices": [[34, 39], [41, 43], [45, 45]]}
    assert "more_errors" not in post(client_of(regressor), [{}, RECORD], "?errors=partial").json


@pytest.mark.parametrize("query", ["", "?errors=partial"])
@pytest.mark.parametrize("filler", [{}, 1, {"\x01" * 80: "\x01" * 90}, {"id": "\x01" * 90}])
def test_an_answer_to_a_bad_body_is_bounded(regressor: Model, filler: Any, query: str) -> None:
    """Ten times the body, or 64 KB, whichever is more."""
    for count in (1, 100, 1000):
        body = json.dumps([filler] * count + [RECORD]).encode()
        answer = post(client_of(regressor), body, query)
        assert answer.status_code == (200 if query else 422)
        assert len(answer.data) <= max(10 * len(body), 64 * 1024)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"[{}]", b" [ ] ", b'{"id": 7}'])
def test_what_lacks_records_or_columns_does_not_fit(regressor: Model, body: bytes) -> None:
    """An empty list, and records without columns, are JSON of the right shape: 422."""
    assert post(client_of(regressor), body).status_code == 422


@pytest.mark.parametrize("body", [b"", b" ", b'{"instances": []}', b"7", b"null"])
def test_what_is_no_record_is_malformed(regressor: Model, body: bytes) -> None:
    """Nothing, a scalar and another protocol's envelope are neither a record nor a list: 400."""
    assert post(client_of(regressor), body).status_code == 400


def test_partial_with_nothing_good_is_a_refusal(regressor: Model) -> None:
    """If all records are bad there is nothing partial about it: 422."""
    assert post(client_of(regressor), [{}, 3], "?errors=partial").status_code == 422


class PoisonEngine:
    """Has no answer for the age 13."""

    name = "poison"

    def predict(self, table: Table) -> Any:
        return np.where(np.array(table.cells[2]) == 13, np.nan, 1.0)

    def predict_proba(self, table: Table) -> Any:
        raise NotImplementedError

    def predict_both(self, table: Table) -> Any:
        raise NotImplementedError


def test_a_record_without_an_answer_is_our_fault_alone(regressor: Model) -> None:
    """A valid record that cannot be scored is a 500 that says which; partial keeps the others."""
    client = client_of(replace(regressor, engine=PoisonEngine()))
    body = [RECORD, RECORD | {"age": 13}]
    strict = post(client, body)
    assert (strict.status_code, strict.mimetype) == (500, "application/problem+json")
    assert [error["record"] for error in strict.json["errors"]] == [1]
    partial = post(client, body, "?errors=partial")
    assert partial.status_code == 200
    assert partial.json["predictions"][0] == {"index": 0, "prediction": 1.0}
    assert partial.json["predictions"][1]["error"]["status"] == 500
    assert post(client, [body[1]], "?errors=partial").status_code == 500


def test_partial_with_all_bad_in_different_ways_is_a_refusal(regressor: Model) -> None:
    """One record that does not fit and one without an answer: nothing is answered, so it is a 422."""
    client = client_of(replace(regressor, engine=PoisonEngine()))
    answer = post(client, [{}, RECORD | {"age": 13}], "?errors=partial")
    assert answer.status_code == 422


class BrokenEngine(PoisonEngine):
    """Fails on everything, with a secret in its message."""

    def predict(self, table: Table) -> Any:
        raise RuntimeError("secret path")


def test_an_internal_error_says_nothing_of_its_inside(
    regressor: Model, caplog: pytest.LogCaptureFixture
) -> None:
    """500 as problem+json without detail; the traceback is in the log."""
    answer = post(client_of(replace(regressor, engine=BrokenEngine())), RECORD)
    assert (answer.status_code, answer.mimetype) == (500, "application/problem+json")
    assert answer.json == {
        "type": "urn:skdeploy:problem:internal-error",
        "title": "Internal error",
        "status": 500,
    }
    assert "secret path" in caplog.text


def test_unknown_columns_follow_the_setting(regressor: Model) -> None:
    """Refused by default; SKDEPLOY_UNKNOWN_COLUMNS=ignore drops them."""
    body = RECORD | {"colour": "red"}
    assert post(client_of(regressor), body).status_code == 422
    assert post(client_of(regressor, SKDEPLOY_UNKNOWN_COLUMNS="ignore"), body).status_code == 200


def test_minimal_exposure_names_no_category(regressor: Model) -> None:
    """SKDEPLOY_EXPOSE_SCHEMA=minimal keeps categories out of messages and of GET /."""
    client = client_of(regressor, SKDEPLOY_EXPOSE_SCHEMA="minimal")
    assert "ash" not in post(client, RECORD | {"kind": "fir"}).text
    assert "ash" not in client.get("/").text


def test_a_model_column_named_id_is_a_column(tmp_path: Any) -> None:
    """With a column "id" nothing passes through unless SKDEPLOY_ID_FIELD says so."""
    import pandas as pd
    from sklearn.linear_model import LinearRegression

    import skdeploy

    X = pd.DataFrame({"id": [1.0, 2.0, 3.0], "b": [2.0, 1.0, 0.0]})
    skdeploy.save(LinearRegression().fit(X, X["id"]), X, X["id"], tmp_path / "m.bin")
    client = client_of(skdeploy.load(tmp_path / "m.bin"))
    answer = post(client, {"id": 2.0, "b": 1.0})
    assert "id" not in answer.json
    assert answer.json["prediction"] == pytest.approx(2.0)
