"""Nearest neighbours: the distance to every training record.

Of records that are equally far scikit-learn takes those that its search finds first, an order that no
graph can follow; with brute force, rounding in a matrix product decides. A record for which that matters is
left undecided.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid

from skdeploy.engines.compiling.converters.writer import Classifier, Regressor, Scores, Several, Writer
from skdeploy.engines.compiling.errors import NotCompilable

# Training records times columns: brute force takes time in proportion, scikit-learn's search trees do not.
_MOST_CELLS = 1_000_000
# Relative differences of distances below which another way to add up may give another order: of the distances
# themselves, and of what they are differences of where scikit-learn multiplies matrices.
_EQUALLY_FAR, _ROUNDED = 1e-9, 1e-12


def _nearest(write: Writer, x: str, kept: Any, power: int, count: int) -> tuple[str, str]:
    """Distances, negative and if Euclidean squared, to the nearest records, and their places.

    Differences, and no product: equally far records must stay equally far.
    """

    def nearness(record: str) -> str:
        apart = write.node("Sub", kept, record)
        apart = write.node("Abs", apart) if power == 1 else write.node("Mul", apart, apart)
        return write.node("Neg", write.total(apart, keep=False))

    return write.nearest(x, count, nearness)


def _power(model: Any) -> int:
    """1 for Manhattan distances, 2 for Euclidean ones."""
    metric, parameters = model.effective_metric_, dict(model.effective_metric_params_ or {})
    power = {"euclidean": 2, "manhattan": 1}.get(metric, parameters.pop("p", None))
    if power not in (1, 2) or parameters or (metric not in ("euclidean", "manhattan", "minkowski")):
        raise NotCompilable(f"{type(model).__name__} with the distance {metric}")
    return int(power)


def _neighbours(write: Writer, model: Any, x: str) -> tuple[str, str | None]:
    """The places of the nearest training records, (n, k), and their weights, if they have any."""
    kept = model._fit_X
    kept = np.asarray(kept.toarray() if hasattr(kept, "toarray") else kept, dtype=float)
    if kept.size > _MOST_CELLS:
        raise NotCompilable(f"{type(model).__name__} on more than {_MOST_CELLS} training cells")
    if model.weights not in ("uniform", "distance"):
        raise NotCompilable(f"{type(model).__name__} with weights by a function")
    power, count = _power(model), model.n_neighbors
    nearness, places = _nearest(write, x, kept, power, min(count + 1, len(kept)))
    far = write.node("Neg", nearness)
    blur = write.node("Mul", _sizes(write, x, kept), _ROUNDED) if model._fit_method == "brute" else None
    if count < len(kept):
        _leave_ties(write, write.columns(far, [count - 1]), write.columns(far, [count]), blur)
        far, places = (write.columns(tensor, np.arange(count)) for tensor in (far, places))
    if model.weights == "uniform":
        return places, None
    distances = far if power == 1 else write.node("Sqrt", far)
    same = write.double(write.node("Equal", distances, 0.0))
    found = write.node("Greater", write.total(same), 0.0)
    return places, write.node("Where", found, same, write.node("Div", 1.0, distances))


def _sizes(write: Writer, x: str, kept: Any) -> str:
    """The squared length of a record and that of the longest training record, (n, 1)."""
    return write.node("Add", write.total(write.node("Mul", x, x)), float((kept**2).sum(axis=1).max()))


def _leave_ties(write: Writer, lesser: str, greater: str, blur: str | None = None) -> None:
    """Leave records undecided for which two numbers, (n, 1), are as good as equal; `blur` is their error."""
    bound = write.node("Mul", write.node("Abs", greater), _EQUALLY_FAR)
    bound = bound if blur is None else write.node("Add", bound, blur)
    write.leave(write.node("LessOrEqual", write.node("Sub", greater, lesser), bound))


def _regressor(write: Writer, model: Any, x: str) -> str:
    targets = np.asarray(model._y, dtype=float).reshape(len(model._y), -1)
    places, weights = _neighbours(write, model, x)
    values = write.node("Gather", targets, places, axis=0)  # (n, k, outputs)
    if weights is None:
        return write.node("ReduceMean", values, np.array([1]), keepdims=0)
    weighted = write.node("Mul", values, write.node("Unsqueeze", weights, np.array([2])))
    return write.node("Div", write.total(weighted, keep=False), write.total(weights))


def _classifier(write: Writer, model: Any, x: str) -> Scores:
    if model.outputs_2d_:
        raise NotCompilable("a member with several outputs")
    return _elected(write, model.classes_, model._y, *_neighbours(write, model, x))


def _classifier_of_several(write: Writer, model: Any, x: str) -> list[Scores]:
    places, weights = _neighbours(write, model, x)
    return [
        _elected(write, classes, targets, places, weights)
        for classes, targets in zip(model.classes_, np.asarray(model._y).T, strict=True)
    ]


def _elected(write: Writer, classes: Any, targets: Any, places: str, weights: str | None) -> Scores:
    """Each neighbour votes with its weight; `targets` are places of classes."""
    one_hot = np.eye(len(classes))[np.asarray(targets).ravel()]
    votes = write.node("Gather", one_hot, places, axis=0)  # (n, k, classes)
    if weights is not None:
        votes = write.node("Mul", votes, write.node("Unsqueeze", weights, np.array([2])))
    votes = write.total(votes, keep=False)
    if weights is not None and len(classes) > 1:
        most, _ = write.sorted(write.node("Neg", votes), 2)
        _leave_ties(write, write.columns(most, [0]), write.columns(most, [1]))
    return Scores(write.best(votes), write.node("Div", votes, write.total(votes)))


def _centroid(write: Writer, model: Any, x: str) -> Scores:
    spread = np.asarray(model.within_class_std_dev_, dtype=float)
    spread = np.where(spread == 0, 1.0, spread)[None, :]
    prior = np.asarray(model.class_prior_, dtype=float)
    far = _to_centroids(write, model, write.node("Div", x, spread), model.centroids_ / spread)
    decision = write.node("Sub", 2.0 * np.log(prior)[None, :], write.node("Mul", far, far))
    if np.allclose(prior, 1 / len(prior)):
        distances = _to_centroids(write, model, x, model.centroids_)
        nearest, _ = write.sorted(distances, 2)
        _leave_ties(write, write.columns(nearest, [0]), write.columns(nearest, [1]))
        best = write.best(write.node("Neg", distances))
    else:
        best = write.best(decision)
    probabilities = write.node("Softmax", decision, axis=1)
    if len(prior) == 2:
        first, second = write.columns(decision, [0]), write.columns(decision, [1])
        decision = write.node("Sub", second, first)
    return Scores(best, probabilities, decision)


def _to_centroids(write: Writer, model: Any, x: str, centroids: Any) -> str:
    apart = write.node("Sub", write.node("Unsqueeze", x, np.array([1])), centroids[None, :, :])
    if model.metric == "manhattan":
        return write.total(write.node("Abs", apart), axis=2, keep=False)
    return write.node("Sqrt", write.total(write.node("Mul", apart, apart), axis=2, keep=False))


REGRESSORS: dict[type, Regressor] = {KNeighborsRegressor: _regressor}
CLASSIFIERS: dict[type, Classifier] = {KNeighborsClassifier: _classifier, NearestCentroid: _centroid}
SEVERAL: dict[type, Several] = {KNeighborsClassifier: _classifier_of_several}
