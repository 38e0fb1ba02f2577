"""The documents' pictures of a run: bars sorted by value, skdeploy in colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.documents import Document
from benchmarks.report import SHOWN
from benchmarks.results import Row, rows
from benchmarks.servers import SERVERS

_OURS, _FLOOR, _HANDWRITTEN, _OTHER = "#1f77b4", "#dfe4e8", "#6b7680", "#9aa5b1"
_INK = "#4a5560"
_LINES = {"skdeploy": _OURS, "skdeploy-sklearn": "#74b3e0", "flask": "#6b7680", "mlflow": "#a9b2bb"}


def draw(document: Document, folder: Path) -> list[Path]:
    """Write the four pictures into `folder`; that by columns only if they were measured."""
    table = [row for row in rows(document) if row.kind in SHOWN]
    pictures = {
        "throughput": throughput(table),
        "latency": latency(table),
        "footprint": footprint([row for row in table if row.kind != "floor"]),
    }
    if "columns" in document:
        pictures["columns"] = by_columns(document)
    return [_save(figure, folder / f"benchmark-{name}.png") for name, figure in pictures.items()]


def throughput(table: Sequence[Row]) -> Figure:
    """One record per request, and 1,000."""
    figure = Figure(figsize=(9, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    _bars(left, table, lambda row: row.one, "requests/s, one record, 16 connections", "{:,.0f}")
    many = [row for row in table if row.kind != "floor" and not math.isnan(row.many)]
    _bars(right, many, lambda row: row.many, "records/s, 1,000 a request", "{:,.0f}")
    return figure


def latency(table: Sequence[Row]) -> Figure:
    """p50 to p99, on a logarithmic axis because the servers are orders of magnitude apart."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _ranges(left, table, lambda row: row.p1, "p50, p90 and p99 in ms, one connection")
    _ranges(right, table, lambda row: row.p16, "the same at 16 connections")
    return figure


def footprint(table: Sequence[Row]) -> Figure:
    """Start, memory and installation."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    _bars(first, table, lambda row: row.start, "start to first answer, s", "{:.1f}", least_first=True)
    _bars(second, table, lambda row: row.memory, "memory under load, MB", "{:,.0f}", least_first=True)
    installed = [row for row in table if row.key != "skdeploy-sklearn"]
    _bars(third, installed, lambda row: row.install, "installed, MB", "{:,.0f}", least_first=True)
    return figure


def by_columns(document: Document) -> Figure:
    """Requests per second against the number of columns of a linear model."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for key, rates in document["columns"]["requests_per_second"].items():
        counts = [int(count) for count in rates]
        values = [median(rate) for rate in rates.values()]
        colour = _LINES[key]
        axes.plot(counts, values, marker="o", markersize=4, color=colour)
        axes.annotate(
            SERVERS[key].label,
            (counts[-1], values[-1]),
            xytext=(8, 0),
            textcoords="offset points",
            color=colour,
            va="center",
        )
    axes.set(xscale="log", yscale="log", xlabel="columns of a record", xticks=counts)
    axes.set_xticklabels(map(str, counts))
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:,.0f}")
    _title(axes, "requests/s, one record, 16 connections")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlim(right=counts[-1] * 4.5)
    return figure


def _bars(
    axes: Any,
    table: Sequence[Row],
    value: Callable[[Row], float],
    title: str,
    label: str,
    *,
    least_first: bool = False,
) -> None:
    ordered = sorted(table, key=value, reverse=not least_first)
    bars = axes.barh(
        [row.label for row in ordered],
        [value(row) for row in ordered],
        color=[_colour(row) for row in ordered],
        height=0.7,
    )
    axes.bar_label(bars, [label.format(value(row)) for row in ordered], padding=3, fontsize=8, color=_INK)
    axes.invert_yaxis()
    axes.margins(x=0.16)
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    _title(axes, title)
    _mark_ours(axes, ordered)


def _ranges(
    axes: Any, table: Sequence[Row], value: Callable[[Row], tuple[float, float, float]], title: str
) -> None:
    ordered = sorted(table, key=lambda row: value(row)[0])
    for place, row in enumerate(ordered):
        p50, p90, p99 = value(row)
        colour = _colour(row) if row.kind != "floor" else "#c3cbd2"
        axes.plot([p50, p99], [place, place], color=colour, linewidth=3, solid_capstyle="round")
        axes.plot([p50, p90, p99], [place] * 3, "o", color=colour, markersize=5)
        axes.annotate(
            f"{_short(p50)} to {_short(p99)}",
            (p99, place),
            xytext=(7, 0),
            textcoords="offset points",
            fontsize=8,
            color=_INK,
            va="center",
        )
    axes.set_yticks(range(len(ordered)), [row.label for row in ordered])
    axes.invert_yaxis()
    axes.set_xscale("log")
    low, high = (pick(value(row)[i] for row in ordered) for pick, i in ((min, 0), (max, 2)))
    axes.set_xlim(low / 1.5, high * 8)
    powers = range(math.ceil(math.log10(low / 1.5)), math.floor(math.log10(high)) + 1)
    axes.set_xticks([10.0**power for power in powers])
    axes.minorticks_off()
    axes.xaxis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    _title(axes, title)
    _mark_ours(axes, ordered)


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _mark_ours(axes: Any, ordered: Sequence[Row]) -> None:
    for text, row in zip(axes.get_yticklabels(), ordered, strict=True):
        text.set(fontsize=8.5, color=_OURS if row.kind == "ours" else _INK)
        text.set_fontweight("bold" if row.kind == "ours" else "normal")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=8, colors=_INK)


def _title(axes: Any, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9.5, color=_INK)


def _colour(row: Row) -> str:
    return {"ours": _OURS, "floor": _FLOOR, "handwritten": _HANDWRITTEN}.get(row.kind, _OTHER)


def _save(figure: Figure, path: Path) -> Path:
    # A canvas of its own instead of pyplot: no display, no global state.
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=110)
    return path
