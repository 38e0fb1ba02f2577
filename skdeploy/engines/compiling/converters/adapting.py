"""Our converters as skl2onnx calls them: parsers, shapes and converters by class."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto
from skl2onnx._parse import _parse_sklearn
from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType
from skl2onnx.operator_converters.common import concatenate_variables
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import KNNImputer
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsOneClassifier
from sklearn.neighbors import (
    KNeighborsTransformer,
    LocalOutlierFactor,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, PowerTransformer

from skdeploy.engines.compiling.cells import fitted_steps
from skdeploy.engines.compiling.converters import (
    bayes,
    boosters,
    ensembles,
    features,
    forests,
    functions,
    imputer,
    linear,
    neighbors,
    neural,
    scaling,
    svm,
    wrappers,
)
from skdeploy.engines.compiling.converters.writer import Tables, Writer
from skdeploy.engines.compiling.errors import NotCompilable

TABLES = Tables(
    regressors={
        kind: converter
        for module in (linear, svm, neighbors, neural, forests, ensembles, wrappers)
        for kind, converter in module.REGRESSORS.items()
    },
    classifiers={
        kind: converter
        for module in (linear, svm, neighbors, bayes, neural, forests, ensembles, wrappers)
        for kind, converter in module.CLASSIFIERS.items()
    },
    several={
        kind: converter
        for module in (neighbors, forests, wrappers)
        for kind, converter in module.SEVERAL.items()
    },
    transformers={
        kind: converter
        for module in (scaling, features, functions, imputer, wrappers, boosters)
        for kind, converter in module.TRANSFORMERS.items()
    },
)
# These can make a number that the next step refuses of one that it takes.
_UNBOUNDED = (FunctionTransformer, PolynomialFeatures, PowerTransformer)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    write = Writer(TABLES, scope, container)
    model, outputs = operator.raw_operator, [output.full_name for output in operator.outputs]
    x = concatenate_variables(scope, operator.inputs, container)
    x = write.node("Cast", x, to=TensorProto.DOUBLE)  # encoders write single precision
    bad = _refused(write, model, x) if _guarded(scope) else None
    if type(model) is TransformedTargetRegressor:
        written = {outputs[0]: functions.inverse_target(write, model, x)}
    elif len(outputs) == 2:
        label, second = _classified(write, model, x, bad)
        written = {outputs[0]: label, outputs[1]: second}
    elif type(model) in TABLES.regressors:
        predicted = write.regressor(model, x)
        if bad:
            refused = write.node("Unsqueeze", bad, np.array([1]))
            predicted = write.node("Where", refused, np.nan, predicted)
        written = {outputs[0]: predicted}
    else:
        written = {outputs[0]: write.transformer(model, x)}
    write.finish(written)


def _classified(write: Writer, model: Any, x: str, bad: str | None) -> tuple[str, str]:
    """The label, (n,) or (n, outputs), and the probabilities, or what there is in their place.

    Those of several outputs stand side by side.
    """
    if isinstance(model.classes_, list):
        found = zip(model.classes_, write.several(model, x), strict=True)
    else:
        found = zip([model.classes_], [write.classifier(model, x)], strict=True)
    labels, seconds = [], []
    for classes, scores in found:
        best = write.unless(bad, scores.best) if bad else scores.best
        labels.append(write.node("Gather", np.asarray(classes), best, axis=0))
        place = write.double(write.node("Unsqueeze", best, np.array([1])))
        seconds.append(scores.probabilities or scores.decision or place)
    if not isinstance(model.classes_, list):
        return labels[0], seconds[0]
    labels = [write.node("Unsqueeze", label, np.array([1])) for label in labels]
    return write.side_by_side(labels), write.side_by_side(seconds)


def _guarded(scope: Any) -> bool:
    return any(isinstance(one.raw_operator, _UNBOUNDED) for one in scope.operators.values())


def _refused(write: Writer, model: Any, x: str) -> str | None:
    """The records, (n,), on whose numbers scikit-learn's model raises: infinite ones, often nulls too."""
    takes_all = {HistGradientBoostingClassifier, HistGradientBoostingRegressor, *_BOOSTERS}
    if type(model) in takes_all or not hasattr(model, "predict"):
        return None
    if model.__sklearn_tags__().input_tags.allow_nan:
        infinite = write.node("Cast", write.node("IsInf", x), to=TensorProto.INT64)
        return write.node("Greater", write.total(infinite, keep=False), np.int64(0))
    return write.node("IsNaN", write.total(write.node("Mul", x, 0.0), keep=False))


def _parse(scope: Any, model: Any, inputs: list[Any], **_: Any) -> list[Any]:
    """Two outputs for a classifier, label and probabilities (or what it has in their place), else one."""
    operator = scope.declare_local_operator(type(model).__name__, model)
    operator.inputs = inputs
    names = ["label", "probabilities"] if _classifies(model) else ["variable"]
    operator.outputs.extend(scope.declare_local_variable(name, DoubleTensorType()) for name in names)
    return list(operator.outputs)


