"""Pipelines of other people, saved, loaded and served: the service says what scikit-learn says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
import pytest
from flask.testing import FlaskClient
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

import skdeploy
from benchmarks.inprocess import InProcess, request
from skdeploy.config import WebSettings
from skdeploy.drift import Meter, psi
from skdeploy.drift.meter import with_outputs
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.errors import ModelUnavailable, SaveError, UnreadableModel
from skdeploy.model import Model, measured
from skdeploy.schema import RecordReader
from skdeploy.scoring import Scorer
from skdeploy.web import create_app
from tests import pipelines
from tests.own_transformers import calendar
from tests.web.ways import client_of

POSTED = 40
# Columns tried with nulls and unseen values: all, but for the model with 600 of them.
TRIED_COLUMNS = 12
UNSEEN = "never seen before"

# Without a passport nothing tells that these columns hold dates or texts.
CANNOT_SERVE_BARE = {
    "datetimes_with_zone",
    "datetimes_without_zone",
    "own_transformer_and_text_length",
}


class Case(NamedTuple):
    """A foreign pipeline, its training data, the file it was saved to, and a client of its service."""

    pipeline: Any
    X: Any
    y: Any
    path: Path
    model: Model
    client: FlaskClient

    @property
    def names(self) -> list[str] | None:
        """The outputs' names if there are several."""
        if np.ndim(self.y) < 2:
            return None
        return (
            list(self.y.columns) if hasattr(self.y, "columns") else [f"y{i}" for i in range(self.y.shape[1])]
        )


class Bare(NamedTuple):
    """The same pipeline as `joblib.dump` writes it, and its service, or why there is none."""

    client: FlaskClient | None
    reason: str | None


@pytest.fixture(scope="module", autouse=True)
def single_thread() -> Iterator[None]:
    """As the service runs; on a busy machine, threads that wait for each other take seconds."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module", params=pipelines.PIPELINES, ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    pipeline, X, y = request.param()
    path = tmp_path_factory.mktemp("foreign") / "model.bin"
    skdeploy.save(pipeline, X, y, path)
    model = skdeploy.load(path)
    return Case(pipeline, X, y, path, model, client_of(model))


@pytest.fixture(scope="module")
def bare(case: Case) -> Bare:
    path = case.path.with_name("bare.bin")
    joblib.dump(case.pipeline, path)
    try:
        return Bare(client_of(skdeploy.load(path)), None)
    except UnreadableModel as error:
        return Bare(None, str(error))


def records_of(X: Any) -> list[dict[str, Any]]:
    """Training inputs as a client would post them; a null for what is missing."""
    if isinstance(X, pd.DataFrame):
        columns = {name: [_plain(value) for value in X[name].tolist()] for name in X.columns}
    elif isinstance(X, pd.Series):
        columns = {str(X.name): X.tolist()}
    elif isinstance(X, np.ndarray):
        columns = {f"x{i}": X[:, i].tolist() for i in range(X.shape[1])}
    elif isinstance(X[0], str):
        columns = {"text": X}
    else:
        keys = dict.fromkeys(key for record in X for key in record)
        columns = {key: [record.get(key) for record in X] for key in keys}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.isoformat() if isinstance(value, pd.Timestamp) else value


def take(X: Any, rows: list[int]) -> Any:
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    return X[rows] if isinstance(X, np.ndarray) else [X[row] for row in rows]


def posted_rows(case: Case) -> list[int]:
    """Evenly spaced training rows, and the first ones with a null in each column."""
    records = records_of(case.X)
    nulls = {
        name: i for i, record in reversed(list(enumerate(records))) for name in record if record[name] is None
    }
    return sorted({*range(0, len(records), len(records) // POSTED), *nulls.values()})


def post(client: FlaskClient, body: Any, query: str = "") -> Any:
    return client.post(f"/predict{query}", data=json.dumps(body), content_type="application/json")


def answers(client: FlaskClient, body: Any, query: str = "") -> list[Any]:
    response = post(client, body, query)
    assert response.status_code == 200, response.text
    return list(response.json["predictions"])


def assert_equal(case: Case, got: list[Any], raw: Any) -> None:
    """`got`, from the service, is `raw`, from the pipeline, within DECISIONS' tolerance."""
    raw = np.asarray(raw)
    if case.names is not None:
        assert all(list(value) == case.names for value in got)
        got = [value[name] for value in got for name in case.names]
    spreads = _spreads(case)
    expected = raw.reshape(-1).tolist()
    rtol = 1e-9 if raw.dtype != np.float32 else 1e-5
    assert len(got) == len(expected)
    for place, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert type(a) is type(b)
        if isinstance(b, float):
            assert abs(a - b) <= rtol * abs(b) + rtol * spreads[place % len(spreads)], (place, a, b)
        else:
            assert a == b, place


