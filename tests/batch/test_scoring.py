"""Every record of a chunk is predicted or rejected, and who is rejected learns why."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdeploy
from skdeploy.batch.chunks import Chunk, Reject
from skdeploy.batch.scoring import ChunkScorer
from skdeploy.errors import SettingsError
from skdeploy.model import Model
from skdeploy.schema import RecordReader, Table, as_list
from skdeploy.scoring import NOT_FINITE, RAISED, Scorer
from tests.counting import calls

ID = {"id": pa.int64()}
NEW_YORK = timezone(timedelta(hours=-5))


def chunk(ids: Any, ages: Any = None, **others: Any) -> Chunk:
    """Trees, good ones unless said otherwise."""
    count = len(ids)
    columns = {
        "id": ids,
        "size": pa.array([10.5] * count),
        "kind": pa.array(["elm"] * count),
        "age": pa.array([3] * count) if ages is None else ages,
    }
    return Chunk(columns | others, count)


def scorer(model: Model, keys: Any = ID, *, proba: bool = False, strict: bool = False) -> ChunkScorer:
    return ChunkScorer(model, keys, proba=proba, strict=strict)


def test_predictions_are_the_models(regressor: Model) -> None:
    """Keys as they came, then what the model predicts; the last key is Python's."""
    ages = [1, 5, 2]
    scored = scorer(regressor).score(chunk(pa.array([7, 8, 9], pa.int32()).cast(pa.int64()), pa.array(ages)))
    records = [{"size": 10.5, "kind": "elm", "age": age} for age in ages]
    expected = Scorer(regressor).predict(RecordReader(regressor.schema).read(records).table).values
    assert scored.predictions.to_pydict() == {"id": [7, 8, 9], "prediction": expected}
    assert scored.predictions.schema == pa.schema([("id", pa.int64()), ("prediction", pa.float64())])
    assert (scored.rejects, scored.rejected, scored.last, scored.count) == ([], 0, (9,), 3)


def test_probabilities_stand_beside_the_label(classifier: Model) -> None:
    """A column per class, named as the class is."""
    made = scorer(classifier, proba=True)
    assert made.predicted == pa.schema(
        [("prediction", pa.string()), ("probability_old", pa.float64()), ("probability_young", pa.float64())]
    )
    rows = made.score(chunk(pa.array([1, 2, 3]), pa.array([1, None, 8]))).predictions.to_pylist()
    assert [row["id"] for row in rows] == [1, 3]
    for row in rows:
        assert row["probability_old"] + row["probability_young"] == pytest.approx(1)
        assert row["prediction"] == ("old" if row["probability_old"] > 0.5 else "young")
    assert scorer(classifier).predicted.names == ["prediction"]


def test_probabilities_of_a_model_without(regressor: Model) -> None:
    """Asking for them is a wrong setting, found before any record is read."""
    with pytest.raises(SettingsError, match="SKDEPLOY_PROBA is 1, but the model tree has no probabilities"):
        scorer(regressor, proba=True)


@pytest.fixture
def numbers() -> pd.DataFrame:
    random = np.random.default_rng(5)
    return pd.DataFrame({"a": random.normal(size=60), "b": random.normal(size=60)})


def saved(path: Path, final: Any, frame: pd.DataFrame, target: Any) -> Model:
    skdeploy.save(make_pipeline(StandardScaler(), final).fit(frame, target), frame, target, path)
    return skdeploy.load(path)


