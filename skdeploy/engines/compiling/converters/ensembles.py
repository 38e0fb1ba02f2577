"""Models of models: voting, stacking, bagging, AdaBoost.

Members that are trees become one TreeEnsemble; others are written one beside the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)

from skdeploy.engines.compiling.converters.forests import (
    TREE_CLASSIFIERS,
    TREE_REGRESSORS,
    tree_of,
    tree_sum,
)
from skdeploy.engines.compiling.converters.writer import Classifier, Regressor, Scores, Writer
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.trees import Tree


def _are(members: Any, kinds: tuple[type, ...]) -> bool:
    return all(type(member) in kinds for member in members)


def _weights(model: Any) -> Any:
    """The weight of each member."""
    weights = model._weights_not_none
    return np.ones(len(model.estimators_)) if weights is None else np.asarray(weights, dtype=float)


def _voting_regressor(write: Writer, model: Any, x: str) -> str:
    members = [write.regressor(member, x) for member in model.estimators_]
    weights = _weights(model)
    return write.affine(write.side_by_side(members), (weights / weights.sum())[:, None], 0.0)


def _voting_classifier(write: Writer, model: Any, x: str) -> Scores:
    """Sums as scikit-learn adds them up, to the last bit: what is a tie there has to be one here."""
    members = [write.classifier(member, x) for member in model.estimators_]
    weights = _weights(model)
    if model.voting == "hard":
        votes = np.eye(len(model.classes_))
        pairs = zip(members, weights, strict=True)
        return Scores(
            write.best(
                write.add(
                    [write.node("Gather", weight * votes, member.best, axis=0) for member, weight in pairs]
                )
            )
        )
    parts = [
        write.node("Mul", _probabilities(member), float(weight))
        for member, weight in zip(members, weights, strict=True)
    ]
    total = write.node("Div", write.add(parts), float(weights.sum()))
    return Scores(write.best(total), total)


def _probabilities(scores: Scores) -> str:
    if scores.probabilities is None:
        raise NotCompilable("a member without probabilities")
    return scores.probabilities


def _stacking_regressor(write: Writer, model: Any, x: str) -> str:
    members = [write.regressor(member, x) for member in model.estimators_]
    return write.regressor(model.final_estimator_, write.side_by_side([*members, *_passed(model, x)]))


def _stacking_classifier(write: Writer, model: Any, x: str) -> Scores:
    parts = []
    for member, method in zip(model.estimators_, model.stack_method_, strict=True):
        if not hasattr(member, "classes_"):
            raise NotCompilable("StackingClassifier on regressors")
        scores = write.classifier(member, x)
        if method == "predict_proba":
            two = len(model.classes_) == 2
            parts.append(write.columns(_probabilities(scores), [1]) if two else _probabilities(scores))
        elif method == "decision_function":
            parts.append(_decision(scores))
        else:
            labels = np.asarray(member.classes_, dtype=float)[:, None]
            parts.append(write.node("Gather", labels, scores.best, axis=0))
    return write.classifier(model.final_estimator_, write.side_by_side([*parts, *_passed(model, x)]))


def _passed(model: Any, x: str) -> list[str]:
    return [x] if model.passthrough else []


def _decision(scores: Scores) -> str:
    if scores.decision is None:
        raise NotCompilable("a member without a decision function")
    return scores.decision


def _bagging_regressor(write: Writer, model: Any, x: str) -> str:
    members, chosen = model.estimators_, model.estimators_features_
    if _are(members, TREE_REGRESSORS):
        pairs = zip(members, chosen, strict=True)
        total = tree_sum(
            write, x, [tree_of(member, member.tree_.value[:, :, 0], columns) for member, columns in pairs]
        )
    else:
        total = write.add(
            [
                write.regressor(member, _chosen(write, model, x, columns))
                for member, columns in zip(members, chosen, strict=True)
            ]
        )
    return write.node("Div", total, float(len(members)))


def _bagging_classifier(write: Writer, model: Any, x: str) -> Scores:
    members, classes = model.estimators_, np.eye(len(model.classes_))
    grown = _are(members, TREE_CLASSIFIERS)
    trees: list[Tree] = []
    parts: list[str] = []
    for member, columns in zip(members, model.estimators_features_, strict=True):
        # A member may not have seen every class; what it calls a class is its place in ours.
        own = classes[np.asarray(member.classes_, dtype=int)]
        if grown:
            trees.append(tree_of(member, member.tree_.value[:, 0, :] @ own, columns))
            continue
        scores = write.classifier(member, _chosen(write, model, x, columns))
        if not hasattr(member, "predict_proba"):
            parts.append(write.node("Gather", own, scores.best, axis=0))
        else:
            parts.append(write.node("MatMul", _probabilities(scores), own))
    total = tree_sum(write, x, trees) if trees else write.add(parts)
    probabilities = write.node("Div", total, float(len(members)))
    return Scores(write.best(probabilities), probabilities)


def _chosen(write: Writer, model: Any, x: str, columns: Any) -> str:
    everything = np.array_equal(columns, np.arange(model.n_features_in_))
    return x if everything else write.columns(x, columns)


def _boosted_regressor(write: Writer, model: Any, x: str) -> str:
    """The weighted median of the members."""
    members = model.estimators_
    if _are(members, TREE_REGRESSORS):
        parts = [(tree_of(each, each.tree_.value[:, :, 0]), 0, place) for place, each in enumerate(members)]
        values = write.trees(x, parts, len(members), single=True)
    else:
        values = write.side_by_side([write.regressor(member, x) for member in members])
    values, order = write.sorted(values, len(members))
    weights = np.asarray(model.estimator_weights_, dtype=float)[: len(members)]
    reached = write.node("CumSum", write.node("Gather", weights, order, axis=0), np.int64(1))
    half = write.node("Mul", write.columns(reached, [len(members) - 1]), 0.5)
    above = write.node("Cast", write.node("GreaterOrEqual", reached, half), to=TensorProto.INT64)
    median = write.node("ArgMax", above, axis=1, keepdims=1)
    return write.node("GatherElements", values, median, axis=1)


def _boosted_classifier(write: Writer, model: Any, x: str) -> Scores:
    members, count = model.estimators_, len(model.classes_)
    if count < 2:
        raise NotCompilable("a classifier with one class")
    grown = _are(members, TREE_CLASSIFIERS)
    trees: list[Tree] = []
    parts: list[str] = []
    places = {label: place for place, label in enumerate(np.asarray(model.classes_).tolist())}
    for member, weight in zip(members, model.estimator_weights_, strict=False):
        own = [places[label] for label in np.asarray(member.classes_).tolist()]
        votes = np.where(np.eye(count)[own] == 1, weight, -weight / (count - 1))
        if grown:
            trees.append(tree_of(member, votes[member.tree_.value[:, 0, :].argmax(axis=1)]))
        else:
            parts.append(write.node("Gather", votes, write.classifier(member, x).best, axis=0))
    total = tree_sum(write, x, trees) if trees else write.add(parts)
    total = write.node("Div", total, float(model.estimator_weights_.sum()))
    if count > 2:
        probabilities = write.node("Softmax", write.node("Div", total, float(count - 1)), axis=1)
        return Scores(write.best(total), probabilities, total)
    decision = write.affine(total, [[-1.0], [1.0]], 0.0)
    halves = write.affine(decision, [[-0.5, 0.5]], 0.0)
    return Scores(write.positive(decision), write.node("Softmax", halves, axis=1), decision)


REGRESSORS: dict[type, Regressor] = {
    VotingRegressor: _voting_regressor,
    StackingRegressor: _stacking_regressor,
    BaggingRegressor: _bagging_regressor,
    AdaBoostRegressor: _boosted_regressor,
}
CLASSIFIERS: dict[type, Classifier] = {
    VotingClassifier: _voting_classifier,
    StackingClassifier: _stacking_classifier,
    BaggingClassifier: _bagging_classifier,
    AdaBoostClassifier: _boosted_classifier,
}