def _spreads(case: Case) -> list[float]:
    raw = np.asarray(case.pipeline.predict(case.X))
    if raw.dtype.kind != "f":
        return [0.0]
    spreads: list[float] = raw.reshape(len(raw), -1).std(axis=0).tolist()
    return spreads


def test_the_file_holds_a_plain_pipeline_and_proves_itself(case: Case) -> None:
    """joblib.load gives the pipeline itself, predicting the same; loading it proves golden records."""
    plain = joblib.load(case.path)
    assert type(plain) is type(case.pipeline)
    assert np.array_equal(plain.predict(case.X), case.pipeline.predict(case.X))
    assert not hasattr(case.pipeline, "passport_")
    assert case.model.passport.golden.predictions
    assert case.model.notes == ()


def test_one_by_one(case: Case) -> None:
    """Each training row, posted alone, gets the pipeline's own prediction."""
    records = records_of(case.X)
    got = []
    for row in posted_rows(case):
        response = post(case.client, records[row])
        assert response.status_code == 200, response.text
        got.append(response.json["prediction"])
    assert_equal(case, got, case.pipeline.predict(take(case.X, posted_rows(case))))


@pytest.mark.parametrize("step", [1, -1, 7], ids=["in order", "backwards", "mixed"])
def test_a_list_in_its_order_whatever_the_neighbours(case: Case, step: int) -> None:
    """A list gets the pipeline's predictions in the order of its records, whichever stand side by side."""
    rows = posted_rows(case)
    rows = sorted(rows, key=lambda row: row * step % 41) if step > 1 else rows[::step]
    records = records_of(case.X)
    got = answers(case.client, [records[row] for row in rows])
    assert_equal(case, got, case.pipeline.predict(take(case.X, rows)))


def test_requests_that_arrive_together_are_answered_as_if_alone(case: Case) -> None:
    """Scored in one call, each record gets what it gets alone; so the start-up proof lets them share a call.

    BLAS adds up in another order for another number of records: the last bits of a sum may differ.
    """
    engine = SklearnEngine(case.pipeline, case.model.schema)
    served = measured(replace(case.model, engine=engine, cost=None))
    assert served.together
    records = records_of(case.X)
    requests = [request(json.dumps(records[row]).encode()) for row in posted_rows(case)[:10]]
    settings = WebSettings.from_env({})
    with closing(InProcess(create_app(served, settings), settings, len(requests))) as loop:
        together = [_prediction(answer) for answer in loop.ask(requests)]
        alone = [_prediction(loop.ask([one])[0]) for one in requests]
    single_precision = np.asarray(case.pipeline.predict(case.X)).dtype == np.float32
    tolerance = 1e-5 if single_precision else 1e-12
    for got, expected in zip(together, alone, strict=True):
        if isinstance(expected, float) or (isinstance(expected, dict) and _are_numbers(expected)):
            assert got == pytest.approx(expected, rel=tolerance, abs=tolerance)
        else:
            assert got == expected


def _prediction(answer: bytes) -> Any:
    assert answer.startswith(b"HTTP/1.1 200 "), answer
    return json.loads(answer.partition(b"\r\n\r\n")[2])["prediction"]


def _are_numbers(outputs: dict[str, Any]) -> bool:
    return all(isinstance(value, float) for value in outputs.values())


