"""Transformers that make columns of others: projections, polynomials, splines, selections."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.impute import MissingIndicator
from sklearn.preprocessing import PolynomialFeatures, SplineTransformer

from skdeploy.engines.compiling.converters.writer import Transformer, Writer
from skdeploy.engines.compiling.errors import NotCompilable


def _principal(write: Writer, model: Any, x: str) -> str:
    weights = np.asarray(model.components_, dtype=float).T
    if model.whiten:
        variance = np.asarray(model.explained_variance_, dtype=float)
        scale = np.maximum(np.sqrt(variance), np.finfo(variance.dtype).eps)
        weights = weights / scale
    return write.node("MatMul", write.node("Sub", x, np.asarray(model.mean_, dtype=float)[None, :]), weights)


def _truncated(write: Writer, model: Any, x: str) -> str:
    return write.node("MatMul", x, np.asarray(model.components_, dtype=float).T)


def _discriminant(write: Writer, model: Any, x: str) -> str:
    if model.solver == "svd":
        x = write.node("Sub", x, np.asarray(model.xbar_)[None, :])
    return write.node("MatMul", x, np.asarray(model.scalings_)[:, : model._max_components])


def _polynomial(write: Writer, model: Any, x: str) -> str:
    powers = np.asarray(model.powers_)
    degree = max(1, int(powers.sum(axis=1).max()))
    # One more column, of ones, stands for the factors that a product of few columns has not.
    one = powers.shape[1]
    factors = np.full((len(powers), degree), one)
    for row, each in enumerate(powers):
        chosen = np.repeat(np.arange(one), each)
        factors[row, : len(chosen)] = chosen
    padded = write.node("Pad", x, np.array([0, 0, 0, 1]), 1.0)
    product = write.columns(padded, factors[:, 0])
    for place in range(1, degree):
        product = write.node("Mul", product, write.columns(padded, factors[:, place]))
    return product


def _splines(write: Writer, model: Any, x: str) -> str:
    """Each spline is a polynomial between two knots: a table of coefficients, and Horner's rule."""
    if model.extrapolation not in ("constant", "continue"):
        raise NotCompilable(f"SplineTransformer with the extrapolation {model.extrapolation!r}")
    parts = []
    for column, spline in enumerate(model.bsplines_):
        value = write.columns(x, [column])
        knots = np.asarray(spline.t[model.degree : len(spline.t) - model.degree], dtype=float)
        if model.extrapolation == "constant":
            value = write.node("Clip", value, float(knots[0]), float(knots[-1]))
        passed = write.double(write.node("GreaterOrEqual", value, knots[None, 1:-1]))
        piece = write.node("Cast", write.total(passed, keep=False), to=TensorProto.INT64)
        apart = write.node("Sub", value, write.node("Gather", knots[:-1, None], piece, axis=0))
        total = ""
        for power in range(model.degree, -1, -1):
            coefficients = np.asarray(spline(knots[:-1], nu=power)) / math.factorial(power)
            term = write.node("Gather", coefficients, piece, axis=0)
            total = write.node("Add", write.node("Mul", total, apart), term) if total else term
        parts.append(total)
    features = write.side_by_side(parts)
    if model.include_bias:
        return features
    count = model.bsplines_[0].c.shape[1]
    return write.columns(features, [place for place in range(count * len(parts)) if (place + 1) % count])


def _chosen(write: Writer, model: Any, x: str) -> str:
    return write.columns(x, np.flatnonzero(model.get_support()))


def _missing(write: Writer, model: Any, x: str) -> str:
    if not (isinstance(model.missing_values, float) and np.isnan(model.missing_values)):
        raise NotCompilable("MissingIndicator of values that are not NaN")
    return write.double(write.node("IsNaN", write.columns(x, model.features_)))


_SELECTORS = (
    *(RFE, RFECV, GenericUnivariateSelect, SelectFdr, SelectFpr, SelectFromModel, SelectFwe),
    *(SelectKBest, SelectPercentile, SequentialFeatureSelector, VarianceThreshold),
)
TRANSFORMERS: dict[type, Transformer] = {
    **dict.fromkeys((PCA, IncrementalPCA), _principal),
    TruncatedSVD: _truncated,
    LinearDiscriminantAnalysis: _discriminant,
    PolynomialFeatures: _polynomial,
    SplineTransformer: _splines,
    **dict.fromkeys(_SELECTORS, _chosen),
    MissingIndicator: _missing,
}
