"""The worked example: its data, its baselines, its pipeline and its training script."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from pandas.errors import MergeError
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # comes with scikit-learn, without types

import train
from examples.flights import baselines, data
from examples.flights.baselines import DISTANCE_ONLY, MODEL, ROUTE_MEAN, Score
from examples.flights.pipeline import build_pipeline

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As train.py does: where other tests keep the cores busy, OpenMP's threads wait for each other."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="module")
def flights() -> tuple[pd.DataFrame, pd.Series]:
    return data.load_flights()


@pytest.fixture(scope="module")
def split(flights: tuple[pd.DataFrame, pd.Series]) -> data.Split:
    return data.split_by_time(*flights)


@pytest.fixture(scope="module")
def sample(split: data.Split) -> data.Split:
    """A few thousand flights of each side, so that fitting takes a moment."""
    train_rows = split.X_train.sample(5000, random_state=0).index
    test_rows = split.X_test.sample(2000, random_state=0).index
    return data.Split(
        split.X_train.loc[train_rows],
        split.y_train.loc[train_rows],
        split.X_test.loc[test_rows],
        split.y_test.loc[test_rows],
    )


@pytest.fixture(scope="module")
def fitted(sample: data.Split) -> Pipeline:
    return build_pipeline(0).fit(sample.X_train, sample.y_train)


def two_flights() -> pd.DataFrame:
    """One flight that was flown and one that was cancelled, on Sunday 3 November 2013."""
    return pd.DataFrame(
        {
            "origin": ["JFK", "JFK"],
            "dest": ["LAX", "BOS"],
            "carrier": ["AA", "B6"],
            "year": [2013, 2013],
            "month": [11, 11],
            "day": [3, 3],
            "hour": [6, 6],
            "distance": [2475, 187],
            "time_hour": ["2013-11-03T11:00:00Z"] * 2,
            "air_time": [330.0, np.nan],
        }
    )


def weather_of(origin: str, *hours: str) -> pd.DataFrame:
    readings = {name: [7.5] * len(hours) for name in data.WEATHER}
    return pd.DataFrame({"origin": [origin] * len(hours), "time_hour": list(hours), **readings})


def test_every_flown_flight_is_there(flights: tuple[pd.DataFrame, pd.Series]) -> None:
    """336,776 flights less the 9,430 that were cancelled or diverted."""
    X, y = flights
    assert X.shape == (336_776 - 9_430, 13)
    assert len(y) == len(X)
    assert y.min() > 0
    assert y.notna().all()


def test_the_table_has_every_flight() -> None:
    """Cancelled ones, too, without an air time; ids count from 1, moments are in UTC, hours New York's."""
    table = data.flights_table()
    assert table.shape == (336_776, 16)
    assert list(table.columns) == ["flight_id", "time_hour", *data.DESCRIPTIONS, "air_time"]
    assert table["flight_id"].tolist() == list(range(1, 336_777))
    assert table["air_time"].isna().sum() == 9_430
    local = table["time_hour"].dt.tz_convert("America/New_York")
    assert (local.dt.hour == table["hour"]).all()
    assert (local.dt.month == table["month"]).all()


def test_the_columns_have_deliberate_dtypes(flights: tuple[pd.DataFrame, pd.Series]) -> None:
    """Codes are str, whole numbers int64, weather float64: the schema follows from these."""
    X, y = flights
    found = {name: str(dtype) for name, dtype in X.dtypes.items()}
    codes = dict.fromkeys(["origin", "dest", "carrier"], "str")
    numbers = dict.fromkeys(["month", "weekday", "hour", "distance"], "int64")
    assert found == codes | numbers | dict.fromkeys(data.WEATHER, "float64")
    assert y.dtype == "float64"


def test_only_the_weather_has_nulls(flights: tuple[pd.DataFrame, pd.Series]) -> None:
    """Each weather column has missing values in the data as it is, no other column has."""
    nulls = flights[0].isna().any()
    assert set(nulls[nulls].index) == set(data.WEATHER)


def test_the_weather_is_joined_by_origin_and_hour() -> None:
    """A flight gets the weather of its own airport and hour, and its weekday."""
    weather = pd.concat(
        [weather_of("JFK", "2013-11-03T11:00:00Z"), weather_of("EWR", "2013-11-03T11:00:00Z")]
    )
    weather["temp"] = [7.5, 99.0]
    X, y = data.join(two_flights(), weather)
    assert y.tolist() == [330.0]
    assert X[["dest", "weekday", "temp"]].to_numpy().tolist() == [["LAX", 6, 7.5]]


def test_weather_that_was_not_reported_is_null() -> None:
    """A flight without a weather report is kept."""
    X, _ = data.join(two_flights(), weather_of("JFK", "2013-11-03T12:00:00Z"))
    assert len(X) == 1
    assert X[list(data.WEATHER)].isna().all(axis=None)


def test_two_reports_for_an_hour_are_refused() -> None:
    """Otherwise the join would count flights twice."""
    with pytest.raises(MergeError):
        data.join(two_flights(), weather_of("JFK", *["2013-11-03T11:00:00Z"] * 2))


