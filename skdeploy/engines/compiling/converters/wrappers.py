"""Wrappers: pipelines within models, searches, transformed targets, several outputs, calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.pipeline import FeatureUnion, Pipeline

from skdeploy.engines.compiling.cells import fitted_steps
from skdeploy.engines.compiling.converters.functions import inverse_target
from skdeploy.engines.compiling.converters.linear import one_of_several
from skdeploy.engines.compiling.converters.writer import (
    Classifier,
    Regressor,
    Scores,
    Several,
    Transformer,
    Writer,
)
from skdeploy.engines.compiling.errors import NotCompilable


def _pipeline_regressor(write: Writer, model: Any, x: str) -> str:
    *steps, (_, last) = fitted_steps(model)
    return write.regressor(last, _steps(write, steps, x))


def _pipeline_classifier(write: Writer, model: Any, x: str) -> Scores:
    *steps, (_, last) = fitted_steps(model)
    return write.classifier(last, _steps(write, steps, x))


def _pipeline_transformer(write: Writer, model: Any, x: str) -> str:
    return _steps(write, fitted_steps(model), x)


def _steps(write: Writer, steps: list[Any], x: str) -> str:
    for _, step in steps:
        x = write.transformer(step, x)
    return x


@dataclass(frozen=True, slots=True)
class Weight:
    """The weight of a FeatureUnion's member, as a transformer."""

    factor: float

    def transform(self, X: Any) -> Any:
        """Multiply."""
        return X * self.factor


def _weight(write: Writer, model: Weight, x: str) -> str:
    return write.node("Mul", x, float(model.factor))


def _union(write: Writer, model: Any, x: str) -> str:
    parts = []
    for _, part, weight in model._iter():
        written = write.transformer(part, x)
        parts.append(written if weight is None else _weight(write, Weight(weight), written))
    return write.side_by_side(parts)


def _columns(write: Writer, model: Any, x: str) -> str:
    """Of a member of an ensemble; the columns are those of the ensemble's own numbers."""
    weights, parts = model.transformer_weights or {}, []
    for name, part, places in model.transformers_:
        if isinstance(part, str) and part == "drop":
            continue
        if not all(isinstance(place, (int, np.integer)) for place in places):
            raise NotCompilable("a ColumnTransformer that chooses by name, or by a mask, within an ensemble")
        written = write.transformer(part, write.columns(x, places))
        parts.append(_weight(write, Weight(weights[name]), written) if name in weights else written)
    return write.side_by_side(parts)


def _search_regressor(write: Writer, model: Any, x: str) -> str:
    return write.regressor(model.best_estimator_, x)


def _search_classifier(write: Writer, model: Any, x: str) -> Scores:
    return write.classifier(model.best_estimator_, x)


def _target(write: Writer, model: Any, x: str) -> str:
    return inverse_target(write, model, write.regressor(model.regressor_, x))


def _several(write: Writer, model: Any, x: str) -> str:
    return write.side_by_side([write.regressor(member, x) for member in model.estimators_])


def _several_classifiers(write: Writer, model: Any, x: str) -> list[Scores]:
    return [write.classifier(member, x) for member in model.estimators_]


def _chain(write: Writer, model: Any, x: str) -> str:
    outputs: list[str] = []
    for member in model.estimators_:
        outputs.append(write.regressor(member, write.side_by_side([x, *outputs])))
    return write.columns(write.side_by_side(outputs), np.argsort(model.order_))


def _one_against_rest(write: Writer, model: Any, x: str) -> Scores:
    if model.multilabel_:
        raise NotCompilable("a classifier with several outputs")
    members = [write.classifier(member, x) for member in model.estimators_]
    parts = [one.decision or write.columns(_given(one.probabilities), [1]) for one in members]
    decided = all(one.decision for one in members)
    decision = write.side_by_side(parts)
    known = all(one.probabilities for one in members)
    chances = (
        write.side_by_side([write.columns(str(one.probabilities), [1]) for one in members]) if known else None
    )
    if len(members) > 1:
        shares = _shares(write, chances) if chances else None
        return Scores(write.best(decision), shares, decision if decided else None)
    best = write.positive(decision if decided else write.node("Sub", decision, 0.5))
    return Scores(best, write.two_classes(chances) if chances else None, decision if decided else None)


def _shares(write: Writer, chances: str) -> str:
    total = write.total(chances)
    return write.node("Div", chances, write.node("Where", write.node("Equal", total, 0.0), 1.0, total))