@pytest.mark.parametrize(
    ("labels", "type_", "names"),
    [
        ([True, False], pa.bool_(), ["false", "true"]),
        ([3, 1, 2], pa.int64(), ["1", "2", "3"]),
        ([1.0, 2.0], pa.float64(), ["1.0", "2.0"]),
        (["b", "a a"], pa.string(), ["a a", "b"]),
    ],
)
def test_labels_keep_their_type(
    tmp_path: Path, numbers: pd.DataFrame, labels: list[Any], type_: pa.DataType, names: list[str]
) -> None:
    """Booleans, integers, numbers and texts; class names are those of the other doors."""
    target = np.array([labels[row % len(labels)] for row in range(60)])
    forest = RandomForestClassifier(3, random_state=0)
    model = saved(tmp_path / "m.bin", forest, numbers, target)
    made = scorer(model, proba=True)
    expected = [("prediction", type_), *((f"probability_{name}", pa.float64()) for name in names)]
    assert made.predicted == pa.schema(expected)
    columns = {"id": pa.array([1, 2]), "a": pa.array([0.1, 3.0]), "b": pa.array([0.0, -3.0])}
    predictions = made.score(Chunk(columns, 2)).predictions
    assert predictions.schema.remove(0) == made.predicted
    assert set(predictions.column("prediction").to_pylist()) <= set(labels)


@pytest.mark.parametrize("regression", [True, False])
def test_several_outputs_are_several_columns(tmp_path: Path, numbers: pd.DataFrame, regression: bool) -> None:
    """One per output, by its name; probabilities by output and class."""
    target = pd.DataFrame(
        {"up": np.where(numbers["a"] > 0, "yes", "no"), "kind": np.where(numbers["b"] > 0, "x", "y")}
    )
    if regression:
        target = pd.DataFrame({"up": numbers["a"] * 2, "kind": numbers["b"]})
    forest = (RandomForestRegressor if regression else RandomForestClassifier)(3, random_state=0)
    model = saved(tmp_path / "m.bin", forest, numbers, target)
    made = scorer(model, proba=not regression)
    columns = {"id": pa.array([1, 2]), "a": pa.array([2.0, -2.0]), "b": pa.array([2.0, None])}
    predictions = made.score(Chunk(columns, 2)).predictions
    assert predictions.schema.remove(0) == made.predicted
    if regression:
        assert made.predicted == pa.schema(
            [("prediction_up", pa.float64()), ("prediction_kind", pa.float64())]
        )
        return
    (row, *_) = predictions.to_pylist()
    assert (row["prediction_up"], row["prediction_kind"]) == ("yes", "x")
    assert row["probability_up_yes"] + row["probability_up_no"] == 1
    assert row["probability_kind_x"] + row["probability_kind_y"] == 1


def test_clusters_are_integers(tmp_path: Path, numbers: pd.DataFrame) -> None:
    """What a model does not say of its predictions, one of them shows."""
    path = tmp_path / "m.bin"
    skdeploy.save(make_pipeline(StandardScaler(), KMeans(2, n_init=1)).fit(numbers), numbers, None, path)
    assert scorer(skdeploy.load(path)).predicted == pa.schema([("prediction", pa.int64())])


def test_a_bad_cell_is_named(regressor: Model) -> None:
    """One reject per cell, in the order of keys, with the reader's own words."""
    ages = pa.array([1.0, 2.5, 3.0, 2.5])
    kinds = pa.array(["ash", "elm", "fir", "fir"])
    scored = scorer(regressor).score(chunk(pa.array([1, 2, 3, 4]), ages, kind=kinds))
    known = next(reject.expected for reject in scored.rejects if reject.column == "kind")
    assert "ash" in known
    assert scored.rejects == [
        Reject('{"id": 2}', "age", "type", "integer", "number 2.5"),
        Reject('{"id": 3}', "kind", "category", known, 'string "fir" (not seen in training)'),
        Reject('{"id": 4}', "kind", "category", known, 'string "fir" (not seen in training)'),
        Reject('{"id": 4}', "age", "type", "integer", "number 2.5"),
    ]
    assert (scored.rejected, scored.predictions.column("id").to_pylist(), scored.last) == (3, [1], (4,))


class Picky:
    """Predicts the age; raises on 13, and has no number for 99."""

    name = "picky"

    def predict(self, table: Table) -> Any:
        ages = np.array(as_list(table.cells[2]), dtype=float)
        if 13 in ages:
            raise ZeroDivisionError
        return np.where(ages == 99, np.nan, ages)