def _classifies(model: Any) -> bool:
    return type(model) in {**TABLES.classifiers, **TABLES.several} and is_classifier(model)


def _parse_undecidable(scope: Any, model: Any, inputs: list[Any], **_: Any) -> None:  # noqa: ARG001 - skl2onnx's
    raise NotCompilable(f"{type(model).__name__} decides between equals in an order that no graph follows")


def _parse_search(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> Any:
    return _parse_sklearn(scope, model.best_estimator_, inputs, custom_parsers=custom_parsers)


def _parse_pipeline(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """Like skl2onnx's, which knows no steps that are "passthrough"."""
    for _, step in fitted_steps(model):
        inputs = _parse_sklearn(scope, step, inputs, custom_parsers=custom_parsers)
    return inputs


def _parse_union(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """Like skl2onnx's, which knows no members that are "drop" or "passthrough"."""
    parts = []
    for _, part, weight in model._iter():
        made = _parse_sklearn(scope, part, inputs, custom_parsers=custom_parsers)
        parts.append(made[0] if weight is None else _parse(scope, wrappers.Weight(weight), made)[0])
    concat = scope.declare_local_operator("SklearnConcat")
    concat.inputs = parts
    concat.outputs.append(scope.declare_local_variable("union", DoubleTensorType()))
    return list(concat.outputs)


def _parse_target(scope: Any, model: Any, inputs: list[Any], custom_parsers: Any = None) -> list[Any]:
    """The regressor, and the inverse of what its targets were transformed with after it."""
    predicted = _parse_sklearn(scope, model.regressor_, inputs, custom_parsers=custom_parsers)
    return _parse(scope, model, predicted)


def _shape(operator: Any) -> None:
    model, rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    for output in operator.outputs:
        output.type = DoubleTensorType([rows, None])
    if len(operator.outputs) == 2:
        kinds = {"b": Int64TensorType, "i": Int64TensorType, "f": DoubleTensorType}
        several = isinstance(model.classes_, list)
        found = {np.asarray(one).dtype.kind for one in (model.classes_ if several else [model.classes_])}
        if len(found) > 1:
            raise NotCompilable("outputs with labels of several kinds")
        label = kinds.get(found.pop(), StringTensorType)
        operator.outputs[0].type = label([rows, len(model.classes_)] if several else [rows])
    elif type(model) in TABLES.transformers:
        given = sum(variable.get_second_dimension() for variable in operator.inputs)
        operator.outputs[0].type = DoubleTensorType([rows, _width(model, given)])


def _width(model: Any, given: int) -> int:
    """The number of columns that a transformer makes of so many."""
    if isinstance(model, FunctionTransformer):  # each of the known functions takes a number for itself
        return given
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return int(model.transform(np.ones((1, given))).shape[1])


# skl2onnx walks these; their converters are for the members of ensembles.
_OURS = {*TABLES.regressors, *TABLES.classifiers, *TABLES.several, *TABLES.transformers} - {
    Pipeline,
    FeatureUnion,
    ColumnTransformer,
}
CONVERTERS: dict[type, Callable[[Any, Any, Any], None]] = dict.fromkeys(_OURS, _convert)
SHAPES: dict[type, Callable[[Any], None]] = dict.fromkeys(_OURS, _shape)
PARSERS: dict[type, Any] = {
    **dict.fromkeys(_OURS, _parse),
    **dict.fromkeys((GridSearchCV, RandomizedSearchCV), _parse_search),
    # Converted by skl2onnx, but for ties.
    **dict.fromkeys((KNNImputer, KNeighborsTransformer, LocalOutlierFactor), _parse_undecidable),
    **dict.fromkeys((RadiusNeighborsClassifier, RadiusNeighborsRegressor), _parse_undecidable),
    OneVsOneClassifier: _parse_undecidable,
    Pipeline: _parse_pipeline,
    FeatureUnion: _parse_union,
    TransformedTargetRegressor: _parse_target,
}
_BOOSTERS: set[type] = set()


def register_imported() -> None:
    """Add the converters for classes of those other libraries that are imported by now; it imports none."""
    _BOOSTERS.update(_imported(boosters.REGRESSORS), _imported(boosters.CLASSIFIERS))
    CONVERTERS.update(dict.fromkeys(_BOOSTERS, _convert))
    SHAPES.update(dict.fromkeys(_BOOSTERS, _shape))
    PARSERS.update(dict.fromkeys(_BOOSTERS, _parse))
    TABLES.regressors.update(_imported({**boosters.REGRESSORS, **wrappers.NAMED_REGRESSORS}))
    TABLES.classifiers.update(_imported({**boosters.CLASSIFIERS, **wrappers.NAMED_CLASSIFIERS}))


def _imported(named: dict[str, Any]) -> dict[type, Any]:
    found = {}
    for name, converter in named.items():
        module, _, kind = name.rpartition(".")
        if module in sys.modules:
            found[getattr(sys.modules[module], kind)] = converter
    return found
