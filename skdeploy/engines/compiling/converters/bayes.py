"""Naive Bayes and quadratic discriminants: a log-likelihood for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB

from skdeploy.engines.compiling.converters.writer import Classifier, Scores, Writer


def _gaussian(write: Writer, model: Any, x: str) -> Scores:
    centres, variances = np.asarray(model.theta_), np.asarray(model.var_)
    start = np.log(model.class_prior_) - 0.5 * np.log(2.0 * np.pi * variances).sum(axis=1)
    apart = write.node("Sub", write.node("Unsqueeze", x, np.array([1])), centres[None, :, :])
    squares = write.node("Div", write.node("Mul", apart, apart), variances[None, :, :])
    distance = write.total(squares, axis=2, keep=False)
    return _likeliest(write, write.node("Sub", start[None, :], write.node("Mul", distance, 0.5)))


def _multinomial(write: Writer, model: Any, x: str) -> Scores:
    alone = isinstance(model, ComplementNB) and len(model.classes_) > 1
    likelihood = write.affine(x, model.feature_log_prob_.T, 0.0 if alone else model.class_log_prior_)
    return _likeliest(write, likelihood)


def _bernoulli(write: Writer, model: Any, x: str) -> Scores:
    if model.binarize is not None:
        x = write.double(write.node("Greater", x, float(model.binarize)))
    present = np.asarray(model.feature_log_prob_)
    absent = np.log(1 - np.exp(present))
    start = model.class_log_prior_ + absent.sum(axis=1)
    return _likeliest(write, write.affine(x, (present - absent).T, start))


def _quadratic(write: Writer, model: Any, x: str) -> Scores:
    norms = []
    for rotation, scaling, mean in zip(model.rotations_, model.scalings_, model.means_, strict=True):
        apart = write.node("Sub", x, np.asarray(mean)[None, :])
        turned = write.node("MatMul", apart, rotation * scaling**-0.5)
        norms.append(write.total(write.node("Mul", turned, turned)))
    spread = np.array([np.log(scaling).sum() for scaling in model.scalings_])
    start = np.log(model.priors_) - 0.5 * spread
    half = write.node("Mul", write.side_by_side(norms), 0.5)
    scores = _likeliest(write, write.node("Sub", start[None, :], half))
    decision = str(scores.decision)
    if len(model.classes_) == 2:
        decision = write.node("Sub", write.columns(decision, [1]), write.columns(decision, [0]))
    return Scores(scores.best, scores.probabilities, decision)


def _likeliest(write: Writer, likelihood: str) -> Scores:
    return Scores(write.best(likelihood), write.node("Softmax", likelihood, axis=1), likelihood)


CLASSIFIERS: dict[type, Classifier] = {
    GaussianNB: _gaussian,
    **dict.fromkeys((MultinomialNB, ComplementNB), _multinomial),
    BernoulliNB: _bernoulli,
    QuadraticDiscriminantAnalysis: _quadratic,
}
