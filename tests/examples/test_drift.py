"""The picture of how flights drift with the seasons."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from examples.flights import data, drift
from examples.flights.plots import save
from skdeploy.drift import PREDICTION


@pytest.fixture(scope="module")
def flights() -> tuple[pd.DataFrame, pd.Series]:
    """A thousand of each month."""
    X, y = data.load_flights()
    rows = X.groupby("month").sample(1000, random_state=0).index
    return X.loc[rows], y.loc[rows]


def test_a_model_of_the_summer_sees_the_winter(
    flights: tuple[pd.DataFrame, pd.Series], tmp_path: Path
) -> None:
    """Its temperatures are others; its airports are the same; and the picture shows something."""
    X, y = flights
    found, errors = drift.measured(drift.fitted(X, y), X, y, flights=1000)
    assert list(found.index) == [*data.DESCRIPTIONS, PREDICTION]
    assert (found.loc["temp", ["Jan", "Dec"]] > 1).all()
    assert (found.loc["temp", ["Jun", "Jul", "Aug"]] < 0.5).all()
    assert (found.loc["origin"] < 0.1).all()
    assert errors["Jan"] > errors["Jul"]
    picture = imread(save(drift.drawn(found, errors), tmp_path / "drift.png"))
    assert np.unique(picture.reshape(-1, picture.shape[-1]), axis=0).shape[0] > 10
