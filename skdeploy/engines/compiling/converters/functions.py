"""FunctionTransformer with numpy's functions, and the inverse of a transformed target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from skdeploy.engines.compiling.converters.writer import Transformer, Writer
from skdeploy.engines.compiling.errors import NotCompilable

_FUNCTIONS: dict[Any, Callable[[Writer, str], str]] = {
    np.log: lambda write, x: write.node("Log", x),
    np.log1p: lambda write, x: write.node("Log", write.node("Add", x, 1.0)),
    np.log2: lambda write, x: write.node("Div", write.node("Log", x), np.log(2.0)),
    np.log10: lambda write, x: write.node("Div", write.node("Log", x), np.log(10.0)),
    np.exp: lambda write, x: write.node("Exp", x),
    np.expm1: lambda write, x: write.node("Sub", write.node("Exp", x), 1.0),
    np.exp2: lambda write, x: write.node("Exp", write.node("Mul", x, np.log(2.0))),
    np.sqrt: lambda write, x: write.node("Sqrt", x),
    np.cbrt: lambda write, x: write.node(
        "Mul", write.node("Sign", x), write.node("Pow", write.node("Abs", x), 1.0 / 3.0)
    ),
    np.square: lambda write, x: write.node("Mul", x, x),
    np.reciprocal: lambda write, x: write.node("Div", 1.0, x),
    np.abs: lambda write, x: write.node("Abs", x),
    np.fabs: lambda write, x: write.node("Abs", x),
    np.negative: lambda write, x: write.node("Neg", x),
    np.positive: lambda write, x: write.node("Identity", x),
    np.sign: lambda write, x: write.node("Sign", x),
    np.floor: lambda write, x: write.node("Floor", x),
    np.ceil: lambda write, x: write.node("Ceil", x),
    np.rint: lambda write, x: write.node("Round", x),
    np.tanh: lambda write, x: write.node("Tanh", x),
}


def _apply(write: Writer, function: Any, arguments: Any, x: str) -> str:
    if function is None:
        return write.node("Identity", x)
    if arguments or not isinstance(function, np.ufunc) or function not in _FUNCTIONS:
        name = getattr(function, "__name__", "a callable")
        raise NotCompilable(f"the function {name} has no compiled form")
    return _FUNCTIONS[function](write, x)


def _function(write: Writer, model: Any, x: str) -> str:
    return _apply(write, model.func, model.kw_args, x)


def inverse_target(write: Writer, model: Any, predicted: str) -> str:
    """What a TransformedTargetRegressor makes of its regressor's predictions, (n, outputs)."""
    transformer = model.transformer_
    if isinstance(transformer, FunctionTransformer):
        return _apply(write, transformer.inverse_func, transformer.inv_kw_args, predicted)
    if isinstance(transformer, MinMaxScaler) and not transformer.clip:
        shifted = write.node("Sub", predicted, transformer.min_[None, :])
        return write.node("Div", shifted, transformer.scale_[None, :])
    if not isinstance(transformer, (StandardScaler, RobustScaler, MaxAbsScaler)):
        raise NotCompilable(f"the inverse of {type(transformer).__name__} has no compiled form")
    scale, start = transformer.scale_, getattr(transformer, "mean_", getattr(transformer, "center_", None))
    if scale is not None:
        predicted = write.node("Mul", predicted, np.asarray(scale)[None, :])
    if start is not None and getattr(transformer, "with_mean", True):
        predicted = write.node("Add", predicted, np.asarray(start)[None, :])
    return predicted


TRANSFORMERS: dict[type, Transformer] = {FunctionTransformer: _function}