def test_probabilities(case: Case) -> None:
    """?proba=true adds predict_proba by class, or is refused with 400 where there is none."""
    rows = posted_rows(case)
    records = records_of(case.X)
    body = [records[row] for row in rows]
    if not hasattr(case.pipeline, "predict_proba"):
        assert post(case.client, body, "?proba=true").status_code == 400
        return
    items = answers(case.client, body, "?proba=true")
    assert [item["index"] for item in items] == list(range(len(rows)))
    assert_equal(case, [item["prediction"] for item in items], case.pipeline.predict(take(case.X, rows)))
    raw = case.pipeline.predict_proba(take(case.X, rows))
    by_output = (
        zip(case.names, raw, case.pipeline.classes_, strict=True)
        if case.names
        else [(None, raw, _classes(case))]
    )
    for name, expected, classes in by_output:
        keys = [
            label if isinstance(label, str) else json.dumps(label) for label in np.asarray(classes).tolist()
        ]
        for item, row in zip(items, expected, strict=True):
            given = item["probabilities"] if name is None else item["probabilities"][name]
            assert list(given) == keys
            assert np.allclose(list(given.values()), row, rtol=1e-9, atol=1e-12)
    alone = post(case.client, body[0], "?proba=true").json
    assert alone["probabilities"].keys() == items[0]["probabilities"].keys()


def _classes(case: Case) -> Any:
    return case.pipeline.classes_


def test_nulls_as_scikit_learn_takes_them(case: Case) -> None:
    """A null is answered as the pipeline answers it in that column, or is a 422 where it raises."""
    record = records_of(case.X)[0]
    for name in list(record)[:TRIED_COLUMNS]:
        expected = [_try(case, inputs) for inputs in _with_null(case.X, name)]
        _assert_taken_alike(case, case.client, record | {name: None}, expected, name)


def test_unseen_values_as_scikit_learn_takes_them(case: Case) -> None:
    """A value unseen in training is answered as the pipeline does, or is a 422 where it raises."""
    record = records_of(case.X)[0]
    for name in list(record)[:TRIED_COLUMNS]:
        value = _unseen(case.X, name)
        expected = [_try(case, _with_value(case.X, name, value))]
        _assert_taken_alike(case, case.client, record | {name: _plain(value)}, expected, name)


def _assert_taken_alike(
    case: Case, client: FlaskClient, record: dict[str, Any], expected: list[Any], name: str
) -> None:
    """`expected` are the pipeline's predictions, one for each way to write the value; None: it raises."""
    response = post(client, record)
    predicted = [raw for raw in expected if raw is not None]
    assert response.status_code == (200 if predicted else 422), (name, response.text)
    if not predicted:
        assert [error["column"] for error in response.json["errors"]] == [name]
        return
    for index, raw in enumerate(predicted):
        try:
            assert_equal(case, [response.json["prediction"]], raw)
        except AssertionError:
            if index == len(predicted) - 1:
                raise
        else:
            return


def _try(case: Case, inputs: Any) -> Any:
    """The pipeline's prediction, or None if it raises or predicts no finite number."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            raw = np.asarray(case.pipeline.predict(inputs))
    except Exception:
        return None
    return None if raw.dtype.kind == "f" and not np.isfinite(raw).all() else raw


def _with_null(X: Any, name: str) -> list[Any]:
    """The first training row with a null in the column, in each way that training may have written it."""
    if not isinstance(X, pd.DataFrame):
        return _with_null_elsewhere(X, name)
    dtype = X[name].dtype
    if dtype.kind == "O" and str(dtype) == "object":
        seen = [value for value in X[name] if pd.isna(value)][:1] or [None, np.nan]
        cells = [pd.Series([null], dtype=object) for null in seen]
    elif dtype.kind in "iu" and isinstance(dtype, np.dtype):
        cells = [pd.Series([np.nan])]
    elif str(dtype) == "bool":
        cells = [pd.Series([null], dtype=object) for null in (np.nan, None)]
    else:
        cells = [pd.Series([None], dtype=dtype)]
    return [X.iloc[[0]].assign(**{name: cell.set_axis(X.index[:1])}) for cell in cells]


def _with_null_elsewhere(X: Any, name: str) -> list[Any]:
    if isinstance(X, np.ndarray):
        return [_with_value(X.astype(float), name, np.nan)]
    if isinstance(X[0], str):
        return [[None], [np.nan]]
    sometimes_absent = any(name not in record for record in X)
    without = {key: value for key, value in X[0].items() if key != name}
    return [[without]] if sometimes_absent else [[X[0] | {name: null}] for null in (None, np.nan)]


def _with_value(X: Any, name: str, value: Any) -> Any:
    if isinstance(X, pd.DataFrame):
        dtype: Any = X[name].dtype
        if isinstance(dtype, pd.CategoricalDtype):
            dtype = pd.CategoricalDtype([*dtype.categories, value], dtype.ordered)
        return X.iloc[[0]].assign(**{name: pd.Series([value], X.index[:1], dtype=dtype)})
    if isinstance(X, np.ndarray):
        changed = X[[0]].copy()
        changed[0, int(name.removeprefix("x"))] = value
        return changed
    return [value] if isinstance(X[0], str) else [X[0] | {name: value}]


def _unseen(X: Any, name: str) -> Any:
    """A value of the column's type that training did not have."""
    seen = pd.Series([record[name] for record in records_of(X)]).dropna()
    if isinstance(X, pd.DataFrame) and X[name].dtype.kind == "M":
        return X[name].max() + pd.Timedelta(days=400)
    if isinstance(seen.iloc[0], str):
        return UNSEEN
    if isinstance(seen.iloc[0], (bool, np.bool_)):
        return not seen.iloc[0]
    value = seen.max() + 1
    return int(value) if isinstance(seen.iloc[0], (int, np.integer)) else float(value)


