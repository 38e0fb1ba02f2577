"""Converters of our own for skl2onnx: what it writes in single precision, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
from skl2onnx.operator_converters.common import concatenate_variables
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
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    ElasticNetCV,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeCV,
    SGDRegressor,
)
from sklearn.svm import LinearSVR
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.trees import (
    MOST_TARGETS,
    ensemble_attributes,
    of_histogram,
    of_sklearn,
)

# skl2onnx knows ai.onnx.ml up to version 3; `graph.py` gives these nodes their real domain.
TREE_DOMAIN = "skdeploy"


class Writer:
    """Adds nodes to the graph that skl2onnx is writing, each with a name of its own."""

    def __init__(self, scope: Any, container: Any) -> None:
        self._scope, self._container = scope, container

    def node(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Add a node with one output; the output's name."""
        output = output or self._scope.get_unique_variable_name(kind.lower())
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, inputs, output, name=name, **attributes)
        return output

    def constant(self, array: Any) -> str:
        """Add an initializer of doubles, integers or strings; its name."""
        array = np.asarray(array)
        name: str = self._scope.get_unique_variable_name("constant")
        types = {"f": TensorProto.DOUBLE, "i": TensorProto.INT64, "b": TensorProto.INT64}
        kind = types.get(array.dtype.kind, TensorProto.STRING)
        values = array.ravel().tolist()
        if kind == TensorProto.STRING:
            values = [str(value).encode() for value in values]
        self._container.add_initializer(name, kind, list(array.shape), values)
        return name

    def trees(self, x: str, trees: list[Any], targets: int, *, single: bool) -> str:
        """Sum trees given as (tree, column, target); `single`: they were grown on single precision."""
        if single:
            x = self.node("Cast", [x], to=TensorProto.FLOAT)
            x = self.node("Cast", [x], to=TensorProto.DOUBLE)
        attributes = ensemble_attributes(trees, targets)
        return self.node("TreeEnsemble", [x], op_domain=TREE_DOMAIN, op_version=1, **attributes)

    def label(self, scores: str, classes: Any, output: str) -> None:
        """The class with the greatest score, (n,)."""
        best = self.node("ArgMax", [scores], axis=1, keepdims=0)
        self.node("Gather", [self.constant(classes), best], output, axis=0)


Converter = Callable[[Writer, Any, str, list[str]], None]


def _imputer(write: Writer, model: SimpleImputer, x: str, outputs: list[str]) -> None:
    try:
        statistics = np.asarray(model.statistics_, dtype=float)
    except ValueError:
        raise NotCompilable("SimpleImputer fills in texts") from None
    if np.isnan(statistics).any() or model.add_indicator:
        raise NotCompilable("SimpleImputer drops columns, or adds indicators")
    missing = model.missing_values
    if isinstance(missing, float) and np.isnan(missing):
        mask = write.node("IsNaN", [x])
    else:
        mask = write.node("Equal", [x, write.constant(float(missing))])
    write.node("Where", [mask, write.constant(statistics[None, :]), x], outputs[0])


def _forest_regressor(write: Writer, model: Any, x: str, outputs: list[str]) -> None:
    members = getattr(model, "estimators_", [model])
    targets = model.n_outputs_
    _require_few(targets)
    trees = [
        (of_sklearn(member.tree_, member.tree_.value[:, :, 0] / len(members)), target, target)
        for member in members
        for target in range(targets)
    ]
    total = write.trees(x, trees, targets, single=True)
    write.node("Identity", [total], outputs[0])


def _forest_classifier(write: Writer, model: Any, x: str, outputs: list[str]) -> None:
    if model.n_outputs_ != 1:
        raise NotCompilable("a classifier with several outputs")
    members = getattr(model, "estimators_", [model])
    classes = len(model.classes_)
    _require_few(classes)
    trees = [
        (of_sklearn(member.tree_, member.tree_.value[:, 0, :] / len(members)), target, target)
        for member in members
        for target in range(classes)
    ]
    probabilities = write.node("Identity", [write.trees(x, trees, classes, single=True)], outputs[1])
    write.label(probabilities, model.classes_, outputs[0])


def _histogram_raw(write: Writer, model: Any, x: str) -> str:
    if model._preprocessor is not None or model.is_categorical_ is not None:
        raise NotCompilable("HistGradientBoosting with categorical features")
    width = len(model._predictors[0])
    trees = [
        (of_histogram(predictor), 0, target)
        for stage in model._predictors
        for target, predictor in enumerate(stage)
    ]
    baseline = np.asarray(model._baseline_prediction, dtype=float).reshape(1, width)
    return write.node("Add", [write.trees(x, trees, width, single=False), write.constant(baseline)])


def _histogram_regressor(write: Writer, model: Any, x: str, outputs: list[str]) -> None:
    raw = _histogram_raw(write, model, x)
    link = type(model._loss.link).__name__
    kinds = {"IdentityLink": "Identity", "LogLink": "Exp"}
    if link not in kinds:
        raise NotCompilable(f"HistGradientBoosting with {link}")
    write.node(kinds[link], [raw], outputs[0])


