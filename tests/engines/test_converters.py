"""Each converter beside scikit-learn, to one part in a thousand million, far outliers included."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import (
    RFE,
    SelectFromModel,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
    f_regression,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    GammaRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Perceptron,
    PoissonRegressor,
    QuantileRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import skdeploy
from skdeploy.engines.compiling import NotCompilable, compile_graph
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.schema import Column, Schema, Table

COLUMNS = 4
EXACT = 1e-9


def train(rows: int = 150) -> Any:
    """Numbers of different sizes, (rows, 4), above zero."""
    random = np.random.default_rng(5)
    return np.abs(random.normal(size=(rows, COLUMNS)) * [1, 10, 0.1, 2] + [3, 90, 0.7, 5]) + 1e-3


def unseen() -> Any:
    """Records like those of training, and far outside of them."""
    random = np.random.default_rng(6)
    near = np.abs(random.normal(size=(40, COLUMNS)) * [2, 20, 0.3, 4] + [3, 90, 0.7, 5]) + 1e-3
    far = near[:12] * np.resize([1e3, 1e5], (12, 1))
    return np.concatenate([train()[:20], near, far])


def target(X: Any) -> Any:
    """A positive number that bends with the columns."""
    scaled = X / [3, 90, 0.7, 5]
    return 1 + np.abs(scaled[:, 0] ** 2 + np.sin(3 * scaled[:, 1]) + 2 * scaled[:, 2] * scaled[:, 3])


def labels(X: Any, classes: int) -> Any:
    """Texts or whole numbers, by the target's quantiles."""
    number = target(X)
    place = np.searchsorted(np.quantile(number, np.arange(1, classes) / classes), number)
    return np.array(["a", "b", "c", "d"])[place] if classes > 2 else place + 5


def table(X: Any) -> Table:
    return Table([[None if cell != cell else cell for cell in column] for column in X.T.tolist()], len(X))


def compiled(pipeline: Any, columns: int = COLUMNS) -> OnnxEngine:
    schema = Schema(
        container="array",
        columns=[
            Column(name=f"x{place}", type="float", dtype="float64", nullable=True) for place in range(columns)
        ],
    )
    return OnnxEngine(compile_graph(pipeline, schema), SklearnEngine(pipeline, schema))


