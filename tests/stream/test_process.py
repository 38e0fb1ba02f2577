"""A poll of events -> predictions and dead letters; no broker."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

import skdeploy
from skdeploy.engines import Engine
from skdeploy.errors import PredictionFailed, SettingsError
from skdeploy.model import Model
from skdeploy.schema import Table
from skdeploy.scoring import Scorer
from skdeploy.stream import Event, Position, Processed, Processor, process

TREE = {"size": 10.5, "kind": "ash", "age": 3}
CLOUD = {"specversion": "1.0", "id": "1", "source": "/wood", "type": "tree.seen"}
STRUCTURED = [("Content-Type", b"application/cloudevents+json; charset=utf-8")]


def event(value: Any, number: int = 0, **more: Any) -> Event:
    """An event of the topic `trees`; what is not bytes is made JSON."""
    body = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    return Event(body, Position("trees", 2, number), **more)


def documents(processed: Processed) -> list[dict[str, Any]]:
    """The predictions' values."""
    return [json.loads(prediction.value) for prediction in processed.predictions]


def only_reason(model: Model, value: Any, **more: Any) -> tuple[str, str]:
    """Why the only event is a dead letter."""
    processed = process(model, [event(value, **more)])
    assert not processed.predictions
    [letter] = processed.dead_letters
    return letter.reason, letter.detail


def test_a_prediction_names_itself_its_event_and_its_model(regressor: Model) -> None:
    """Its id is the deployment's name and where the event came from; digest and version stand apart."""
    sent = event(TREE, 41, key=b"k", headers=[("trace", b"t")], timestamp=1_385_000_000_000)
    [prediction] = process(regressor, [sent], "wood").predictions
    assert prediction.event is sent
    expected = Scorer(regressor).predict(Table([[10.5], ["ash"], [3]], 1)).values[0]
    assert json.loads(prediction.value) == {
        "prediction_id": "wood/trees/2/41",
        "prediction": expected,
        "model": {"name": "tree", "version": regressor.passport.version, "sha256": regressor.digest},
    }


def test_the_same_events_make_the_same_bytes(regressor: Model) -> None:
    """Whoever scores them, and whenever: a redelivery is recognised by its id, and has the same payload."""
    events = [event(TREE | {"age": age}, age) for age in range(1, 9)]
    first, second = (process(regressor, events) for _ in range(2))
    assert [one.value for one in first.predictions] == [one.value for one in second.predictions]


def test_an_event_that_was_put_back_keeps_its_id(regressor: Model) -> None:
    """Its header says where it came from first; a header that does not is no origin."""
    back = event(TREE, 7, headers=[("skdeploy-origin", b"trees/0/3")])
    odd = event(TREE, 8, headers=[("skdeploy-origin", b"\xff/")])
    ids = [one["prediction_id"] for one in documents(process(regressor, [back, odd]))]
    assert ids == ["tree/trees/0/3", "tree/trees/2/8"]


def test_ids_of_the_business(regressor: Model) -> None:
    """With `by_id` the record's own key makes the id; a record without one is a dead letter."""
    processor = Processor(regressor, by_id=True)
    processed = processor.process(
        [event(TREE | {"id": "a:7"}, 1), event(TREE, 2), event(TREE | {"id": None}, 3)]
    )
    assert [(one["prediction_id"], one["id"]) for one in documents(processed)] == [("tree/a:7", "a:7")]
    assert [letter.reason for letter in processed.dead_letters] == ["no-id", "no-id"]
    with pytest.raises(SettingsError, match="SKDEPLOY_ID_FIELD"):
        Processor(regressor, id_field=None, by_id=True)


def test_every_event_comes_to_something(regressor: Model) -> None:
    """Bad ones take nothing from their neighbours, and both lists are in the order of the events."""
    values = [
        TREE,
        b"{",
        TREE | {"age": "3"},
        TREE,
        None,
        [TREE],
        {"tree": 1},
        {},
        TREE | {"age": 3.0},
        b"\xff",
    ]
    processed = process(regressor, [event(value, n) for n, value in enumerate(values)])
    assert [one.event.position.number for one in processed.predictions] == [0, 3, 8]
    assert [(letter.event.position.number, letter.reason) for letter in processed.dead_letters] == [
        (1, "malformed-body"),
        (2, "invalid-record"),
        (4, "malformed-body"),
        (5, "malformed-body"),
        (6, "malformed-body"),
        (7, "invalid-record"),
        (9, "malformed-body"),
    ]