def test_a_record_that_cannot_be_scored_is_rejected(regressor: Model) -> None:
    """It is valid and has no prediction; its neighbours have theirs."""
    model = replace(regressor, engine=Picky())  # type: ignore[arg-type]
    scored = scorer(model).score(chunk(pa.array([1, 2, 3, 4]), pa.array([5, 13, None, 99])))
    assert scored.rejects == [
        Reject('{"id": 2}', None, "unscorable", "a prediction", RAISED),
        Reject('{"id": 3}', "age", "null", "integer", "null"),
        Reject('{"id": 4}', None, "unscorable", "a prediction", NOT_FINITE),
    ]
    assert scored.predictions.to_pydict() == {"id": [1], "prediction": [5.0]}


def test_records_with_one_key_are_all_rejected(regressor: Model) -> None:
    """None of them is more it than the others, bad or good."""
    keys = {"day": pa.date32(), "id": pa.string()}
    days = pa.array([date(2013, 1, day) for day in (1, 1, 1, 2, 2, 2)])
    ids = pa.array(["a", "a", "b", "b", "b", "b"]).dictionary_encode()
    scored = scorer(regressor, keys).score(chunk(ids, pa.array([1, 1, 1, None, 1, 1]), day=days))
    twice = ("duplicate_key", "a key of its own", "2 records have this key")
    thrice = ("duplicate_key", "a key of its own", "3 records have this key")
    first, last = '{"day": "2013-01-01", "id": "a"}', '{"day": "2013-01-02", "id": "b"}'
    assert scored.rejects == [
        *[Reject(first, None, *twice)] * 2,
        Reject(last, None, *thrice),
        Reject(last, "age", "null", "integer", "null"),
        *[Reject(last, None, *thrice)] * 2,
    ]
    assert scored.rejected == 5
    assert scored.predictions.select(["day", "id"]).to_pylist() == [{"day": date(2013, 1, 1), "id": "b"}]
    assert scored.last == (date(2013, 1, 2), "b")
    assert scored.predictions.schema.field("id").type == pa.string()


@pytest.mark.parametrize("listed", [True, False])
def test_a_null_is_no_key(regressor: Model, listed: bool) -> None:
    """Nor is NaN, and nulls are not the same key."""
    keys = {"id": pa.int64(), "part": pa.float64()}
    ids, parts = [None, None, 1, 2], [1.0, 1.0, math.nan, None]
    arrays = (ids, parts) if listed else (pa.array(ids), pa.array(parts))
    scored = scorer(regressor, keys).score(chunk(arrays[0], part=arrays[1]))
    assert [(reject.row_key, *reject[1:]) for reject in scored.rejects] == [
        ('{"id": null, "part": 1.0}', "id", "null", "a key", "null"),
        ('{"id": null, "part": 1.0}', "id", "null", "a key", "null"),
        ('{"id": 1, "part": null}', "part", "null", "a key", "null"),
        ('{"id": 2, "part": null}', "part", "null", "a key", "null"),
    ]
    assert (scored.rejected, scored.predictions.num_rows) == (4, 0)