def fit(pipeline: Any, y: Any) -> Any:
    """Fitted anew; how well does not matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return clone(pipeline).fit(train(), y)


def scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def tree(depth: int = 3) -> DecisionTreeRegressor:
    return DecisionTreeRegressor(max_depth=depth, random_state=0)


def twig() -> DecisionTreeClassifier:
    return DecisionTreeClassifier(max_depth=3, random_state=0)


REGRESSORS = [
    LinearRegression(),
    Lasso(0.01),
    scaled(SGDRegressor(random_state=0)),
    scaled(LinearSVR(random_state=0)),
    QuantileRegressor(alpha=0.01),
    RANSACRegressor(random_state=0),
    scaled(PoissonRegressor(alpha=1.0)),
    scaled(GammaRegressor(alpha=1.0)),
    scaled(TweedieRegressor(power=0)),
    PLSRegression(2),
    scaled(SVR()),
    scaled(SVR(kernel="linear")),
    scaled(SVR(kernel="poly", degree=2, coef0=1)),
    scaled(SVR(kernel="sigmoid", gamma=0.1)),
    SVR(gamma=1e-3),
    scaled(NuSVR()),
    scaled(KernelRidge(kernel="rbf")),
    scaled(KernelRidge(kernel="polynomial", degree=2)),
    KNeighborsRegressor(),
    KNeighborsRegressor(3, weights="distance"),
    KNeighborsRegressor(3, p=1),
    KNeighborsRegressor(3, weights="distance", metric="manhattan", algorithm="brute"),
    scaled(MLPRegressor(hidden_layer_sizes=(8, 4), max_iter=30, random_state=0)),
    scaled(MLPRegressor(hidden_layer_sizes=5, activation="tanh", max_iter=30, random_state=0)),
    scaled(MLPRegressor(hidden_layer_sizes=5, activation="logistic", max_iter=30, random_state=0)),
    scaled(MLPRegressor(hidden_layer_sizes=5, activation="identity", max_iter=30, random_state=0)),
    AdaBoostRegressor(n_estimators=9, random_state=0),
    AdaBoostRegressor(Ridge(), n_estimators=4, random_state=0),
    BaggingRegressor(n_estimators=5, max_features=0.6, random_state=0),
    BaggingRegressor(KNeighborsRegressor(), n_estimators=3, max_features=2, random_state=0),
    BaggingRegressor(scaled(Ridge()), n_estimators=3, random_state=0),
    VotingRegressor([("a", Ridge()), ("b", tree()), ("c", scaled(SVR()))], weights=[1, 2, 0.5]),
    VotingRegressor([("a", Ridge()), ("b", "drop"), ("c", tree())]),
    StackingRegressor([("a", Ridge()), ("b", tree())], LinearRegression(), cv=2),
    StackingRegressor([("a", Ridge()), ("b", tree())], tree(), cv=2, passthrough=True),
    GridSearchCV(scaled(Ridge()), {"ridge__alpha": [0.1, 1]}, cv=2),
    RandomizedSearchCV(Ridge(), {"alpha": [0.1, 1]}, n_iter=1, cv=2),
    make_pipeline(StandardScaler(), GridSearchCV(Ridge(), {"alpha": [0.1, 1]}, cv=2)),
    TransformedTargetRegressor(scaled(Ridge(50)), func=np.log1p, inverse_func=np.expm1),
    TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    TransformedTargetRegressor(Ridge(), transformer=MinMaxScaler()),
    TransformedTargetRegressor(Ridge(), transformer=RobustScaler()),
    VotingRegressor([("a", TransformedTargetRegressor(tree(), transformer=MaxAbsScaler())), ("b", Ridge())]),
]
CLASSIFIERS = [
    LogisticRegression(C=0.1, max_iter=50),
    scaled(SGDClassifier(random_state=0)),
    scaled(SGDClassifier(loss="log_loss", random_state=0)),
    scaled(SGDClassifier(loss="modified_huber", random_state=0)),
    scaled(LinearSVC(random_state=0)),
    scaled(Perceptron(random_state=0)),
    RidgeClassifier(),
    LinearDiscriminantAnalysis(),
    QuadraticDiscriminantAnalysis(),
    scaled(SVC()),
    scaled(SVC(kernel="linear")),
    scaled(SVC(kernel="poly", degree=2, decision_function_shape="ovo")),
    scaled(SVC(kernel="sigmoid", gamma=0.1)),
    scaled(SVC(C=0.1, break_ties=True)),
    scaled(NuSVC(nu=0.3)),
    KNeighborsClassifier(),
    KNeighborsClassifier(4, weights="distance"),
    KNeighborsClassifier(3, p=1, algorithm="brute"),
    NearestCentroid(),
    scaled(NearestCentroid(priors="empirical")),
    scaled(MLPClassifier((6, 4), max_iter=30, random_state=0)),
    scaled(MLPClassifier(5, activation="logistic", max_iter=30, random_state=0)),
    GaussianNB(),
    MultinomialNB(),
    ComplementNB(norm=True),
    BernoulliNB(binarize=3.0),
    RandomForestClassifier(7, random_state=0),
    ExtraTreesClassifier(5, random_state=0),
    GradientBoostingClassifier(n_estimators=4),
    AdaBoostClassifier(n_estimators=8, random_state=0),
    AdaBoostClassifier(LogisticRegression(), n_estimators=3, random_state=0),
    BaggingClassifier(n_estimators=5, max_features=0.6, random_state=0),
    BaggingClassifier(RidgeClassifier(), n_estimators=4, random_state=0),
    BaggingClassifier(scaled(LogisticRegression()), n_estimators=3, max_features=3, random_state=0),
    VotingClassifier([("a", GaussianNB()), ("b", twig()), ("c", RidgeClassifier())]),
    VotingClassifier([("a", GaussianNB()), ("b", twig())], voting="soft", weights=[2, 1]),
    StackingClassifier([("a", GaussianNB()), ("b", twig())], LogisticRegression(), cv=2),
    StackingClassifier(
        [("a", scaled(SVC())), ("b", NearestCentroid()), ("c", RidgeClassifier())],
        twig(),
        cv=2,
        passthrough=True,
        stack_method="auto",
    ),
    OneVsRestClassifier(scaled(LogisticRegression())),
    OneVsRestClassifier(twig()),
    OneVsRestClassifier(RidgeClassifier()),
    CalibratedClassifierCV(scaled(LinearSVC(random_state=0)), cv=2),
    CalibratedClassifierCV(GaussianNB(), method="isotonic", cv=2),
    GridSearchCV(scaled(SVC()), {"svc__C": [0.5, 1]}, cv=2),
    Pipeline([("inner", scaled(PCA(2))), ("last", LogisticRegression())]),
]
TRANSFORMERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    MinMaxScaler(),
    MinMaxScaler((-1, 2), clip=True),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False, with_scaling=False),
    Normalizer(),
    Normalizer(norm="l1"),
    Normalizer(norm="max"),
    Binarizer(threshold=2.5),
    PolynomialFeatures(),
    PolynomialFeatures(3, interaction_only=True, include_bias=False),
    KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
    KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform"),
    KBinsDiscretizer(2, encode="ordinal", strategy="kmeans"),
    PCA(3),
    PCA(2, whiten=True),
    IncrementalPCA(2),
    TruncatedSVD(2, random_state=0),
    scaled(PowerTransformer()),
    PowerTransformer("box-cox", standardize=False),
    QuantileTransformer(n_quantiles=20),
    SplineTransformer(),
    SplineTransformer(4, degree=2, extrapolation="continue", include_bias=False),
    FunctionTransformer(np.log1p),
    FunctionTransformer(),
    make_pipeline(FunctionTransformer(np.sqrt), FunctionTransformer(np.log10)),
    SelectKBest(f_regression, k=2),
    SelectPercentile(f_regression, percentile=60),
    SelectFromModel(Lasso(0.1)),
    RFE(Ridge(), n_features_to_select=2),
    VarianceThreshold(0.5),
    make_union(PCA(2), make_pipeline(StandardScaler(), "passthrough")),
    FeatureUnion([("a", MinMaxScaler()), ("b", "drop")], transformer_weights={"a": 0.3}),
    SimpleImputer(),
]


def name(model: Any) -> str:
    """The same in every process: a function's address is not."""
    return re.sub(r" at 0x[0-9a-f]+|\s", "", str(model))[:60]


