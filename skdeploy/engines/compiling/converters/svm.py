"""Support vector machines and kernel ridge: a kernel between a record and the kept training records.

Source: libsvm's `svm_predict_values`; scikit-learn's `svm/_base.py`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from sklearn.kernel_ridge import KernelRidge
from sklearn.svm import SVC, SVR, NuSVC, NuSVR

from skdeploy.engines.compiling.converters.writer import Classifier, Regressor, Scores, Writer
from skdeploy.engines.compiling.errors import NotCompilable

# A decision that is as near to 0 as rounding may put it, as a share of what is added up.
_ROUNDING = 1e-13
# (gamma * squared norm) up to which squared distances come out exact enough from a product.
_FAR = 1e6


def _kernel(write: Writer, x: str, kept: Any, kind: Any, gamma: float, degree: int, start: float) -> str:
    """The kernel of each record with each kept one, (n, kept)."""
    if kind == "rbf":
        return _rbf(write, x, kept, gamma)
    product = write.node("MatMul", x, kept.T)
    if kind == "linear":
        return product
    inner = write.node("Add", write.node("Mul", product, float(gamma)), float(start))
    if kind == "sigmoid":
        return write.node("Tanh", inner)
    if kind not in ("poly", "polynomial"):
        raise NotCompilable(f"the kernel {kind}")
    return write.node("Pow", inner, float(degree))


def _rbf(write: Writer, x: str, kept: Any, gamma: float) -> str:
    centre = kept.mean(axis=0, keepdims=True)
    kept = kept - centre
    squares = (kept**2).sum(axis=1)
    if gamma * squares.max() > _FAR:
        raise NotCompilable("support vectors too far apart for their kernel")
    x = write.node("Sub", x, centre)
    own = write.total(write.node("Mul", x, x))
    distance = write.node("Add", write.node("MatMul", x, -2.0 * kept.T), squares[None, :])
    distance = write.node("Max", write.node("Add", distance, own), 0.0)
    return write.node("Exp", write.node("Mul", distance, -gamma))


def _machine(write: Writer, model: Any, x: str) -> tuple[str, Any]:
    """The kernel with the support vectors, and their dual coefficients as libsvm has them."""
    if callable(model.kernel):
        raise NotCompilable("the kernel is a function")
    kept, dual = _dense(model.support_vectors_), _dense(model._dual_coef_)
    if not len(kept):
        raise NotCompilable("no support vectors")
    kernel = _kernel(write, x, kept, model.kernel, model._gamma, model.degree, model.coef0)
    return kernel, dual


def _dense(array: Any) -> Any:
    return np.asarray(array.toarray() if hasattr(array, "toarray") else array, dtype=float)


def _support_vector_regressor(write: Writer, model: Any, x: str) -> str:
    kernel, dual = _machine(write, model, x)
    return write.affine(kernel, dual.T, model._intercept_)


def _support_vector_classifier(write: Writer, model: Any, x: str) -> Scores:
    if getattr(model, "probability", None) is True:
        raise NotCompilable(f"libsvm iterates for {type(model).__name__}'s probabilities")
    kernel, dual = _machine(write, model, x)
    classes = len(model.classes_)
    pairs = list(itertools.combinations(range(classes), 2))
    owner = np.repeat(np.arange(classes), model._n_support)
    weights = np.zeros((len(owner), len(pairs)))
    for place, (first, second) in enumerate(pairs):
        weights[owner == first, place] = dual[second - 1, owner == first]
        weights[owner == second, place] = dual[first, owner == second]
    decision = write.affine(kernel, weights, model._intercept_)  # > 0: the first of the pair
    _leave_undecided(write, kernel, decision, np.abs(weights).sum(axis=0) + np.abs(model._intercept_))
    if classes == 2:
        decision = write.node("Neg", decision)
        return Scores(write.positive(decision), decision=decision)
    return _of_pairs(write, model, decision, pairs)


def _leave_undecided(write: Writer, kernel: str, decision: str, added: Any) -> None:
    """Leave records to scikit-learn where rounding decides between two classes; `added` is of each pair."""
    greatest = write.node("ReduceMax", write.node("Abs", kernel), np.array([1]), keepdims=1)
    bound = write.node("Mul", write.node("Max", greatest, 1.0), _ROUNDING * added[None, :])
    margin = write.node("Sub", write.node("Abs", decision), bound)
    least = write.node("ReduceMin", margin, np.array([1]), keepdims=1)
    write.leave(write.node("LessOrEqual", least, 0.0))


def _of_pairs(write: Writer, model: Any, decision: str, pairs: list[tuple[int, int]]) -> Scores:
    """Each pair has one vote; `break_ties` and `decision_function` add how sure the pairs are."""
    classes = len(model.classes_)
    first = np.array([[place == pair[0] for place in range(classes)] for pair in pairs], dtype=float)
    second = np.array([[place == pair[1] for place in range(classes)] for pair in pairs], dtype=float)
    chosen = write.double(write.node("Greater", decision, 0.0))
    # libsvm's vote needs > 0, scikit-learn's decision function >= 0.
    votes = write.affine(chosen, first - second, second.sum(axis=0))
    if model.decision_function_shape == "ovo":
        return Scores(write.best(votes), decision=decision)
    chosen = write.double(write.node("GreaterOrEqual", decision, 0.0))
    sums = write.node("MatMul", decision, first - second)
    bound = write.node("Mul", write.node("Add", write.node("Abs", sums), 1.0), 3.0)
    shaped = write.node(
        "Add",
        write.affine(chosen, first - second, second.sum(axis=0)),
        write.node("Div", sums, bound),
    )
    return Scores(write.best(shaped if model.break_ties else votes), decision=shaped)


def _kernel_ridge(write: Writer, model: Any, x: str) -> str:
    kept = _dense(model.X_fit_)
    gamma = 1.0 / kept.shape[1] if model.gamma is None else model.gamma
    kernel = _kernel(write, x, kept, model.kernel, gamma, model.degree, model.coef0)
    dual = np.asarray(model.dual_coef_, dtype=float).reshape(len(kept), -1)
    return write.node("MatMul", kernel, dual)


REGRESSORS: dict[type, Regressor] = {
    **dict.fromkeys((SVR, NuSVR), _support_vector_regressor),
    KernelRidge: _kernel_ridge,
}
CLASSIFIERS: dict[type, Classifier] = dict.fromkeys((SVC, NuSVC), _support_vector_classifier)
