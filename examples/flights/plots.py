"""Pictures of how well the model does on what it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure

from examples.flights.baselines import MODEL, Minutes, Score

TEST_MONTHS = "November and December 2013"

_MODEL_COLOUR = "#1f77b4"
_BASELINE_COLOUR = "#9aa5b1"


def draw(folder: Path, y: pd.Series, predicted: Minutes, scores: Mapping[str, Score]) -> list[Path]:
    """Write flights-predicted.png and flights-mae.png into `folder`, which is made if need be.

    y, predicted   (n,), minutes, of the test months
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        save(predicted_against_actual(y, predicted), folder / "flights-predicted.png"),
        save(mae_bars(scores), folder / "flights-mae.png"),
    ]


def predicted_against_actual(y: pd.Series, predicted: Minutes, of: str = TEST_MONTHS) -> Figure:
    """Density of the flights `of` a time; on the diagonal the prediction is right."""
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    _hexagons(figure, figure.subplots(), y, predicted, of)
    return figure


def scored(y: pd.Series, predicted: Minutes, by_day: pd.DataFrame, of: str) -> Figure:
    """What a job scored: predicted against actual, and the error day by day.

    y, predicted   (n,), minutes
    by_day         the mean absolute error by day (the index) of the model and of baselines (the columns)
    of             which flights these are
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    _hexagons(figure, left, y, predicted, of)
    _error_lines(right, by_day)
    return figure


def _hexagons(figure: Figure, axes: Any, y: pd.Series, predicted: Minutes, of: str) -> None:
    # One scale for both axes, so that the diagonal is at 45 degrees.
    span = (0.0, 1.02 * max(float(y.max()), float(predicted.max())))
    cells = axes.hexbin(
        y, predicted, gridsize=80, bins="log", mincnt=1, extent=(*span, *span), cmap="viridis"
    )
    axes.plot(span, span, color="black", linewidth=1, linestyle="--", label="predicted = actual")
    axes.set(xlim=span, ylim=span, aspect="equal")
    axes.set(xlabel="actual air time (minutes)", ylabel="predicted air time (minutes)")
    axes.set_title(f"{len(y):,} flights of {of}")
    axes.legend(loc="upper left", frameon=False)
    figure.colorbar(cells, ax=axes, label="flights per cell (logarithmic)", shrink=0.85)


def _error_lines(axes: Any, by_day: pd.DataFrame) -> None:
    for name in by_day.columns:
        colour = _MODEL_COLOUR if name == MODEL else _BASELINE_COLOUR
        axes.plot(by_day.index, by_day[name], color=colour, marker="o", markersize=3.5, label=name)
    # Room for the legend above the worst day.
    axes.set(ylim=(0, 1.15 * float(by_day.to_numpy().max())), ylabel="mean absolute error (minutes)")
    axes.set_title("Error by day")
    axes.set_xticks(by_day.index[:: len(by_day) // 8 + 1])
    axes.xaxis.set_major_formatter(DateFormatter("%-d %b"))  # type: ignore[no-untyped-call]
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.legend(loc="upper left", frameon=False, ncols=2)


def residuals(y: pd.Series, predicted: Minutes) -> Figure:
    """Density of the test flights' residuals over their prediction; on the line it is right."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    residual = y.to_numpy() - predicted
    # A few flights were hours off, and the scale is for the others.
    reach = float(np.quantile(np.abs(residual), 0.999))
    right = float(predicted.max())
    shown = np.abs(residual) <= reach
    cells = axes.hexbin(
        predicted[shown],
        residual[shown],
        gridsize=(80, 40),
        bins="log",
        mincnt=1,
        extent=(0, 1.02 * right, -reach, reach),
        cmap="viridis",
    )
    axes.axhline(0, color="black", linewidth=1, linestyle="--")
    axes.set(xlabel="predicted air time (minutes)", ylabel="actual minus predicted (minutes)")
    axes.set_title(f"{len(y):,} flights of {TEST_MONTHS}, {int((~shown).sum())} off the scale")
    figure.colorbar(cells, ax=axes, label="flights per cell (logarithmic)", shrink=0.85)
    return figure


def importance_bars(importances: Mapping[str, float]) -> Figure:
    """By how many minutes the error grows when a column's values are shuffled among the flights."""
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    names = sorted(importances, key=lambda name: -importances[name])
    bars = axes.barh(names, [importances[name] for name in names], color=_MODEL_COLOUR, height=0.65)
    # Without the sum, what is a little below zero reads -0.00.
    axes.bar_label(bars, fmt=lambda minutes: f"{round(minutes, 2) + 0.0:.2f}", padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("growth of the mean absolute error when shuffled (minutes)")
    axes.set_title(f"Permutation importance, {TEST_MONTHS}")
    return figure


def mae_bars(scores: Mapping[str, Score]) -> Figure:
    """The model's mean absolute error beside the baselines'."""
    figure = Figure(figsize=(6.4, 2.4), layout="constrained")
    axes = figure.subplots()
    names = list(scores)
    colours = [_MODEL_COLOUR if name == MODEL else _BASELINE_COLOUR for name in names]
    bars = axes.barh(names, [scores[name].mae for name in names], color=colours, height=0.65)
    axes.bar_label(bars, fmt="%.2f", padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(f"mean absolute error, {TEST_MONTHS} (minutes)")
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG."""
    # A canvas of its own instead of pyplot: no display, no global state.
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110)
    return path