@pytest.mark.parametrize("model", REGRESSORS, ids=name)
def test_regressors_are_exact(model: Any) -> None:
    """Every prediction is scikit-learn's."""
    fitted = fit(model, target(train()))
    with np.errstate(all="ignore"):  # far outside, an exponential becomes infinite
        expected = fitted.predict(unseen()).ravel()
    assert compiled(fitted).predict(table(unseen())).ravel() == pytest.approx(expected, rel=EXACT)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=name)
def test_classifiers_are_exact(model: Any, classes: int) -> None:
    """Every label is scikit-learn's, and every probability where it has them."""
    fitted = fit(model, labels(train(), classes))
    engine, X = compiled(fitted), unseen()
    assert engine.predict(table(X)).tolist() == fitted.predict(X).tolist()
    if hasattr(fitted, "predict_proba"):
        assert engine.predict_proba(table(X)) == pytest.approx(fitted.predict_proba(X), abs=EXACT)


@pytest.mark.parametrize("model", TRANSFORMERS, ids=name)
def test_transformers_are_exact(model: Any) -> None:
    """Every column that a transformer makes is scikit-learn's."""
    transformer = fit(model, target(train()))
    expected = transformer.transform(unseen())
    expected = expected.toarray() if hasattr(expected, "toarray") else np.asarray(expected)
    itself = LinearRegression().fit(expected, expected)
    itself.coef_, itself.intercept_ = np.eye(expected.shape[1]), np.zeros(expected.shape[1])
    got = compiled(Pipeline([("made", transformer), ("itself", itself)])).predict(table(unseen()))
    scale = np.abs(expected).max(axis=0) + 1e-12
    assert got / scale == pytest.approx(expected / scale, abs=EXACT)
    assert got == pytest.approx(expected, rel=1e-7, abs=1e-12)


