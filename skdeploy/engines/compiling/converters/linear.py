"""Linear models: x @ coef + intercept, and what is made of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cross_decomposition import PLSCanonical, PLSRegression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import (
    ARDRegression,
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lars,
    LarsCV,
    Lasso,
    LassoCV,
    LassoLars,
    LassoLarsCV,
    LassoLarsIC,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    MultiTaskElasticNet,
    MultiTaskElasticNetCV,
    MultiTaskLasso,
    MultiTaskLassoCV,
    OrthogonalMatchingPursuit,
    OrthogonalMatchingPursuitCV,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TheilSenRegressor,
    TweedieRegressor,
)
from sklearn.svm import LinearSVC, LinearSVR

from skdeploy.engines.compiling.converters.writer import Classifier, Regressor, Scores, Writer
from skdeploy.engines.compiling.errors import NotCompilable


def _raw(write: Writer, model: Any, x: str) -> str:
    return write.affine(x, np.atleast_2d(np.asarray(model.coef_, dtype=float)).T, model.intercept_)


def _generalized(write: Writer, model: Any, x: str) -> str:
    return linked(write, _raw(write, model, x), model._base_loss, type(model).__name__)


def linked(write: Writer, raw: str, loss: Any, what: str) -> str:
    """The prediction from what a model adds up, through its loss's link; `what` is for the refusal."""
    link = type(loss.link).__name__
    kinds = {"IdentityLink": "Identity", "LogLink": "Exp"}
    if link not in kinds:
        raise NotCompilable(f"{what} with {link}")
    return write.node(kinds[link], raw)


def _partial_least_squares(write: Writer, model: Any, x: str) -> str:
    weights = np.asarray(model.coef_, dtype=float).T
    return write.affine(write.node("Sub", x, model._x_mean[None, :]), weights, model.intercept_)


def _ransac(write: Writer, model: Any, x: str) -> str:
    return write.regressor(model.estimator_, x)


def _decided(write: Writer, model: Any, x: str) -> Scores:
    """A class without probabilities."""
    decision = _raw(write, model, x)
    if len(np.atleast_2d(model.coef_)) == 1:
        return Scores(write.positive(decision), decision=decision)
    if np.ndim(model.classes_[0]) or len(model.classes_) != len(model.coef_):
        raise NotCompilable("a classifier with several outputs")
    return Scores(write.best(decision), decision=decision)


def _softmax(write: Writer, model: Any, x: str) -> Scores:
    decided = _decided(write, model, x)
    decision = str(decided.decision)
    if len(model.classes_) > 2:
        return Scores(decided.best, write.node("Softmax", decision, axis=1), decision)
    return Scores(decided.best, write.two_classes(write.node("Sigmoid", decision)), decision)


def _gradient_descent(write: Writer, model: Any, x: str) -> Scores:
    decided = _decided(write, model, x)
    decision = str(decided.decision)
    if model.loss == "log_loss":
        chances = write.chances(decision)
    elif model.loss == "modified_huber":
        chances = write.node("Div", write.node("Add", write.node("Clip", decision, -1.0, 1.0), 1.0), 2.0)
    else:
        return decided
    if len(model.classes_) == 2:
        return Scores(decided.best, write.two_classes(chances), decision)
    return Scores(decided.best, one_of_several(write, chances, len(model.classes_)), decision)


def one_of_several(write: Writer, chances: str, classes: int) -> str:
    """Chances of one class against the others, made to sum to 1; where all are 0, they are equal."""
    total = write.total(chances)
    none = write.node("Equal", total, 0.0)
    chances = write.node("Where", none, np.ones((1, classes)), chances)
    return write.node("Div", chances, write.node("Where", none, float(classes), total))


_PLAIN = (
    *(ARDRegression, BayesianRidge, ElasticNet, ElasticNetCV, HuberRegressor, Lars, LarsCV, Lasso),
    *(LassoCV, LassoLars, LassoLarsCV, LassoLarsIC, LinearRegression, LinearSVR, MultiTaskElasticNet),
    *(MultiTaskElasticNetCV, MultiTaskLasso, MultiTaskLassoCV, OrthogonalMatchingPursuit),
    *(OrthogonalMatchingPursuitCV, QuantileRegressor, Ridge, RidgeCV),
    *(SGDRegressor, TheilSenRegressor),
)
REGRESSORS: dict[type, Regressor] = {
    **dict.fromkeys(_PLAIN, _raw),
    **dict.fromkeys((PoissonRegressor, GammaRegressor, TweedieRegressor), _generalized),
    **dict.fromkeys((PLSRegression, PLSCanonical), _partial_least_squares),
    RANSACRegressor: _ransac,
}
CLASSIFIERS: dict[type, Classifier] = {
    **dict.fromkeys((LogisticRegression, LogisticRegressionCV, LinearDiscriminantAnalysis), _softmax),
    **dict.fromkeys((LinearSVC, Perceptron, RidgeClassifier, RidgeClassifierCV), _decided),
    SGDClassifier: _gradient_descent,
}