def test_without_a_passport(case: Case, bare: Bare, request: pytest.FixtureRequest) -> None:
    """A bare pickle is served and predicts right what it accepts; or it does not start, and says why."""
    if request.node.callspec.params["case"].__name__ in CANNOT_SERVE_BARE:
        assert bare.client is None
        assert "skdeploy.save(" in str(bare.reason)
        return
    assert bare.client is not None, bare.reason
    rows = posted_rows(case)
    records = _as_bare(bare.client, case.X)
    response = post(bare.client, [records[row] for row in rows], "?errors=partial")
    assert response.status_code == 200, response.text
    good = [item for item in response.json["predictions"] if "prediction" in item]
    accepted = [rows[item["index"]] for item in good]
    assert len(accepted) >= len(rows) // 2, response.text
    got = [item["prediction"] for item in good]
    expected = case.pipeline.predict(take(case.X, accepted))
    assert_equal(case._replace(y=np.asarray(case.y)), got, expected)


def test_without_a_passport_nothing_is_a_500(case: Case, bare: Bare) -> None:
    """A bare pickle answers a null or unseen value as the pipeline does, or refuses it; never a 500."""
    if bare.client is None:
        return
    record = _as_bare(bare.client, case.X)[0]
    for name, original in list(zip(record, records_of(case.X)[0], strict=True))[:TRIED_COLUMNS]:
        value = _unseen(case.X, original)
        tried = [(None, _with_null(case.X, original)), (value, [_with_value(case.X, original, value)])]
        for cell, inputs in tried:
            body = record | {name: _plain(cell)}
            if post(bare.client, body).status_code == 422:
                continue
            expected = [_try(case, each) for each in inputs]
            _assert_taken_alike(case._replace(y=np.asarray(case.y)), bare.client, body, expected, name)


def _as_bare(client: FlaskClient, X: Any) -> list[dict[str, Any]]:
    """The records as a bare model asks for them: it knows no Series' name, and takes booleans for numbers."""
    about: Any = client.get("/").json
    columns = about["schema"]["properties"]
    records = records_of(X)
    if len(columns) == len(records[0]) == 1:
        return [dict(zip(columns, record.values(), strict=True)) for record in records]
    numbers = {name for name, column in columns.items() if "number" in column["type"]}
    return [
        {
            name: int(cell) if name in numbers and isinstance(cell, bool) else cell
            for name, cell in record.items()
        }
        for record in records
    ]


