"""Predictions that arrive in one turn: one call of the engine, and each request its own answer."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

import skdeploy
from benchmarks.inprocess import InProcess, request
from skdeploy.config import WebSettings
from skdeploy.engines import Engine
from skdeploy.model import Model
from skdeploy.schema import Table
from skdeploy.scoring import Scorer
from skdeploy.web import create_app
from skdeploy.web.serving import ONLY
from tests import pipelines

RECORD = {"size": 11.5, "kind": "elm", "age": 3}
SLOW, QUICK = (1.0, 1.0), (1e-5, 1e-6)


class Counting(Engine):
    """Counts the records of each call; raises on records of age 7, and waits while it is held."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self.calls: list[int] = []
        self.threads: set[str] = set()
        self.may_score = threading.Event()
        self.may_score.set()
        self.pause = 0.0

    def predict(self, table: Table) -> Any:
        self._look(table)
        return self._engine.predict(table)

    def predict_proba(self, table: Table) -> Any:
        self._look(table)
        return self._engine.predict_proba(table)

    def predict_both(self, table: Table) -> tuple[Any, Any]:
        self._look(table)
        return self._engine.predict_both(table)

    def _look(self, table: Table) -> None:
        self.calls.append(table.count)
        self.threads.add(threading.current_thread().name)
        assert self.may_score.wait(20)
        time.sleep(self.pause)
        if 7 in table.cells[-1]:
            raise ValueError("age 7")


@contextmanager
def turns(
    model: Model, connections: int, cost: tuple[float, float] = QUICK, **settings: str
) -> Iterator[Any]:
    """A worker's loop with a counting engine; `cost` decides whether it scores in the loop."""
    engine = Counting(model.engine)
    counted = replace(model, engine=engine, cost=cost, together=True)
    read = WebSettings.from_env(settings)
    app = create_app(counted, read)
    engine.calls.clear()
    engine.threads.clear()
    with closing(InProcess(app, read, connections)) as served:
        yield served, engine, app


def posts(*bodies: Any) -> list[bytes]:
    return [request(json.dumps(body).encode()) for body in bodies]


def answers(served: InProcess, requests: Sequence[bytes]) -> list[tuple[int, Any]]:
    """Status and JSON of each answer."""
    return [
        (int(answer[9:12]), json.loads(answer.partition(b"\r\n\r\n")[2])) for answer in served.ask(requests)
    ]


@pytest.mark.parametrize("cost", [QUICK, SLOW], ids=["in the loop", "in the scoring thread"])
def test_what_arrives_together_is_scored_in_one_call(regressor: Model, cost: tuple[float, float]) -> None:
    """Sixteen requests are one call, and each gets the answer that it gets alone, byte by byte."""
    bodies = [RECORD | {"age": age % 7} for age in range(16)]
    with turns(regressor, 16, cost) as (served, engine, _):
        alone = [answers(served, posts(body))[0] for body in bodies]
        engine.calls.clear()
        assert answers(served, posts(*bodies)) == alone
        assert engine.calls == [16]
        assert engine.threads <= ({"MainThread"} if cost == QUICK else {"scoring_0"})


def test_lists_keys_and_single_records_share_a_call(regressor: Model) -> None:
    """Bodies of any shape that plainly fit are one table."""
    bodies = [RECORD, [RECORD, RECORD | {"age": 1}], RECORD | {"id": "a"}, [RECORD | {"id": 7}]]
    with turns(regressor, 4) as (served, engine, _):
        alone = [answers(served, posts(body))[0] for body in bodies]
        engine.calls.clear()
        together = answers(served, posts(*bodies))
        assert together == alone
        assert engine.calls == [5]
    assert together[2][1]["id"] == "a"
    assert [len(answer["predictions"]) for _, answer in together[1::2]] == [2, 1]


def test_probabilities_are_a_call_of_their_own(classifier: Model) -> None:
    """Requests with and without ?proba=true are not scored together, and each is answered."""
    plain, proba = posts(RECORD, RECORD)
    proba = proba.replace(b"/predict", b"/predict?proba=true")
    with turns(classifier, 4) as (served, engine, _):
        engine.calls.clear()
        got = answers(served, [plain, proba, proba, plain])
        assert [size for size, _ in groupby(engine.calls)] == [1, 2, 1]
    assert [sorted(answer) for _, answer in got] == [
        ["model", "prediction"],
        ["model", "prediction", "probabilities"],
        ["model", "prediction", "probabilities"],
        ["model", "prediction"],
    ]


@pytest.mark.parametrize("cost", [QUICK, SLOW], ids=["in the loop", "in the scoring thread"])
def test_a_record_that_raises_is_nothing_to_its_neighbours(
    regressor: Model, cost: tuple[float, float]
) -> None:
    """One of sixteen requests has a record on which the pipeline raises: the others have their answers."""
    bodies: list[Any] = [RECORD | {"age": age % 6} for age in range(16)]
    bodies[5] = RECORD | {"age": 7}
    bodies[9] = [RECORD, RECORD | {"age": 7}]
    with turns(regressor, 16, cost) as (served, engine, _):
        got = answers(served, posts(*bodies))
        assert len(engine.calls) < 100
    assert [status for status, _ in got] == [500 if place in (5, 9) else 200 for place in range(16)]
    assert got[9][1]["errors"] == [{"record": 1, "reason": got[5][1]["errors"][0]["reason"]}]