SEVERAL = [
    Ridge(),
    PLSRegression(2),
    KNeighborsRegressor(3, weights="distance"),
    RandomForestRegressor(5, random_state=0),
    tree(),
    scaled(KernelRidge(kernel="rbf")),
    scaled(MLPRegressor(hidden_layer_sizes=5, max_iter=20, random_state=0)),
    BaggingRegressor(n_estimators=3, max_features=2, random_state=0),
    MultiOutputRegressor(scaled(SVR())),
    RegressorChain(Ridge(), order=[2, 0, 1]),
    TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
]


@pytest.mark.parametrize("model", SEVERAL, ids=name)
def test_several_outputs_are_exact(model: Any) -> None:
    """Each output of a record stands in its own column, in scikit-learn's order."""
    number = target(train())
    fitted = fit(model, np.stack([number, np.sqrt(number), number + train()[:, 0]], axis=1))
    got = compiled(fitted).predict(table(unseen()))
    assert got == pytest.approx(fitted.predict(unseen()), rel=EXACT)


@pytest.mark.parametrize(
    "model",
    [
        MultiOutputClassifier(GaussianNB()),
        RandomForestClassifier(5, random_state=0),
        twig(),
        KNeighborsClassifier(4, weights="distance"),
    ],
    ids=name,
)
def test_several_labels_are_exact(model: Any, tmp_path: Path) -> None:
    """Outputs with different numbers of classes keep their own probabilities, and are proved."""
    y = np.stack([labels(train(), 2), labels(train()[:, ::-1], 2) * 3, (target(train()) * 9).astype(int) % 4])
    fitted = fit(model, y.T)
    skdeploy.save(fitted, train(), y.T, tmp_path / "m.bin")
    engine, X = skdeploy.load(tmp_path / "m.bin", engine="onnx").engine, unseen()
    assert engine.predict(table(X)).tolist() == fitted.predict(X).tolist()
    found, expected = engine.predict_proba(table(X)), fitted.predict_proba(X)
    assert [one.shape for one in found] == [one.shape for one in expected]
    assert np.concatenate(found, axis=1) == pytest.approx(np.concatenate(expected, axis=1), abs=EXACT)


@pytest.mark.parametrize("values", [[False, True], [2.0, 5.0, -3.0], ["é", "b", ""]], ids=str)
def test_labels_keep_their_kind(values: list[Any]) -> None:
    """Truth values (as 0 and 1, for the engine to turn back), doubles, and texts."""
    y = np.resize(values, len(train()))
    fitted = fit(GaussianNB(), y)
    assert compiled(fitted).predict(table(unseen())).tolist() == fitted.predict(unseen()).tolist()