@pytest.mark.parametrize(
    ("type_", "cells", "bad"),
    [
        (pa.int64(), [1, 2.0, 2.5, "3", True, 2**70, b"4"], [2, 3, 4, 5, 6]),
        (pa.float64(), [0.1, 1, True, "1", 2**53 + 1], [2, 3, 4]),
        (pa.string(), ["a", b"a", 1, Decimal("1.50"), UUID(int=5), "\ud800"], [1, 2, 5]),
        (pa.bool_(), [True, 1, False, "x"], [1, 3]),
        (pa.timestamp("us", tz="UTC"), [datetime(2013, 1, 1, tzinfo=NEW_YORK), datetime(2013, 1, 1)], [1]),
        (pa.timestamp("us"), [datetime(2013, 1, 1), datetime(2013, 1, 1, tzinfo=UTC), "2013"], [1, 2]),
        (pa.date32(), [date(2013, 1, 1), datetime(2013, 1, 1, 5)], [1]),
        (pa.binary(), [b"a", "a"], [1]),
    ],
)
def test_listed_keys_are_of_their_type(
    regressor: Model, type_: pa.DataType, cells: list[Any], bad: list[int]
) -> None:
    """In a column that may hold anything, what is none of the type is rejected, not turned into it."""
    scored = scorer(regressor, {"id": type_}).score(chunk(cells))
    assert [(reject.column, reject.reason, reject.expected) for reject in scored.rejects] == [
        ("id", "type", f"a key of type {type_}")
    ] * len(bad)
    good = [cell for row, cell in enumerate(cells) if row not in bad]
    good = [str(cell) if isinstance(cell, Decimal | UUID) else cell for cell in good]
    assert scored.predictions.schema.field("id").type == type_
    assert scored.predictions.column("id").to_pylist() == good
    assert scored.last == (cells[-1],)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (pa.scalar(5), "5"),
        (pa.scalar('Å"\0'), '"Å\\"\\u0000"'),
        (pa.scalar(0.1), "0.1"),
        (pa.scalar(math.inf), '"inf"'),
        (pa.scalar(Decimal("1.50")), '"1.50"'),
        (pa.scalar(b"\x01\xff"), '"01ff"'),
        (pa.scalar(date(2013, 1, 2)), '"2013-01-02"'),
        (pa.scalar(datetime(2013, 1, 2, 3)), '"2013-01-02T03:00:00"'),
        (
            pa.scalar(datetime(2013, 1, 2, 3, 0, 0, 5), pa.timestamp("us", "UTC")),
            '"2013-01-02T03:00:00.000005Z"',
        ),
        (pa.scalar(10**18 + 5, pa.timestamp("ns", "America/New_York")), '"2001-09-09T01:46:40.000000005Z"'),
        (datetime(2013, 1, 2, 3, tzinfo=NEW_YORK), '"2013-01-02T08:00:00Z"'),
        (UUID(int=5), '"00000000-0000-0000-0000-000000000005"'),
        ("\ud800", '"\\ud800"'),
        (Decimal("1E+2"), '"100"'),
        (True, "true"),
    ],
)
def test_a_key_as_text(regressor: Model, cell: Any, text: str) -> None:
    """JSON, always the same for the same key, whatever its type."""
    kind, cells = (cell.type, pa.array([cell])) if isinstance(cell, pa.Scalar) else (pa.binary(), [cell])
    bad = pa.array([None], pa.int64())
    (reject, *_) = scorer(regressor, {"id": kind}).score(chunk(cells, bad)).rejects
    assert reject.row_key == f'{{"id": {text}}}'
    json.loads(reject.row_key)


def test_columns_have_names_of_their_own(regressor: Model) -> None:
    """A key that is called as a prediction would be overwritten, or the other way round."""
    with pytest.raises(SettingsError, match="'Prediction' and 'prediction', which are the same"):
        scorer(regressor, {"Prediction": pa.int64()})


def test_strict_refuses_what_the_pipeline_would_take() -> None:
    """As SKDEPLOY_STRICT_CATEGORIES does at the other doors."""
    model = skdeploy.load(Path(__file__).parent.parent.parent / "model.bin")
    record = {column.name: [column.example] for column in model.schema.columns} | {
        "carrier": ["??"],
        "id": [1],
    }
    assert scorer(model).score(Chunk(record, 1)).predictions.num_rows == 1
    (reject,) = scorer(model, strict=True).score(Chunk(record, 1)).rejects
    assert (reject.column, reject.reason) == ("carrier", "category")
    assert reject.got == 'string "??" (not seen in training)'


def test_good_records_cost_no_python_each(tmp_path: Path, numbers: pd.DataFrame) -> None:
    """Thousands cost hardly more calls than a dozen."""
    model = saved(tmp_path / "m.bin", LinearRegression(), numbers, numbers["a"])
    made = scorer(model)

    def cost(count: int) -> int:
        column = pa.array(np.linspace(0, 1, count))
        records = Chunk({"id": pa.array(range(count)), "a": column, "b": column}, count)
        made.score(records)
        return calls(lambda: made.score(records))

    assert cost(5000) <= cost(12) + 20