def _histogram_classifier(write: Writer, model: Any, x: str, outputs: list[str]) -> None:
    _label_of_raw(write, model, _histogram_raw(write, model, x), outputs)


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
    return write.node("Add", [write.trees(x, trees, width, single=True), write.constant(start)])


def _boosting_regressor(write: Writer, model: Any, x: str, outputs: list[str]) -> None:
    write.node("Identity", [_boosting_raw(write, model, x)], outputs[0])


def _boosting_classifier(write: Writer, model: Any, x: str, outputs: list[str]) -> None:
    raw = _boosting_raw(write, model, x)
    if model.loss == "exponential":
        raw = write.node("Mul", [raw, write.constant(2.0)])
    _label_of_raw(write, model, raw, outputs)


def _label_of_raw(write: Writer, model: Any, raw: str, outputs: list[str]) -> None:
    if len(model.classes_) > 2:
        probabilities = write.node("Softmax", [raw], outputs[1], axis=1)
    else:
        second = write.node("Sigmoid", [raw])
        first = write.node("Sub", [write.constant(1.0), second])
        probabilities = write.node("Concat", [first, second], outputs[1], axis=1)
    write.label(probabilities, model.classes_, outputs[0])


def _linear(write: Writer, model: Any, x: str, outputs: list[str]) -> None:
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=float)).T
    start = np.broadcast_to(np.asarray(model.intercept_, dtype=float), (1, weights.shape[1]))
    write.node("Add", [write.node("MatMul", [x, write.constant(weights)]), write.constant(start)], outputs[0])


def _logistic(write: Writer, model: Any, x: str, outputs: list[str]) -> None:
    product = write.node("MatMul", [x, write.constant(np.asarray(model.coef_, dtype=float).T)])
    raw = write.node("Add", [product, write.constant(np.asarray(model.intercept_, dtype=float)[None, :])])
    _label_of_raw(write, model, raw, outputs)


def _require_few(targets: int) -> None:
    if targets > MOST_TARGETS:
        raise NotCompilable(f"trees with more than {MOST_TARGETS} targets")


def _imputer_shape(operator: Any) -> None:
    _set_numbers(operator, 0, sum(variable.get_second_dimension() for variable in operator.inputs))


def _regressor_shape(operator: Any) -> None:
    model = operator.raw_operator
    width = len(np.atleast_2d(model.coef_)) if hasattr(model, "coef_") else getattr(model, "n_outputs_", 1)
    _set_numbers(operator, 0, width)


def _classifier_shape(operator: Any) -> None:
    classes = np.asarray(operator.raw_operator.classes_)
    label = Int64TensorType if classes.dtype.kind in "bi" else StringTensorType
    operator.outputs[0].type = label([operator.inputs[0].get_first_dimension()])
    _set_numbers(operator, 1, len(classes))


def _set_numbers(operator: Any, output: int, width: int) -> None:
    rows = operator.inputs[0].get_first_dimension()
    operator.outputs[output].type = DoubleTensorType([rows, width])


def _adapt(converter: Converter) -> Callable[[Any, Any, Any], None]:
    def convert(scope: Any, operator: Any, container: Any) -> None:
        write = Writer(scope, container)
        x = concatenate_variables(scope, operator.inputs, container)
        x = write.node("Cast", [x], to=TensorProto.DOUBLE)  # encoders write single precision
        converter(write, operator.raw_operator, x, [output.full_name for output in operator.outputs])

    return convert


_REGRESSORS: dict[Converter, tuple[type, ...]] = {
    _forest_regressor: (
        RandomForestRegressor,
        ExtraTreesRegressor,
        DecisionTreeRegressor,
        ExtraTreeRegressor,
    ),
    _histogram_regressor: (HistGradientBoostingRegressor,),
    _boosting_regressor: (GradientBoostingRegressor,),
    _linear: (
        *(LinearRegression, Ridge, RidgeCV, Lasso, LassoCV, ElasticNet, ElasticNetCV),
        *(BayesianRidge, HuberRegressor, SGDRegressor, LinearSVR),
    ),
}
_CLASSIFIERS: dict[Converter, tuple[type, ...]] = {
    _forest_classifier: (
        RandomForestClassifier,
        ExtraTreesClassifier,
        DecisionTreeClassifier,
        ExtraTreeClassifier,
    ),
    _histogram_classifier: (HistGradientBoostingClassifier,),
    _boosting_classifier: (GradientBoostingClassifier,),
    _logistic: (LogisticRegression, LogisticRegressionCV),
}

CONVERTERS: dict[type, Callable[[Any, Any, Any], None]] = {SimpleImputer: _adapt(_imputer)}
SHAPES: dict[type, Callable[[Any], None]] = {SimpleImputer: _imputer_shape}
for _table, _shape in (
    (_REGRESSORS, _regressor_shape),
    (_CLASSIFIERS, _classifier_shape),
):
    for _converter, _kinds in _table.items():
        for _kind in _kinds:
            CONVERTERS[_kind] = _adapt(_converter)
            SHAPES[_kind] = _shape