def test_bad_cells_are_named(regressor: Model) -> None:
    """All of them, as over HTTP, up to 20: who sends a thousand unknown keys gets no list of them."""
    [letter] = process(regressor, [event(TREE | {"kind": "fir", "age": 2.5})]).dead_letters
    assert letter.cells == [
        ("kind", "category", 'string, one of "ash", "elm", "oak"', 'string "fir" (not seen in training)'),
        ("age", "type", "integer", "number 2.5"),
    ]
    assert letter.detail == "The record has 2 bad cells."
    many = TREE | {f"other {n}": n for n in range(1000)}
    [letter] = process(regressor, [event(many)]).dead_letters
    assert len(letter.cells) == 20
    assert letter.detail == "The record has 1000 bad cells, of which the first 20 are listed."


def test_a_cloud_event_in_structured_mode(regressor: Model) -> None:
    """The header says so; its `data` is the record, as JSON or in base64."""
    plain = CLOUD | {"data": TREE}
    encoded = CLOUD | {"data_base64": base64.b64encode(json.dumps(TREE).encode()).decode()}
    events = [event(value, headers=STRUCTURED) for value in (plain, encoded)]
    events += [event(TREE, headers=[("ce_specversion", b"1.0"), ("content-type", b"application/json")])]
    first, second, third = documents(process(regressor, events))
    assert first == second == third


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"{", "not JSON"),
        ([CLOUD], "no object"),
        ({"data": TREE}, "specversion"),
        (CLOUD, "empty"),
        (CLOUD | {"data": [TREE]}, "list"),
        (CLOUD | {"data_base64": "!"}, "not base64"),
        (CLOUD | {"data": "<tree/>", "datacontenttype": "text/xml"}, "'text/xml'"),
        (json.dumps(CLOUD)[:-1].encode() + b',"data":{},"data":{}}', "twice"),
    ],
)
def test_a_cloud_event_that_is_none(regressor: Model, value: Any, said: str) -> None:
    """What is wrong with the envelope is said."""
    reason, detail = only_reason(regressor, value, headers=STRUCTURED)
    assert reason == "malformed-body"
    assert said in detail


def test_probabilities_are_given_if_asked_for(classifier: Model, regressor: Model) -> None:
    """By class, beside the label; a model without them is refused when it is loaded, not per event."""
    [document] = documents(process(classifier, [event(TREE)], proba=True))
    assert document["prediction"] == "young"
    assert set(document["probabilities"]) == {"old", "young"}
    with pytest.raises(SettingsError, match="SKDEPLOY_PROBA"):
        Processor(regressor, proba=True)


class _Labels(Engine):
    """An engine without probabilities."""

    def predict_proba(self, table: Table) -> Any:
        raise NotImplementedError


class _Picky(_Labels):
    """Raises on records whose age is 7."""

    name = "picky"
    works = True

    def predict(self, table: Table) -> Any:
        ages = np.array(table.cells[2], dtype=float)
        if not self.works or (ages == 7).any():
            raise ZeroDivisionError
        return ages


def test_a_valid_record_that_the_pipeline_refuses_is_a_dead_letter(regressor: Model) -> None:
    """However many they are: none is left untried, and the others are predicted."""
    model = replace(regressor, engine=_Picky())
    ages = [7 if n % 2 else 3 for n in range(600)]
    processed = process(model, [event(TREE | {"age": age}, n) for n, age in enumerate(ages)])
    assert [letter.reason for letter in processed.dead_letters] == ["unscorable-record"] * 300
    assert "raised an exception" in processed.dead_letters[-1].detail
    assert len(processed.predictions) == 300


def test_a_broken_engine_is_no_dead_letter(regressor: Model) -> None:
    """Nothing of the poll is said to be bad: the engine is."""
    engine = _Picky()
    engine.works = False
    with pytest.raises(PredictionFailed):
        process(replace(regressor, engine=engine), [event(TREE)])


def test_a_poll_is_one_call_of_the_engine(regressor: Model) -> None:
    """Also with bad events in it: these are found before."""
    calls = []

    class Counting(_Labels):
        name = "counting"

        def predict(self, table: Table) -> Any:
            calls.append(table.count)
            return np.zeros(table.count)

    values = [TREE if n % 100 else {"age": "?"} for n in range(1000)]
    process(replace(regressor, engine=Counting()), [event(value, n) for n, value in enumerate(values)])
    assert calls == [990]


def test_a_column_called_id_is_no_key(tmp_path: Path) -> None:
    """Where the model itself has a column of that name, nothing is passed through."""
    frame = pd.DataFrame({"id": [1, 2, 3, 4]})
    pipeline = LinearRegression().fit(frame, frame["id"])
    skdeploy.save(pipeline, frame, frame["id"], tmp_path / "m.bin")
    [document] = documents(process(skdeploy.load(tmp_path / "m.bin"), [event({"id": 3})]))
    assert document["prediction"] == pytest.approx(3)
    assert "id" not in document
