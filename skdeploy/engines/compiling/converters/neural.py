"""Multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skdeploy.engines.compiling.converters.writer import Classifier, Regressor, Scores, Writer
from skdeploy.engines.compiling.errors import NotCompilable

_ACTIVATIONS = {"tanh": "Tanh", "logistic": "Sigmoid", "relu": "Relu", "exp": "Exp"}


def _forward(write: Writer, model: Any, x: str) -> str:
    last = len(model.coefs_) - 1
    for layer, (weights, start) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        x = write.affine(x, weights, np.asarray(start))
        activation = model.out_activation_ if layer == last else model.activation
        if activation == "softmax":
            x = write.node("Softmax", x, axis=1)
        elif activation != "identity":
            x = write.node(_ACTIVATIONS[activation], x)
    return x


def _classifier(write: Writer, model: Any, x: str) -> Scores:
    if model._label_binarizer.y_type_.startswith("multilabel"):
        raise NotCompilable("a classifier with several outputs")
    probabilities = _forward(write, model, x)
    if model.n_outputs_ == 1:
        probabilities = write.two_classes(probabilities)
    return Scores(write.best(probabilities), probabilities)


REGRESSORS: dict[type, Regressor] = {MLPRegressor: _forward}
CLASSIFIERS: dict[type, Classifier] = {MLPClassifier: _classifier}
