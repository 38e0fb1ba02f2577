"""Draw how flights of each month of 2013 have drifted for a model that was fitted in summer.

The model learns from June to August. The picture shows the population stability index of every column
and of the predictions, month by month, and the model's error beside them.
"""

from __future__ import annotations

import argparse
import calendar
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from threadpoolctl import threadpool_limits  # comes with scikit-learn, without types

import skdeploy
from examples.flights import data
from examples.flights.pipeline import build_pipeline
from examples.flights.plots import save
from skdeploy.drift import PREDICTION, Tally, drifted
from skdeploy.model import Model
from skdeploy.schema import RecordReader
from skdeploy.scoring import Scorer

SUMMER = (6, 7, 8)
# Of each month so many flights are looked at: by chance the index is then 0.01 at most.
_FLIGHTS = 5000
# Small tables are counted whole.
_TABLE = 1000
_LIMITS = (0.0, 0.1, 0.25, 1.0, 20.0)
_COLOURS = ("#f4f7fb", "#fde9b8", "#f7a35c", "#c8452e")


def main(argv: Sequence[str] | None = None) -> None:
    """Fit, count, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path, metavar="FILE", help="where the PNG goes")
    picture: Path = parser.parse_args(argv).picture
    X, y = data.load_flights()
    with threadpool_limits(1):
        found, errors = measured(fitted(X, y), X, y)
    save(drawn(found, errors), picture)
    print(found.round(3).to_string())
    print(errors.round(2).to_string())


def fitted(X: pd.DataFrame, y: pd.Series) -> Model:
    """A model of the summer's flights, with its sketch."""
    summer = X["month"].isin(SUMMER)
    pipeline = build_pipeline(13).fit(X[summer], y[summer])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "summer.bin")
        skdeploy.save(pipeline, X[summer], y[summer], path, quiet=True, name="summer", columns=data.REQUIRED)
        return skdeploy.load(path)


def measured(
    model: Model, X: pd.DataFrame, y: pd.Series, flights: int = _FLIGHTS
) -> tuple[pd.DataFrame, pd.Series]:
    """The index, by column and month; and the mean absolute error by month, minutes."""
    sketch = model.passport.sketch
    assert sketch is not None  # noqa: S101 - `fitted` has saved it
    reader, columns, errors = RecordReader(model.schema), {}, {}
    for month in range(1, 13):
        rows = X[X["month"] == month].sample(flights, random_state=0)
        # By way of JSON, as a service reads them: that has no NaN.
        table = reader.read(json.loads(rows.to_json(orient="records"))).table
        minutes = Scorer(model).predict(table).labels
        tally = Tally(sketch)
        for first in range(0, table.count, _TABLE):
            tally.add(table.rows(range(first, first + _TABLE)), [minutes[first : first + _TABLE]])
        name = calendar.month_abbr[month]
        columns[name] = {column: one.psi for column, one in drifted(sketch, tally.counts).items()}
        errors[name] = float(np.abs(y[rows.index] - minutes).mean())
    return pd.DataFrame(columns), pd.Series(errors)


def drawn(found: pd.DataFrame, errors: pd.Series) -> Figure:
    """A cell per column and month, and the error's line below."""
    figure = Figure(figsize=(9, 7.6), layout="constrained")
    cells, line = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    norm = BoundaryNorm(_LIMITS, len(_COLOURS))
    image = cells.imshow(found.to_numpy(), cmap=ListedColormap(_COLOURS), norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(found.to_numpy()):
        dark = value >= _LIMITS[3]
        shown = f"{value:.1f}" if dark else f"{value:.2f}"
        cells.text(
            column, row, shown, ha="center", va="center", fontsize=8, color="white" if dark else "black"
        )
    names = ["the prediction" if name == PREDICTION else name for name in found.index]
    cells.set_yticks(range(len(names)), names)
    cells.set_title("Population stability index for a model fitted on June to August")
    bar = figure.colorbar(image, ax=cells, ticks=_LIMITS[1:-1], shrink=0.6)
    bar.ax.set_yticklabels([f"{limit:g}" for limit in _LIMITS[1:-1]])
    line.plot(range(len(errors)), errors.to_numpy(), marker="o", color="#1f77b4")
    line.set(ylim=(0, 1.2 * float(errors.max())), ylabel="error (minutes)")
    line.set_title("Its mean absolute error")
    line.set_xticks(range(len(errors)), list(errors.index))
    line.grid(axis="y", alpha=0.3)
    line.spines[["top", "right"]].set_visible(False)
    return figure


if __name__ == "__main__":
    main()