def test_a_body_that_does_not_fit_is_nothing_to_its_neighbours(regressor: Model) -> None:
    """What has to be explained is answered beside the call."""
    bodies: list[Any] = [RECORD, RECORD | {"age": "3"}, RECORD, {}, RECORD]
    with turns(regressor, 5) as (served, engine, _):
        got = answers(served, posts(*bodies))
        assert engine.calls == [3]
    assert [status for status, _ in got] == [200, 422, 200, 422, 200]


def test_what_comes_meanwhile_is_the_next_call(regressor: Model) -> None:
    """While the scoring thread scores, requests gather; their call follows at once, in one."""
    with turns(regressor, 8, SLOW) as (served, engine, _):
        engine.may_score.clear()
        first = threading.Timer(0.2, engine.may_score.set)
        first.start()
        served.send(posts(RECORD), first=0)
        served.run_until(lambda: bool(engine.calls))
        for place in range(1, 8):
            served.send(posts(RECORD), first=place)
        served.run_until(served.all_answered)
        first.join()
        assert engine.calls == [1, 7]


def test_a_call_can_be_forbidden(regressor: Model) -> None:
    """SKDEPLOY_BATCH_RECORDS=0 scores each request alone; a bound holds."""
    with turns(regressor, 6, SKDEPLOY_BATCH_RECORDS="0") as (served, engine, _):
        answers(served, posts(*[RECORD] * 6))
        assert engine.calls == [1] * 6
    with turns(regressor, 6, SKDEPLOY_BATCH_RECORDS="4") as (served, engine, _):
        answers(served, posts(*[RECORD] * 6))
        assert engine.calls == [4, 2]


def test_records_that_look_at_each_other_are_scored_alone(regressor: Model) -> None:
    """Where golden records predict something else together, no request shares a call."""
    engine = Counting(regressor.engine)
    app = create_app(replace(regressor, engine=engine, cost=QUICK, together=False), WebSettings.from_env({}))
    with closing(InProcess(app, WebSettings.from_env({}), 5)) as served:
        engine.calls.clear()
        answers(served, posts(*[RECORD] * 5))
    assert engine.calls == [1] * 5


def test_a_client_that_has_gone_is_not_scored(regressor: Model) -> None:
    """Its request is dropped before the call, and counted as 499."""
    with turns(regressor, 3) as (served, engine, app):
        served.send(posts(RECORD, RECORD, RECORD))
        served.leave(1)
        served.run_until(served.all_answered)
        assert engine.calls == [2]
        exposition = app.test_client().get("/metrics").text
    assert 'status="499"' in exposition


def test_a_request_that_waited_too_long_is_refused(regressor: Model) -> None:
    """SKDEPLOY_REQUEST_TIMEOUT is looked at when its call begins: 503 with Retry-After."""
    with turns(regressor, 3, SLOW, SKDEPLOY_REQUEST_TIMEOUT="0.05") as (served, engine, _):
        engine.may_score.clear()
        served.send(posts(RECORD), first=0)
        served.run_until(lambda: bool(engine.calls))
        served.send(posts(RECORD, RECORD), first=1)
        served.run_until(lambda: False, passes=3)
        time.sleep(0.1)
        engine.may_score.set()
        served.run_until(served.all_answered)
        statuses = [int(wire[9:12]) for wire in served.answers()]
        assert statuses == [200, 503, 503]
        assert engine.calls == [1]


def test_each_answer_is_of_the_model_that_it_names(tmp_path: Path) -> None:
    """Swaps to a model with permuted columns, between and amid turns: no table is read for another model."""
    models = {}
    for name, columns in (("ab", ["area", "rooms"]), ("ba", ["rooms", "area"])):
        pipeline, X, y = pipelines.log_of_area()
        X = X[columns]
        path = tmp_path / name
        skdeploy.save(pipeline.fit(X, y), X, y, path, name=name)
        models[name] = skdeploy.load(path)
    body = {"area": 9.0, "rooms": 3.0}
    expected = {
        name: Scorer(model).predict(Table([[body[column]] for column in model.schema.names], 1)).values[0]
        for name, model in models.items()
    }
    seen = set()
    for cost in (QUICK, SLOW):
        with turns(models["ab"], 8, cost) as (served, _, app):
            slot = app.extensions["skdeploy"].models[ONLY]
            for turn in range(60):
                served.send(posts(*[body] * 4), first=0)
                served.run_until(lambda: False, passes=turn % 4)
                slot.swap(replace(models["ba" if turn % 2 else "ab"], cost=cost))
                served.send(posts(*[body] * 4), first=4)
                served.run_until(served.all_answered)
                for raw in served.answers():
                    answer = json.loads(raw.partition(b"\r\n\r\n")[2])
                    name = answer["model"]["name"]
                    seen.add(name)
                    assert answer["prediction"] == pytest.approx(expected[name], rel=1e-9)
    assert seen == {"ab", "ba"}


def test_a_model_that_is_slower_than_its_golden_records_leaves_the_loop(regressor: Model) -> None:
    """Three slow calls in the loop are enough: from then on the scoring thread makes them."""
    with turns(regressor, 1) as (served, engine, _):
        engine.pause = 0.06
        for _ in range(3):
            answers(served, posts(RECORD))
        assert engine.threads == {"MainThread"}
        answers(served, posts(RECORD))
        assert engine.threads == {"MainThread", "scoring_0"}


def test_a_failure_of_the_bookkeeping_costs_no_answer(
    regressor: Model, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Metrics whose disk is full are said in the log, and predictions are answered all the same."""

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with turns(regressor, 2) as (served, _, app):
        monkeypatch.setattr(app.extensions["skdeploy"].metrics, "end", full)
        assert [status for status, _ in answers(served, posts(RECORD, RECORD))] == [200, 200]
    assert "not counted" in caplog.text