@pytest.fixture
def log_client(tmp_path: Path) -> FlaskClient:
    pipeline, X, y = pipelines.log_of_area()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    return client_of(skdeploy.load(tmp_path / "model.bin"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_valid_record_that_cannot_be_scored_is_alone_in_that(log_client: FlaskClient) -> None:
    """A record on which the pipeline raises is a 500 of its own; its neighbours keep their predictions."""
    good, bad = {"area": 9.0, "rooms": 3.0}, {"area": -1.0, "rooms": 3.0}
    alone = post(log_client, bad)
    assert alone.status_code == 500
    assert alone.json["type"].endswith("unscorable-record")
    expected = post(log_client, good).json["prediction"]
    items = answers(log_client, [good, bad, good], "?errors=partial")
    assert [item.get("prediction") for item in items] == [expected, None, expected]
    assert items[1]["error"]["type"].endswith("unscorable-record")
    refused = post(log_client, [good, bad, good])
    assert refused.status_code == 500
    assert [error["record"] for error in refused.json["errors"]] == [1]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("make", "price"), [(pipelines.infinite_far_away, 1e6), (pipelines.nan_far_away, -1e6)]
)
def test_a_prediction_that_is_no_finite_number_is_not_sent(
    tmp_path: Path, make: Callable[[], pipelines.Fitted], price: float
) -> None:
    """NaN and infinity are no JSON: that record is a 500 of its own, the others are answered."""
    pipeline, X, y = make()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    client = client_of(skdeploy.load(tmp_path / "model.bin"))
    assert not np.isfinite(pipeline.predict(pd.DataFrame({"price": [price]}))).any()
    assert post(client, {"price": price}).status_code == 500
    items = answers(client, [{"price": price}, {"price": 5.0}], "?errors=partial")
    assert "error" in items[0]
    assert items[1]["prediction"] == pytest.approx(pipeline.predict(pd.DataFrame({"price": [5.0]}))[0])


def _numbers(count: int = 40) -> pd.DataFrame:
    return pd.DataFrame({"a": np.linspace(-1, 1, count), "n": np.arange(count)})


def _served(pipeline: Any, X: Any, y: Any, path: Path, **options: Any) -> FlaskClient:
    skdeploy.save(pipeline, X, y, path, **options)
    return client_of(skdeploy.load(path))


def test_an_integer_column_overridden_to_float_keeps_its_fractions(tmp_path: Path) -> None:
    """columns={"n": "float"} over an integer dtype: 1.5 is predicted as 1.5, not cut to 1."""
    X = _numbers()
    pipeline = LinearRegression().fit(X, X["n"] * 2.0)
    client = _served(pipeline, X, X["n"], tmp_path / "model.bin", columns={"n": "float"})
    expected = pipeline.predict(pd.DataFrame({"a": [0.0], "n": [1.5]}))[0]
    assert post(client, {"a": 0.0, "n": 1.5}).json["prediction"] == pytest.approx(expected)


@pytest.mark.parametrize("imputed", [False, True])
def test_integers_beyond_a_double_are_saved(tmp_path: Path, imputed: bool) -> None:
    """64-bit identifiers in an int64 column are saved and served, whether or not the pipeline imputes."""
    X = _numbers().assign(n=np.arange(40) + 2**60 + 1)
    model = make_pipeline(SimpleImputer(), LinearRegression()) if imputed else LinearRegression()
    pipeline = model.fit(X, X["a"])
    client = _served(pipeline, X, X["a"], tmp_path / "model.bin")
    response = post(client, {"a": 0.5, "n": 2**60 + 7})
    assert response.status_code == 200, response.text


def test_one_of_very_many_categories_is_refused_where_the_pipeline_raises(tmp_path: Path) -> None:
    """An encoder with more than 10,000 categories that raises on others: 422, as with a few."""
    X = pd.DataFrame({"code": [f"c{i}" for i in range(10_500)]})
    pipeline = make_pipeline(OrdinalEncoder(), LinearRegression()).fit(X, np.arange(10_500.0))
    client = _served(pipeline, X, None, tmp_path / "model.bin")
    assert post(client, {"code": "c7"}).status_code == 200
    assert post(client, {"code": UNSEEN}).status_code == 422


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_number_with_a_bounded_domain_is_no_category(tmp_path: Path) -> None:
    """A pipeline that raises above 1 takes any number below it, not just the ones seen in training."""
    X = pd.DataFrame({"share": np.linspace(0.01, 0.99, 60)})
    pipeline = make_pipeline(FunctionTransformer(np.arctanh), LinearRegression()).fit(X, np.arange(60.0))
    client = _served(pipeline, X, None, tmp_path / "model.bin")
    response = post(client, {"share": 0.123})
    assert response.status_code == 200, response.text
    expected = pipeline.predict(pd.DataFrame({"share": [0.123]}))[0]
    assert response.json["prediction"] == pytest.approx(expected)


def test_an_unseen_moment_is_refused_where_the_pipeline_raises(tmp_path: Path) -> None:
    """Dates as categories: one that the encoder does not know and raises on is a 422."""
    X = pd.DataFrame({"day": pd.to_datetime(["2020-01-01", "2021-01-01"] * 20)})
    pipeline = make_pipeline(OneHotEncoder(), LinearRegression()).fit(X, np.arange(40.0))
    client = _served(pipeline, X, None, tmp_path / "model.bin")
    assert post(client, {"day": "2021-01-01T00:00:00"}).status_code == 200
    assert post(client, {"day": "2022-01-01T00:00:00"}).status_code == 422


def test_moments_at_the_ends_of_the_calendar_are_the_callers_fault(tmp_path: Path) -> None:
    """A date-time that leaves the calendar in UTC is a 422 for its record and no matter for the others."""
    pipeline, X, y = pipelines.datetimes_with_zone()
    client = _served(pipeline, X, y, tmp_path / "model.bin")
    good = {"at": "2024-06-01T12:00:00+02:00"}
    for moment in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z"):
        assert post(client, {"at": moment}).status_code == 422, moment
        items = answers(client, [good, {"at": moment}], "?errors=partial")
        assert ["prediction" in item for item in items] == [True, False]


def test_probabilities_without_classes(tmp_path: Path) -> None:
    """A mixture has predict_proba but no classes: ?proba=true is a 400, or its components'; never a 500."""
    X = _numbers()
    client = _served(GaussianMixture(2, random_state=0).fit(X), X, None, tmp_path / "model.bin")
    assert post(client, {"a": 0.1, "n": 3}).status_code == 200
    response = post(client, {"a": 0.1, "n": 3}, "?proba=true")
    assert response.status_code == 400 or sum(response.json["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize("factor", [1 + 3e-7, 1 - 3e-7])
def test_single_precision_is_proved_in_single_precision(tmp_path: Path, factor: float) -> None:
    """A float32 model differs in its seventh digit between numbers of BLAS threads, and is no other."""
    pipeline, X, y = pipelines.float32_predictions()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    moved = joblib.load(tmp_path / "model.bin")
    moved[-1].coef_ = moved[-1].coef_ * np.float32(factor)
    joblib.dump(moved, tmp_path / "moved.bin")
    assert skdeploy.load(tmp_path / "moved.bin").passport.golden.predictions


def _without_coefficients(pipeline: Any) -> None:
    del pipeline[-1].coef_


def _with_two_outputs(pipeline: Any) -> None:
    pipeline[-1].coef_ = np.vstack([pipeline[-1].coef_] * 2)


def _with_fewer_golden_predictions(pipeline: Any) -> None:
    del pipeline.passport_["golden"]["predictions"][3:]


def _with_fewer_golden_columns(pipeline: Any) -> None:
    del pipeline.passport_["golden"]["cells"][1:]


def _without_golden_records(pipeline: Any) -> None:
    golden = pipeline.passport_["golden"]
    golden["predictions"], golden["cells"] = [], [[] for _ in golden["cells"]]


def _with_a_dtype_of_tomorrow(pipeline: Any) -> None:
    pipeline.passport_["schema"]["columns"][0]["dtype"] = "float31"


@pytest.mark.parametrize(
    "damage",
    [
        _without_coefficients,
        _with_two_outputs,
        _with_fewer_golden_predictions,
        _with_fewer_golden_columns,
        _without_golden_records,
        _with_a_dtype_of_tomorrow,
    ],
)
def test_a_proof_that_cannot_be_made_has_failed(tmp_path: Path, damage: Callable[[Any], None]) -> None:
    """Whatever a pipeline raises on its golden records, as after an update, refuses the model."""
    pipeline, X, y = pipelines.mixed_regression()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    damaged = joblib.load(tmp_path / "model.bin")
    damage(damaged)
    joblib.dump(damaged, tmp_path / "damaged.bin")
    with pytest.raises(ModelUnavailable):
        skdeploy.load(tmp_path / "damaged.bin")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "cannot be unpickled"),
        (b"<html></html>", "cannot be unpickled"),
        (b'{"a": 1}', "cannot be unpickled"),
    ],
)
def test_a_file_that_is_no_pickle(tmp_path: Path, content: bytes, said: str) -> None:
    """An empty file, a web page, JSON: refused as unreadable."""
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(UnreadableModel, match=said):
        skdeploy.load(tmp_path / "model.bin")


