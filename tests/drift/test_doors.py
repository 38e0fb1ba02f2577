"""The same records, by whatever door they come, have drifted by the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import pyarrow as pa
import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

import skdeploy
from skdeploy.batch.chunks import Chunk
from skdeploy.batch.scoring import ChunkScorer
from skdeploy.config import WebSettings
from skdeploy.drift import PREDICTION, Drifted, drifted
from skdeploy.model import Model
from skdeploy.stream import Event, Position, process
from skdeploy.stream.kafka.metrics import Metrics
from skdeploy.web import create_app
from skdeploy.web.serving import ONLY
from tests.batch.jobs import KINDS
from tests.conftest import small_frame

Records = list[dict[str, Any]]
CHUNK = 250


def shifted(count: int = 1000) -> Records:
    """What the small models take, with larger sizes, more nulls and no elms; of training data's ages."""
    ages = small_frame()["age"].tolist()
    return [
        {
            "size": None if place % 4 == 0 else 13.0 + (place % 17) / 4,
            "kind": KINDS[place % 2 * 2],
            "age": ages[place % len(ages)],
        }
        for place in range(count)
    ]


def chunks(records: Records) -> list[Records]:
    return [records[first : first + CHUNK] for first in range(0, len(records), CHUNK)]


def by_web(model: Model, records: Records) -> dict[str, Drifted]:
    """After requests with some records each, and one of each alone."""
    app = create_app(model, WebSettings.from_env({}))
    client = app.test_client()
    first, *others = chunks(records)
    for body in [*first, *others]:
        assert client.post("/predict", data=json.dumps(body)).status_code == 200
    found: dict[str, Drifted] = app.extensions["skdeploy"].models[ONLY].current.drift.drifted()
    return found


def by_batch(model: Model, records: Records, *, typed: bool = True) -> dict[str, Drifted]:
    """After chunks of a job, from columns of Arrow or from a database's rows."""
    scorer = ChunkScorer(model, {"key": pa.int64()}, proba=False, strict=False, drift=True)
    for some in chunks(records):
        columns: dict[str, Any] = {name: [record[name] for record in some] for name in model.schema.names}
        if typed:
            columns = {name: pa.array(cells) for name, cells in columns.items()}
        key = pa.array(range(len(some)), pa.int64())
        scorer.score(Chunk({"key": key} | columns, len(some)))
    assert scorer.drift is not None
    return drifted(scorer.drift.meter.sketch, scorer.drift.counts)


def by_stream(model: Model, records: Records) -> dict[str, Drifted]:
    """What a consumer's metrics say after some polls."""
    metrics = Metrics(10_000)
    metrics.serves(model)
    for some in chunks(records):
        metrics.scored(
            process(
                model, [Event(json.dumps(one).encode(), Position("t", 0, n)) for n, one in enumerate(some)]
            )
        )
    shown: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        if family.name.startswith("skdeploy_drift_") and family.name != "skdeploy_drift_records":
            for sample in family.samples:
                shown.setdefault(sample.labels["column"], {})[sample.name[len("skdeploy_drift_") :]] = (
                    sample.value
                )
    return {
        name: Drifted(one["psi"], one["null_share"], one.get("unseen_share")) for name, one in shown.items()
    }


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_every_door_says_the_same(kind: str, request: pytest.FixtureRequest) -> None:
    """Index and shares of each column and of the predictions."""
    model: Model = request.getfixturevalue(kind)
    found = by_web(model, shifted())
    assert list(found) == ["size", "kind", "age", PREDICTION]
    assert by_batch(model, shifted()) == found
    assert by_batch(model, shifted(), typed=False) == found
    assert by_stream(model, shifted()) == found
    psi = {name: one.psi for name, one in found.items()}
    assert psi["size"] is not None
    assert psi["kind"] is not None
    assert min(psi["size"], psi["kind"]) > 0.25
    assert psi["age"] is not None
    assert psi["age"] < 0.1
    assert found["size"].null_share == 0.25


def test_bad_records_are_not_counted(classifier: Model) -> None:
    """By no door: they have no prediction, and are counted as what they are."""
    records = shifted(600)
    bad = [{**record, "kind": "fir"} for record in records[:100]]
    expected = by_web(classifier, records)
    assert by_batch(classifier, [*bad, *records]) == expected
    assert by_stream(classifier, [*bad, *records]) == expected


def test_a_model_without_a_sketch_has_no_drift(regressor_file: Path, tmp_path: Path) -> None:
    """Of a pickle without passport nothing is said, and everything else works."""
    pipeline = joblib.load(regressor_file)
    del pipeline.passport_
    joblib.dump(pipeline, tmp_path / "bare.bin")
    model = skdeploy.load(tmp_path / "bare.bin")
    assert by_stream(model, shifted(10)) == {}
    assert (
        create_app(model, WebSettings.from_env({})).extensions["skdeploy"].models[ONLY].current.drift is None
    )
    assert ChunkScorer(model, {"key": pa.int64()}, proba=False, strict=False, drift=True).drift is None
