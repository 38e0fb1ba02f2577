"""Transformers of each number for itself: scalers, binning, powers, quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from skdeploy.engines.compiling.converters.writer import Transformer, Writer
from skdeploy.engines.compiling.errors import NotCompilable


def _scaled(write: Writer, x: str, centre: Any, scale: Any) -> str:
    if centre is not None:
        x = write.node("Sub", x, np.asarray(centre, dtype=float)[None, :])
    if scale is not None:
        x = write.node("Div", x, np.asarray(scale, dtype=float)[None, :])
    return write.node("Identity", x) if centre is None and scale is None else x


def _standard(write: Writer, model: Any, x: str) -> str:
    return _scaled(write, x, model.mean_ if model.with_mean else None, model.scale_)


def _robust(write: Writer, model: Any, x: str) -> str:
    return _scaled(write, x, model.center_, model.scale_)


def _most_absolute(write: Writer, model: Any, x: str) -> str:
    x = _scaled(write, x, None, model.scale_)
    return _clipped(write, x, -1.0, 1.0) if getattr(model, "clip", False) else x


def _least_and_most(write: Writer, model: Any, x: str) -> str:
    x = write.node("Mul", x, np.asarray(model.scale_)[None, :])
    x = write.node("Add", x, np.asarray(model.min_)[None, :])
    return _clipped(write, x, *model.feature_range) if model.clip else x


def _clipped(write: Writer, x: str, low: float, high: float) -> str:
    """Numbers within bounds; a null stays one."""
    return write.node("Where", write.node("IsNaN", x), x, write.node("Clip", x, float(low), float(high)))


def _normal(write: Writer, model: Any, x: str) -> str:
    axis = np.array([1])
    if model.norm == "l2":
        norm = write.node("Sqrt", write.total(write.node("Mul", x, x)))
    elif model.norm == "l1":
        norm = write.total(write.node("Abs", x))
    else:
        norm = write.node("ReduceMax", write.node("Abs", x), axis)
    return write.node("Div", x, write.node("Where", write.node("Equal", norm, 0.0), 1.0, norm))


def _binary(write: Writer, model: Any, x: str) -> str:
    return write.double(write.node("Greater", x, float(model.threshold)))


def _bins(write: Writer, model: Any, x: str) -> str:
    codes, one_hots = [], []
    for column, edges in enumerate(model.bin_edges_):
        inner = np.asarray(edges, dtype=float)[1:-1]
        value = write.columns(x, [column])
        if len(inner):
            code = write.total(write.double(write.node("GreaterOrEqual", value, inner[None, :])))
        else:
            code = write.node("Mul", value, 0.0)
        codes.append(code)
        if model.encode != "ordinal":
            one_hots.append(write.double(write.node("Equal", code, np.arange(len(edges) - 1.0)[None, :])))
    return write.side_by_side(codes if model.encode == "ordinal" else one_hots)


def _power(write: Writer, model: Any, x: str) -> str:
    columns = []
    for column, exponent in enumerate(np.asarray(model.lambdas_, dtype=float).tolist()):
        value = write.columns(x, [column])
        if np.isnan(exponent):
            columns.append(value)
        elif model.method == "box-cox":
            columns.append(_box_cox(write, value, exponent))
        else:
            columns.append(_yeo_johnson(write, value, exponent))
    x = write.side_by_side(columns)
    if not model.standardize:
        return x
    return _standard(write, model._scaler, x)


def _box_cox(write: Writer, x: str, exponent: float) -> str:
    logarithm = write.node("Log", x)
    if exponent == 0:
        return logarithm
    grown = write.node("Exp", write.node("Mul", logarithm, exponent))
    return write.node("Div", write.node("Sub", grown, 1.0), exponent)


def _yeo_johnson(write: Writer, x: str, exponent: float) -> str:
    above = _box_cox(write, write.node("Add", write.node("Max", x, 0.0), 1.0), exponent)
    below = write.node("Sub", 1.0, write.node("Min", x, 0.0))
    below = write.node("Neg", _box_cox(write, below, 2.0 - exponent))
    chosen = write.node("Where", write.node("GreaterOrEqual", x, 0.0), above, below)
    return write.node("Where", write.node("IsNaN", x), x, chosen)


def _quantiles(write: Writer, model: Any, x: str) -> str:
    if model.output_distribution != "uniform":
        raise NotCompilable("QuantileTransformer to a normal distribution")
    columns = []
    for column, quantiles in enumerate(np.asarray(model.quantiles_, dtype=float).T):
        value = write.columns(x, [column])
        low, high = float(quantiles[0]), float(quantiles[-1])
        inside = write.node("Clip", value, low, high)
        up = write.interpolation(inside, quantiles, model.references_)
        down = write.interpolation(write.node("Neg", inside), -quantiles[::-1], -model.references_[::-1])
        mean = write.node("Mul", write.node("Sub", up, down), 0.5)
        mean = write.node("Where", write.node("GreaterOrEqual", value, high), 1.0, mean)
        mean = write.node("Where", write.node("LessOrEqual", value, low), 0.0, mean)
        columns.append(write.node("Where", write.node("IsNaN", value), value, mean))
    return write.side_by_side(columns)


TRANSFORMERS: dict[type, Transformer] = {
    StandardScaler: _standard,
    RobustScaler: _robust,
    MaxAbsScaler: _most_absolute,
    MinMaxScaler: _least_and_most,
    Normalizer: _normal,
    Binarizer: _binary,
    KBinsDiscretizer: _bins,
    PowerTransformer: _power,
    QuantileTransformer: _quantiles,
}