def test_the_split_is_by_time(flights: tuple[pd.DataFrame, pd.Series], split: data.Split) -> None:
    """All that is trained on comes before all that is scored, and no row is lost or doubled."""
    assert sorted(split.X_train["month"].unique()) == list(range(1, 11))
    assert sorted(split.X_test["month"].unique()) == [11, 12]
    assert len(split.X_train) + len(split.X_test) == len(flights[0])
    assert split.X_train.index.equals(split.y_train.index)
    assert split.X_test.index.equals(split.y_test.index)


def tiny(routes: list[tuple[str, str, int]]) -> pd.DataFrame:
    return pd.DataFrame(routes, columns=["origin", "dest", "distance"])


def test_the_route_mean_is_that_of_training() -> None:
    """The mean is per origin and destination, in the order of the rows asked for."""
    X_train = tiny([("JFK", "BOS", 187), ("JFK", "BOS", 187), ("LGA", "BOS", 184), ("JFK", "LAX", 2475)])
    y_train = pd.Series([30.0, 40.0, 50.0, 300.0])
    asked = tiny([("JFK", "LAX", 2475), ("LGA", "BOS", 184), ("JFK", "BOS", 187)])
    asked.index = pd.Index([9, 4, 7])
    assert baselines.route_mean(X_train, y_train, asked).tolist() == [300.0, 50.0, 35.0]


def test_a_route_without_history_gets_the_line_over_distance() -> None:
    """Training flew 1 minute per 10 miles, so 500 miles take 50."""
    X_train = tiny([("JFK", "BOS", 100), ("JFK", "LAX", 1000)])
    predicted = baselines.route_mean(X_train, pd.Series([10.0, 100.0]), tiny([("JFK", "NEW", 500)]))
    assert predicted == pytest.approx([50.0])


def test_distance_only_is_a_straight_line() -> None:
    """Where air times lie on a line, it is found again."""
    X_train = tiny([("JFK", "A", 100), ("JFK", "B", 200), ("JFK", "C", 400)])
    y_train = 20 + X_train["distance"] / 8
    assert baselines.distance_only(X_train, y_train, tiny([("X", "Y", 800)])) == pytest.approx([120.0])


def test_scores_and_their_table() -> None:
    """The MAE is in minutes, and percent below counts from the baseline."""
    assert baselines.score(pd.Series([10.0, 20.0, 30.0]), np.array([11.0, 18.0, 30.0])).mae == 1.0
    scores = {MODEL: Score(8.0, 0.99), ROUTE_MEAN: Score(10.0, 0.9), DISTANCE_ONLY: Score(16.0, 0.8)}
    assert baselines.percent_below(scores, ROUTE_MEAN) == pytest.approx(20)
    assert "20.0 % below mean by route, 50.0 % below distance only" in baselines.table(scores)


def test_same_seed_same_predictions(sample: data.Split) -> None:
    """Fitting twice with one seed gives equal predictions; another seed gives others."""
    first, again, other = (
        build_pipeline(seed).fit(sample.X_train, sample.y_train).predict(sample.X_test) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


def test_months_are_folded_at_july(fitted: Pipeline, sample: data.Split) -> None:
    """November predicts as March does, December as February: trees do not extrapolate."""
    mirrored = sample.X_test.assign(month=14 - sample.X_test["month"])
    assert (fitted.predict(sample.X_test) == fitted.predict(mirrored)).all()
    assert (fitted.predict(sample.X_test) != fitted.predict(sample.X_test.assign(month=7))).any()


def test_null_weather_is_predicted_from(fitted: Pipeline, sample: data.Split) -> None:
    """All weather at once may be missing, as it is where a station was silent."""
    silent = sample.X_test.assign(**dict.fromkeys(data.WEATHER, np.nan))
    assert np.isfinite(fitted.predict(silent)).all()


@pytest.mark.parametrize("column", ["origin", "dest", "carrier"])
def test_an_unknown_category_is_predicted_from(fitted: Pipeline, sample: data.Split, column: str) -> None:
    """A new airline or airport is no reason to refuse a flight."""
    assert np.isfinite(fitted.predict(sample.X_test.assign(**{column: "??"}))).all()


def test_train_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    """--help tells the options, and ends with 0."""
    with pytest.raises(SystemExit) as ended:
        train.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert all(option in said for option in ("--seed", "--out", "--plots", "--quiet"))


def modules_of_ours_loaded_by(path: Path) -> str:
    """What unpickling imports from this repository, seen by a process outside of it."""
    code = (
        "import joblib, sys; joblib.load(sys.argv[1]); "
        "print([name for name in sys.modules if name.split('.')[0] in ('skdeploy', 'examples', 'train')])"
    )
    command = [sys.executable, "-I", "-c", code, str(path)]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_train_writes_a_small_model_that_beats_the_baselines(
    tmp_path: Path, split: data.Split, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole run: at most 1 MB, plain scikit-learn, at least 10 % below the mean by route."""
    out = tmp_path / "model.bin"
    train.main(["--out", str(out), "--plots", str(tmp_path / "plots"), "--quiet"])
    assert out.stat().st_size <= 1_000_000
    assert modules_of_ours_loaded_by(out) == "[]"
    predicted = joblib.load(out).predict(split.X_test)
    baseline = baselines.route_mean(split.X_train, split.y_train, split.X_test)
    model, route = (baselines.score(split.y_test, minutes).mae for minutes in (predicted, baseline))
    assert model < 0.9 * route
    assert f"{model:.2f}" in capsys.readouterr().out
    pictures = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert pictures == ["flights-mae.png", "flights-predicted.png"]