@pytest.mark.parametrize(
    "value", [{"model": 1}, [1], None, "text", LinearRegression, StandardScaler(), LinearRegression()]
)
def test_a_pickle_that_is_no_fitted_pipeline(tmp_path: Path, value: Any) -> None:
    """A pickle of something else, or of something unfitted, is refused as unreadable."""
    joblib.dump(value, tmp_path / "model.bin")
    with pytest.raises(UnreadableModel):
        skdeploy.load(tmp_path / "model.bin")


@pytest.mark.parametrize("cut", [0.5, -30, -4, -1])
def test_a_file_that_was_cut(tmp_path: Path, cut: float) -> None:
    """A download that ended early is refused, also within its last four bytes, the checksum."""
    pipeline, X, y = pipelines.mixed_regression()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    content = (tmp_path / "model.bin").read_bytes()
    (tmp_path / "cut.bin").write_bytes(content[: int(cut * len(content)) if cut > 0 else int(cut)])
    with pytest.raises(UnreadableModel):
        skdeploy.load(tmp_path / "cut.bin")


def test_a_file_with_bytes_behind_its_end(tmp_path: Path) -> None:
    """A newline behind model.bin is refused; joblib alone would read on until the memory is full."""
    pipeline, X, y = pipelines.mixed_regression()
    skdeploy.save(pipeline, X, y, tmp_path / "model.bin")
    with (tmp_path / "model.bin").open("ab") as file:
        file.write(b"\n")
    script = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))