def _given(tensor: str | None) -> str:
    if tensor is None:
        raise NotCompilable("a member with neither probabilities nor a decision function")
    return tensor


def _tuned_threshold(write: Writer, model: Any, x: str) -> Scores:
    return _thresholded(write, model, x, model.best_threshold_, model._curve_scorer._get_pos_label())


def _fixed_threshold(write: Writer, model: Any, x: str) -> Scores:
    return _thresholded(write, model, x, model.threshold, model.pos_label)


def _thresholded(write: Writer, model: Any, x: str, threshold: Any, positive: Any) -> Scores:
    """The positive class from a score of `threshold` on, "auto" being the usual one.

    positive   the label of the positive class; None for the second class
    """
    scores = write.classifier(model.estimator_, x)
    place = 1 if positive is None else int(np.flatnonzero(model.classes_ == positive)[0])
    if model.response_method == "decision_function" or not hasattr(model.estimator_, "predict_proba"):
        usual, score = 0.0, _given(scores.decision)
        score = score if place else write.node("Neg", score)
    else:
        usual, score = 0.5, write.columns(_given(scores.probabilities), [place])
    reached = write.node("GreaterOrEqual", score, usual if threshold == "auto" else float(threshold))
    best = write.node("Where", reached, np.int64(place), np.int64(1 - place))
    return Scores(write.node("Reshape", best, np.array([-1])), scores.probabilities, scores.decision)


def _calibrated(write: Writer, model: Any, x: str) -> Scores:
    parts = [_calibrated_part(write, part, x) for part in model.calibrated_classifiers_]
    probabilities = write.node("Div", write.add(parts), float(len(parts)))
    return Scores(write.best(probabilities), probabilities)


def _calibrated_part(write: Writer, part: Any, x: str) -> str:
    count = len(part.classes)
    if part.method == "temperature" or len(part.estimator.classes_) != count:
        raise NotCompilable("CalibratedClassifierCV by temperature, or with a class missing in a fold")
    scores = write.classifier(part.estimator, x)
    if scores.decision is not None and hasattr(part.estimator, "decision_function"):
        raw = scores.decision
    else:
        raw = _given(scores.probabilities)
        raw = write.columns(raw, [1]) if count == 2 else raw
    columns = [
        _calibrator(write, one, raw if count == 2 else write.columns(raw, [place]))
        for place, one in enumerate(part.calibrators)
    ]
    if count == 2:
        return write.two_classes(columns[0])
    return one_of_several(write, write.side_by_side(columns), count)


def _calibrator(write: Writer, one: Any, raw: str) -> str:
    if not isinstance(one, IsotonicRegression):
        return write.chances(write.affine(raw, [[-one.a_]], -one.b_))
    raw = write.node("Clip", raw, float(one.X_min_), float(one.X_max_))
    return write.interpolation(raw, one.X_thresholds_, one.y_thresholds_)


_SEARCHES = (GridSearchCV, RandomizedSearchCV)
REGRESSORS: dict[type, Regressor] = {
    Pipeline: _pipeline_regressor,
    **dict.fromkeys(_SEARCHES, _search_regressor),
    TransformedTargetRegressor: _target,
    MultiOutputRegressor: _several,
    RegressorChain: _chain,
}
CLASSIFIERS: dict[type, Classifier] = {
    Pipeline: _pipeline_classifier,
    **dict.fromkeys(_SEARCHES, _search_classifier),
    OneVsRestClassifier: _one_against_rest,
    CalibratedClassifierCV: _calibrated,
    TunedThresholdClassifierCV: _tuned_threshold,
    FixedThresholdClassifier: _fixed_threshold,
}
# Of a library that is not imported here: imbalanced-learn's Pipeline is scikit-learn's when it predicts.
NAMED_REGRESSORS: dict[str, Regressor] = {"imblearn.pipeline.Pipeline": _pipeline_regressor}
NAMED_CLASSIFIERS: dict[str, Classifier] = {"imblearn.pipeline.Pipeline": _pipeline_classifier}
SEVERAL: dict[type, Several] = {MultiOutputClassifier: _several_classifiers}
TRANSFORMERS: dict[type, Transformer] = {
    Pipeline: _pipeline_transformer,
    FeatureUnion: _union,
    ColumnTransformer: _columns,
    Weight: _weight,
}
