"""Trees, forests and gradient boosting, each as one TreeEnsemble."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from skdeploy.engines.compiling.converters.categories import split_by_category
from skdeploy.engines.compiling.converters.linear import linked
from skdeploy.engines.compiling.converters.writer import Classifier, Regressor, Scores, Several, Writer
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.trees import Tree, of_histogram, of_sklearn

TREE_CLASSIFIERS = (DecisionTreeClassifier, ExtraTreeClassifier)
TREE_REGRESSORS = (DecisionTreeRegressor, ExtraTreeRegressor)


def tree_sum(write: Writer, x: str, trees: list[Tree]) -> str:
    """The sum over trees of single precision of what their leaves add, (n, targets)."""
    if trees[0].values.shape[1] == 1:
        return write.trees(x, [(tree, 0, 0) for tree in trees], 1, single=True)
    # A leaf can add to one target alone. So it says where it stands in a table: a tree for each target
    # would take up to seven times as long.
    table = np.concatenate([tree.values for tree in trees])
    starts = np.cumsum([0] + [len(tree.values) for tree in trees[:-1]])
    places = [
        (dataclasses.replace(tree, values=(start + np.arange(len(tree.values)))[:, None]), 0, place)
        for place, (tree, start) in enumerate(zip(trees, starts, strict=True))
    ]
    leaves = write.node("Cast", write.trees(x, places, len(trees), single=True), to=TensorProto.INT64)
    return write.total(write.node("Gather", table, leaves, axis=0), keep=False)


def tree_of(member: Any, values: Any, features: Any = None) -> Tree:
    """A fitted tree whose leaves add `values`, (nodes, targets); `features`: the columns it was given."""
    tree = of_sklearn(member.tree_, values)
    if features is None:
        return tree
    return dataclasses.replace(tree, feature=np.asarray(features)[np.maximum(tree.feature, 0)])


def _forest_regressor(write: Writer, model: Any, x: str) -> str:
    members = getattr(model, "estimators_", [model])
    total = tree_sum(write, x, [tree_of(member, member.tree_.value[:, :, 0]) for member in members])
    return write.node("Div", total, float(len(members))) if len(members) > 1 else total


def _forest_classifier(write: Writer, model: Any, x: str) -> Scores:
    if model.n_outputs_ != 1:
        raise NotCompilable("a member with several outputs")
    members = getattr(model, "estimators_", [model])
    probabilities = tree_sum(write, x, [tree_of(member, member.tree_.value[:, 0, :]) for member in members])
    if len(members) > 1:
        probabilities = write.node("Div", probabilities, float(len(members)))
    return Scores(write.best(probabilities), probabilities)


def _forest_of_several(write: Writer, model: Any, x: str) -> list[Scores]:
    """The leaves hold the classes of one output after those of the other."""
    members, counts = getattr(model, "estimators_", [model]), [len(classes) for classes in model.classes_]
    trees = []
    for member in members:
        outputs = [member.tree_.value[:, place, :count] for place, count in enumerate(counts)]
        trees.append(tree_of(member, np.concatenate(outputs, axis=1)))
    total = write.node("Div", tree_sum(write, x, trees), float(len(members)))
    ends = np.cumsum(counts)
    found = [
        write.columns(total, np.arange(end - count, end)) for count, end in zip(counts, ends, strict=True)
    ]
    return [Scores(write.best(probabilities), probabilities) for probabilities in found]


def _histogram_raw(write: Writer, model: Any, x: str) -> str:
    if model._preprocessor is not None:
        raise NotCompilable("HistGradientBoosting with categories that another step calculates")
    targets = len(model._predictors[0])
    trees = [of_histogram(predictor) for stage in model._predictors for predictor in stage]
    x, trees = split_by_category(write, x, model._n_features, trees, above=-1.0)
    placed = [(tree, 0, place % targets) for place, tree in enumerate(trees)]
    baseline = np.asarray(model._baseline_prediction, dtype=float).reshape(1, targets)
    return write.node("Add", write.trees(x, placed, targets, single=False), baseline)


def _histogram_regressor(write: Writer, model: Any, x: str) -> str:
    return linked(write, _histogram_raw(write, model, x), model._loss, "HistGradientBoosting")


def _histogram_classifier(write: Writer, model: Any, x: str) -> Scores:
    return _of_raw(write, model, _histogram_raw(write, model, x))


def _boosting_raw(write: Writer, model: Any, x: str) -> str:
    if type(model.init_).__name__ not in ("DummyRegressor", "DummyClassifier") and model.init_ != "zero":
        raise NotCompilable("GradientBoosting on top of another model")
    width = model.estimators_.shape[1]
    trees = [
        (of_sklearn(member.tree_, member.tree_.value[:, :, 0] * model.learning_rate), 0, target)
        for stage in model.estimators_
        for target, member in enumerate(stage)
    ]
    constant = np.zeros((1, model.n_features_in_), dtype=np.float32)
    start = np.asarray(model._raw_predict_init(constant), dtype=float).reshape(1, width)
    return write.node("Add", write.trees(x, trees, width, single=True), start)


def _boosting_classifier(write: Writer, model: Any, x: str) -> Scores:
    raw = _boosting_raw(write, model, x)
    scores = _of_raw(write, model, raw)
    if model.loss != "exponential":
        return scores
    twice = _of_raw(write, model, write.node("Mul", raw, 2.0))
    return Scores(scores.best, twice.probabilities, raw)


def _of_raw(write: Writer, model: Any, raw: str) -> Scores:
    if len(model.classes_) > 2:
        probabilities = write.node("Softmax", raw, axis=1)
    else:
        probabilities = write.two_classes(write.node("Sigmoid", raw))
    return Scores(write.best(probabilities), probabilities, raw)


_FORESTS = (RandomForestClassifier, ExtraTreesClassifier, *TREE_CLASSIFIERS)
REGRESSORS: dict[type, Regressor] = {
    **dict.fromkeys((RandomForestRegressor, ExtraTreesRegressor, *TREE_REGRESSORS), _forest_regressor),
    HistGradientBoostingRegressor: _histogram_regressor,
    GradientBoostingRegressor: _boosting_raw,
}
CLASSIFIERS: dict[type, Classifier] = {
    **dict.fromkeys(_FORESTS, _forest_classifier),
    HistGradientBoostingClassifier: _histogram_classifier,
    GradientBoostingClassifier: _boosting_classifier,
}
SEVERAL: dict[type, Several] = dict.fromkeys(_FORESTS, _forest_of_several)