def test_an_indicator_of_nulls_is_exact() -> None:
    """Nulls are filled beside a column that says where they were."""
    X = np.where(train() > np.quantile(train(), 0.9, axis=0), np.nan, train())
    union = make_union(SimpleImputer(), MissingIndicator(features="all"))
    fitted = make_pipeline(union, Ridge()).fit(X, target(train()))
    assert compiled(fitted).predict(table(X)).ravel() == pytest.approx(fitted.predict(X), rel=EXACT)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(),
        RandomForestClassifier(3, random_state=0),
        RandomForestRegressor(3, random_state=0),
        KNeighborsRegressor(),
        VotingClassifier([("a", GaussianNB()), ("b", twig())], voting="soft"),
    ],
    ids=name,
)
@pytest.mark.parametrize("bad", [0.0, -1.0])
def test_no_answer_where_scikit_learn_raises(model: Any, bad: float) -> None:
    """The logarithm of 0 is infinite and that of -1 a null; a model that refuses them has no prediction."""
    y = labels(train(), 2) if hasattr(model, "predict_proba") else target(train())
    fitted = fit(make_pipeline(FunctionTransformer(np.log), model), y)
    record = train()[:1].copy()
    assert compiled(fitted).predict(table(record)).ravel() == pytest.approx(fitted.predict(record))
    record[0, 2] = bad
    with np.errstate(all="ignore"):
        expected = _answer(lambda: fitted.predict(record))
    got = _answer(lambda: compiled(fitted).predict(table(record)))
    assert got == expected


def _answer(predict: Any) -> Any:
    """The prediction, or None where there is none, or none that is a number."""
    try:
        value = predict().ravel()[0]
    except Exception:
        return None
    return value if np.isfinite(value) else None


def test_no_node_is_without_use() -> None:
    """The runtime runs every node: a member's probabilities that nobody asks for are not in the graph."""
    members = [("a", LogisticRegression()), ("b", scaled(SVC())), ("c", twig())]
    fitted = fit(VotingClassifier(members, voting="hard"), labels(train(), 3))
    schema = Schema(
        container="array", columns=[Column(name=f"x{i}", type="float", dtype="float64") for i in range(4)]
    )
    graph = onnx.load_from_string(compile_graph(fitted, schema).content).graph
    used = {one for node in graph.node for one in node.input} | {one.name for one in graph.output}
    assert not [node.name for node in graph.node if not used.intersection(node.output)]
    assert "Softmax" not in {node.op_type for node in graph.node}


def test_a_neighbour_in_the_batch_changes_nothing() -> None:
    """Records are compared with the training records one by one."""
    engine = compiled(fit(KNeighborsRegressor(3, weights="distance"), target(train())))
    together = engine.predict(table(unseen()))
    alone = [engine.predict(table(unseen()[[place]])) for place in range(len(unseen()))]
    assert np.concatenate(alone) == pytest.approx(together, rel=1e-12)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (KNeighborsRegressor(metric="cosine"), "KNeighborsRegressor with the distance cosine"),
        (KNeighborsRegressor(weights=np.reciprocal), "weights by a function"),
        (SVR(kernel=lambda a, b: a @ b.T), "the kernel is a function"),
        (scaled(SVR(gamma=1e9)), "support vectors too far apart"),
        (SVC(probability=True), "libsvm iterates for SVC's probabilities"),
        (
            scaled(HistGradientBoostingRegressor(categorical_features=[1])),
            "categories that another step calculates",
        ),
        (GradientBoostingRegressor(init=Ridge(), n_estimators=2), "on top of another model"),
        (make_pipeline(FunctionTransformer(np.sin), Ridge()), "the function sin has no compiled form"),
        (make_pipeline(QuantileTransformer(output_distribution="normal"), Ridge()), "normal distribution"),
        (make_pipeline(SplineTransformer(extrapolation="linear"), Ridge()), "the extrapolation 'linear'"),
        (TransformedTargetRegressor(Ridge(), transformer=PowerTransformer()), "inverse of PowerTransformer"),
        (VotingRegressor([("a", GaussianProcessRegressor())]), "GaussianProcessRegressor has no compiled"),
    ],
    ids=name,
)
@pytest.mark.filterwarnings("ignore")  # scikit-learn 1.9 advises against `probability`
def test_what_is_not_covered_says_so(model: Any, reason: str) -> None:
    """The reason names the part that has no compiled form."""
    with pytest.raises(NotCompilable, match=re.escape(reason)):
        compiled(fit(model, labels(train(), 2)))
