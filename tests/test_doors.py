"""One record, one answer, every door; and the same reasons for a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pytest

import skdeploy
from skdeploy.batch.chunks import Chunk
from skdeploy.batch.scoring import ChunkScorer
from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.stream import Event, Position, process
from skdeploy.web import create_app
from tests.live import ROOT

Records = Sequence[Mapping[str, Any]]
# By record: its prediction and probabilities, or what is wrong with it: column, code, expected, got.
Answers = list[Any]

TREES: list[dict[str, Any]] = [
    {"size": 10.5, "kind": "ash", "age": 3},
    {"size": None, "kind": "oak", "age": 8},
    {"size": 7, "kind": "elm", "age": 1},
]
BAD_TREES: list[dict[str, Any]] = [
    {"size": 10.5, "kind": "fir", "age": 3},
    {"size": 10.5, "kind": None, "age": None},
    {"size": 2**53 + 1, "kind": "ash", "age": 3},
]


def by_web(model: Model, records: Records, *, proba: bool = False) -> Answers:
    """What POST /predict says of each record."""
    query = "?errors=partial" + ("&proba=true" if proba else "")
    client = create_app(model, WebSettings.from_env({})).test_client()
    answer = client.post(f"/predict{query}", data=json.dumps(records))
    items = json.loads(answer.data)["predictions"]
    return [
        {(bad["column"], bad["code"], bad["expected"], bad["got"]) for bad in item["error"]["errors"]}
        if "error" in item
        else (item["prediction"], item.get("probabilities"))
        for item in items
    ]


def by_batch(model: Model, records: Records, *, typed: bool, proba: bool = False) -> Answers:
    """What a job makes of them, from columns of Arrow or from a database's rows."""
    columns: dict[str, Any] = {name: [record[name] for record in records] for name in model.schema.names}
    if typed:
        columns = {name: pa.array(cells) for name, cells in columns.items()}
    key = pa.array(range(len(records)), pa.int64())
    scorer = ChunkScorer(model, {"key": pa.int64()}, proba=proba, strict=False)
    scored = scorer.score(Chunk({"key": key} | columns, len(records)))
    answers: Answers = [set() for _ in records]
    for reject in scored.rejects:
        answers[json.loads(reject.row_key)["key"]].add(tuple(reject)[1:])
    for row in scored.predictions.to_pylist():
        classes = {name.removeprefix("probability_"): p for name, p in row.items() if "probability_" in name}
        answers[row["key"]] = (row["prediction"], classes or None)
    return answers


def by_stream(model: Model, records: Records, *, proba: bool = False) -> Answers:
    """What comes of a poll with an event per record."""
    events = [Event(json.dumps(record).encode(), Position("t", 0, n)) for n, record in enumerate(records)]
    processed = process(model, events, proba=proba)
    answers: Answers = [None] * len(records)
    for prediction in processed.predictions:
        value = json.loads(prediction.value)
        answers[int(prediction.event.position.number)] = value["prediction"], value.get("probabilities")
    for letter in processed.dead_letters:
        answers[int(letter.event.position.number)] = {*letter.cells}
    return answers


@pytest.mark.parametrize("typed", [True, False])
def test_records_have_one_prediction(regressor: Model, typed: bool) -> None:
    """Numbers, nulls and integers in a column of floats."""
    answers = by_web(regressor, TREES)
    assert by_batch(regressor, TREES, typed=typed) == answers
    assert by_stream(regressor, TREES) == answers


@pytest.mark.parametrize("typed", [True, False])
def test_records_have_the_same_probabilities(classifier: Model, typed: bool) -> None:
    """Labels, and the probability per class under its name."""
    answers = by_web(classifier, TREES, proba=True)
    assert by_batch(classifier, TREES, typed=typed, proba=True) == answers
    assert by_stream(classifier, TREES, proba=True) == answers


def test_bad_records_have_the_same_reasons(regressor: Model) -> None:
    """With the same codes and words, cell by cell; what cannot be in one column of Arrow comes as rows."""
    strange = [
        *TREES,
        *BAD_TREES,
        {"size": "7", "kind": 7, "age": 2.9},
        {"size": True, "kind": "ash", "age": "3"},
    ]
    answers = by_web(regressor, strange)
    assert by_batch(regressor, strange, typed=False) == answers
    assert by_stream(regressor, strange) == answers
    integers = [*TREES[2:], *BAD_TREES[2:]]
    assert by_batch(regressor, integers, typed=True) == by_web(regressor, integers)


def test_the_golden_records_have_one_prediction() -> None:
    """Those of the committed model, from columns, from rows, from events, and over HTTP."""
    model = skdeploy.load(ROOT / "model.bin")
    golden = model.passport.golden
    names = model.schema.names
    records = [dict(zip(names, cells, strict=True)) for cells in zip(*golden.cells, strict=True)]
    answers = by_web(model, records)
    assert by_batch(model, records, typed=True) == answers
    assert by_batch(model, records, typed=False) == answers
    assert by_stream(model, records) == answers