import skdeploy
try:
    skdeploy.load(sys.argv[1])
except skdeploy.errors.UnreadableModel as error:
    print("Memory" not in str(error))
"""
    run = subprocess.run(
        [sys.executable, "-c", "import skdeploy.errors" + script, str(tmp_path / "model.bin")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.stdout.strip() == "True", run.stderr


def test_text_that_says_main_is_no_code_of_the_script(tmp_path: Path) -> None:
    """A category called "__main__" is data; only classes and functions of __main__ are refused."""
    X = pd.DataFrame({"module": ["__main__", "other"] * 20})
    pipeline = make_pipeline(OneHotEncoder(), LinearRegression()).fit(X, np.arange(40.0))
    client = _served(pipeline, X, None, tmp_path / "model.bin")
    assert post(client, {"module": "__main__"}).status_code == 200


def _mixed() -> pd.DataFrame:
    return pd.DataFrame({"a": np.arange(4.0), "b": pd.Series([1, "x", 2.5, None], dtype=object)})


def _two_nulls() -> pd.DataFrame:
    return pd.DataFrame({"c": pd.Series(["u", None, np.nan, "v"] * 10, dtype=object)})


def _moments(zone: Any = None) -> pd.DataFrame:
    return pd.DataFrame({"at": pd.date_range("2024-03-30", periods=40, freq="7h", tz=zone)})


def _only_a(X: pd.DataFrame) -> Any:
    parts = ColumnTransformer([("a", "passthrough", ["a"])])
    return make_pipeline(parts, LinearRegression()).fit(X, X["a"])


def _calendar(X: pd.DataFrame) -> Any:
    return make_pipeline(FunctionTransformer(calendar), LinearRegression()).fit(X, np.arange(40.0))


def _one_hot(X: pd.DataFrame) -> Any:
    return make_pipeline(OneHotEncoder(), LinearRegression()).fit(X, np.arange(float(len(X))))


_TWICE = pd.DataFrame(np.eye(40)[:, :2], columns=["b", "b"])
_DATED = pd.DataFrame({"c": pd.Categorical(pd.to_datetime(["2020-01-01", "2021-01-01"] * 20))})
_KEYS: list[dict[Any, float]] = [{1: float(i)} for i in range(40)]


class Refused(NamedTuple):
    """A call of save that cannot succeed, and what its message must name."""

    pipeline: Any
    X: Any
    named: str
    y: Any = None
    options: dict[str, Any] = {}  # noqa: RUF012 - a NamedTuple's default, never changed


def _two_outputs() -> Any:
    return LinearRegression().fit(_numbers(), np.eye(40)[:, :2])


def _any_inputs(X: Any) -> Any:
    return make_pipeline(DictVectorizer(), DummyRegressor()).fit(X, range(40))


UNSAVABLE: dict[str, Callable[[], Refused]] = {
    "no rows": lambda: Refused(_only_a(_numbers()), _numbers()[:0], "no rows|empty"),
    "no columns": lambda: Refused(
        DummyRegressor().fit(_numbers(), range(40)), pd.DataFrame(index=range(5)), "no columns|empty"
    ),
    "a dict": lambda: Refused({"a": 1}, _numbers(), "dict"),
    "a class": lambda: Refused(LinearRegression, _numbers(), "fitted|class"),
    "unfitted": lambda: Refused(LinearRegression(), _numbers(), "fitted"),
    "mixed column": lambda: Refused(_only_a(_mixed()), _mixed(), "'b'"),
    "mixed column, called float": lambda: Refused(
        _only_a(_mixed()), _mixed(), "'b'", options={"columns": {"b": "float?"}}
    ),
    "type that is no text": lambda: Refused(
        _only_a(_numbers()), _numbers(), "'n'", options={"columns": {"n": 5}}
    ),
    "None and NaN in one column": lambda: Refused(_one_hot(_two_nulls()), _two_nulls(), "'c'"),
    "zone without a name": lambda: Refused(
        _calendar(_moments("dateutil/Europe/Berlin")), _moments("dateutil/Europe/Berlin"), "'at'"
    ),
    "categories that are dates": lambda: Refused(_one_hot(_DATED), _DATED, "'c'"),
    "keys that are no text": lambda: Refused(_any_inputs(_KEYS), _KEYS, "key|string"),
    "outputs of one name": lambda: Refused(_two_outputs(), _numbers(), "'b'", _TWICE),
    "more names than outputs": lambda: Refused(
        _two_outputs(), _numbers(), "outputs?|y ", pd.DataFrame(np.eye(40)[:, :3])
    ),
    "golden misspelt": lambda: Refused(
        _only_a(_numbers()), _numbers(), "golden", options={"golden": "sythetic"}
    ),
    "version that is no text": lambda: Refused(
        _only_a(_numbers()), _numbers(), "version", options={"version": 3}
    ),
}


@pytest.mark.parametrize("case_name", UNSAVABLE)
def test_what_cannot_be_saved_is_refused_with_the_reason(tmp_path: Path, case_name: str) -> None:
    """save() raises SaveError naming what is wrong, never another exception, and leaves no file."""
    case = UNSAVABLE[case_name]()
    with pytest.raises(SaveError, match=case.named):
        skdeploy.save(case.pipeline, case.X, case.y, tmp_path / "model.bin", **case.options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("make", pipelines.PIPELINES[:-1], ids=lambda make: make.__name__)
def test_synthetic_golden_records_prove_the_model_too(
    make: Callable[[], pipelines.Fitted], tmp_path: Path
) -> None:
    """golden="synthetic": no training row is in the file, and the made-up records prove it."""
    pipeline, X, y = make()
    passport = skdeploy.save(pipeline, X, y, tmp_path / "model.bin", golden="synthetic")
    assert passport.golden.synthetic
    assert skdeploy.load(tmp_path / "model.bin").passport.golden.predictions


def test_training_data_have_not_drifted(case: Case) -> None:
    """Read and predicted as the doors do it they are in the bins of the passport's sketch."""
    sketch = case.model.passport.sketch
    assert sketch is not None
    meter = Meter(sketch)
    checked = RecordReader(case.model.schema).read(records_of(case.X))
    assert not checked.bad
    outputs = Scorer(case.model).predict(checked.table).columns
    counts = meter.by_column(meter.count(with_outputs(checked.table, outputs)))
    assert sketch.records == len(records_of(case.X))
    for bins in sketch.all:
        assert psi(bins.shares, counts[bins.name]) == pytest.approx(0, abs=1e-6), bins.name
