from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from skdeploy.errors import PredictionFailed
from skdeploy.model import Model
from skdeploy.schema import RecordReader, Table
from skdeploy.scoring import NOT_FINITE, NOT_TRIED, RAISED, Scorer


class PickyEngine:
    """Predicts the age; raises on 13, gives infinity for 99, and counts its calls."""

    name = "picky"

    def __init__(self, *, broken: bool = False) -> None:
        self.calls = 0
        self.broken = broken

    def predict(self, table: Table) -> Any:
        self.calls += 1
        ages = np.array(table.cells[2], dtype=float)
        if self.broken or 13 in ages:
            raise ZeroDivisionError("13")
        return np.where(ages == 99, np.inf, ages)

    def predict_proba(self, table: Table) -> Any:
        return np.stack([np.array(table.cells[2], dtype=float)] * 2, axis=1)

    def predict_both(self, table: Table) -> Any:
        return self.predict(table), self.predict_proba(table)


def table_of(model: Model, ages: list[int]) -> Table:
    records = [{"size": 1.0, "kind": "elm", "age": age} for age in ages]
    return RecordReader(model.schema).read(records).table


def test_one_bad_record_takes_nothing_from_its_neighbours(regressor: Model) -> None:
    """Records on which the pipeline raises are found by halving; the others are predicted."""
    engine = PickyEngine()
    model = replace(regressor, engine=engine)
    ages = [*range(64), 13, 100]
    result = Scorer(model).predict(table_of(model, ages))
    assert result.unscorable == {13: RAISED, 64: RAISED}
    assert [v for i, v in enumerate(result.values) if i not in (13, 64)] == [a for a in ages if a != 13]
    assert engine.calls < 32


def test_a_prediction_that_is_not_finite_is_no_prediction(regressor: Model) -> None:
    """Infinity is reported for its record alone, also when found while halving."""
    model = replace(regressor, engine=PickyEngine())
    assert Scorer(model).predict(table_of(model, [1, 99])).unscorable == {1: NOT_FINITE}
    assert Scorer(model).predict(table_of(model, [99, 13, 5])).unscorable == {0: NOT_FINITE, 1: RAISED}


def test_halving_keeps_probabilities_in_place(classifier: Model) -> None:
    """The probabilities of the good records stay beside their predictions."""
    model = replace(classifier, engine=PickyEngine())
    result = Scorer(model).predict(table_of(model, [3, 13, 4]), proba=True)
    assert result.probabilities == [{"old": 3.0, "young": 3.0}, None, {"old": 4.0, "young": 4.0}]


def test_a_broken_engine_is_not_blamed_on_the_records(regressor: Model) -> None:
    """If not even the probe record predicts, the engine failed, without a search."""
    engine = PickyEngine(broken=True)
    model = replace(regressor, engine=engine)
    with pytest.raises(PredictionFailed):
        Scorer(model).predict(table_of(model, [1, 2, 3]))
    assert engine.calls == 2


def test_no_records_are_no_predictions(regressor: Model) -> None:
    """An empty table is fine, for the doors whose records were all refused."""
    assert Scorer(regressor).predict(Table([[], [], []], 0)).values == []


def test_probabilities_come_by_class(classifier: Model) -> None:
    """The label is the class with the greatest probability, and they sum to one."""
    result = Scorer(classifier).predict(table_of(classifier, [1, 8]), proba=True)
    assert result.values == ["young", "old"]
    assert result.probabilities is not None
    for row in result.probabilities:
        assert list(row) == ["old", "young"]
        assert sum(row.values()) == pytest.approx(1)


def test_no_record_is_in_a_repr(regressor: Model) -> None:
    """Logging a model or a passport shows no golden record."""
    golden = regressor.passport.golden
    assert repr(regressor) == f"Model(tree {regressor.passport.version}, engine onnx)"
    assert "Golden(" in repr(regressor.passport)
    assert str(golden.predictions[5]) not in repr(regressor.passport)


class NanProbabilities(PickyEngine):
    """Has a label for everybody, and no probability for the age 7."""

    def predict_proba(self, table: Table) -> Any:
        ages = np.array(table.cells[2], dtype=float)
        return np.stack([np.where(ages == 7, np.nan, 0.5)] * 2, axis=1)


def test_a_probability_that_is_not_finite_is_no_answer(classifier: Model) -> None:
    """NaN among the probabilities is reported for its record, never sent as null."""
    model = replace(classifier, engine=NanProbabilities())
    assert Scorer(model).predict(table_of(model, [1, 7])).unscorable == {}
    assert Scorer(model).predict(table_of(model, [1, 7]), proba=True).unscorable == {1: NOT_FINITE}


def test_the_search_for_bad_records_is_bounded(regressor: Model, caplog: pytest.LogCaptureFixture) -> None:
    """After 100 records that raise, the rest is said not to be tried; the log has a line, not thousands."""
    engine = PickyEngine()
    model = replace(regressor, engine=engine)
    result = Scorer(model).predict(table_of(model, [13] * 3000))
    assert list(result.unscorable.values()).count(RAISED) == 100
    assert list(result.unscorable.values()).count(NOT_TRIED) == 2900
    assert engine.calls < 500
    assert len(caplog.records) == 2


def test_the_log_says_where_the_pipeline_raised(regressor: Model, caplog: pytest.LogCaptureFixture) -> None:
    """The traceback's lines are logged; the message, which may hold a record's values, is not."""
    model = replace(regressor, engine=PickyEngine())
    Scorer(model).predict(table_of(model, [1, 13]))
    assert "ZeroDivisionError at" in caplog.text
    assert "test_scoring.py" in caplog.text
    assert 'raise ZeroDivisionError("13")' in caplog.text
    assert "It said" not in caplog.text
