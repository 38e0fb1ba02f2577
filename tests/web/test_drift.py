"""What the web service sees of drift, across its workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from skdeploy.config import WebSettings
from skdeploy.drift import PREDICTION
from skdeploy.model import Model
from skdeploy.web import create_app
from skdeploy.web.drift import Board, forget
from skdeploy.web.serving import ONLY, Slot
from tests.conftest import small_frame


def asked(model: Model, records: int, **settings: str) -> Slot:
    """The slot of a service that has answered so many records, training data again and again."""
    app = create_app(model, WebSettings.from_env(settings))
    client = app.test_client()
    rows = json.loads(small_frame().to_json(orient="records"))
    for first in range(0, records, 60):
        assert client.post("/predict", json=rows[: records - first]).status_code == 200
    slot: Slot = app.extensions["skdeploy"].models[ONLY]
    return slot


def publish(board: Board, pid: int) -> None:
    """All of it."""
    for _ in board.publish(pid):
        pass


def shown(board: Board) -> dict[str, float]:
    """What Prometheus gets, by name and column."""
    registry = CollectorRegistry()
    registry.register(board)
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_what_is_asked_is_counted_with_its_answers(regressor: Model) -> None:
    """Single records and lists, but no bad ones."""
    slot = asked(regressor, 61)
    assert slot.current.drift is not None
    counts = slot.current.drift.fold()
    for column in (*regressor.schema.names, PREDICTION):
        assert sum(number for (name, _), number in counts.items() if name == column) == 61
    app = create_app(regressor, WebSettings.from_env({}))
    record = {"size": 1.0, "kind": "oak", "age": 3}
    app.test_client().post("/predict?errors=partial", json=[record, {**record, "kind": "fir"}, record])
    drift = app.extensions["skdeploy"].models[ONLY].current.drift
    assert sum(number for (name, _), number in drift.fold().items() if name == "age") == 2


def test_the_workers_windows_are_one(regressor: Model, tmp_path: Path) -> None:
    """Two workers with 300 records each make an index of 600; one that ended is not counted."""
    boards = []
    for pid in (11, 12):
        boards.append(Board(tmp_path, asked(regressor, 300)))
        publish(boards[-1], pid)
    found = shown(boards[0])
    assert found == shown(boards[1])
    assert found.pop("skdeploy_drift_records") == 600
    assert {name for name in found if "psi" in name} == {
        f'skdeploy_drift_psi{{column="{column}"}}' for column in (*regressor.schema.names, PREDICTION)
    }
    assert all(value == pytest.approx(0, abs=1e-6) for name, value in found.items() if "psi" in name)
    assert found['skdeploy_drift_null_share{column="size"}'] == pytest.approx(7 / 60)
    assert found['skdeploy_drift_unseen_share{column="kind"}'] == 0
    forget(tmp_path, 11)
    forget(tmp_path, 11)
    assert shown(boards[0])["skdeploy_drift_records"] == 300


def test_another_model_begins_with_nothing(regressor: Model, classifier: Model, tmp_path: Path) -> None:
    """What was asked of the other one is not counted against its training data."""
    slot = asked(regressor, 60)
    board = Board(tmp_path, slot)
    publish(board, 7)
    slot.swap(classifier)
    assert shown(board) == {"skdeploy_drift_records": 0}
    publish(board, 7)
    assert shown(board) == {"skdeploy_drift_records": 0}


def test_who_does_not_look_for_drift_has_none(regressor: Model, tmp_path: Path) -> None:
    """SKDEPLOY_DRIFT_WINDOW=0: nothing is kept, written or shown."""
    slot = asked(regressor, 1, SKDEPLOY_DRIFT_WINDOW="0")
    assert slot.current.drift is None
    board = Board(tmp_path, slot)
    publish(board, 7)
    assert shown(board) == {}
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_said_once(regressor: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is raised: the worker that tells it serves requests."""
    folder = tmp_path / "gone"
    slot = asked(regressor, 1)
    board = Board(folder, slot)
    for _ in range(3):
        publish(board, 7)
    assert caplog.text.count("Drift is not told") == 1
    folder.mkdir()
    publish(board, 7)
    assert shown(board)["skdeploy_drift_records"] == 1
