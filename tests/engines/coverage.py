"""Which pipelines the onnx engine serves, and how fast: estimators behind preprocessing mixes, and real data.

`python -m tests.engines.coverage` (make coverage-table) writes the tables of docs/engines.md.
"""

from __future__ import annotations

import os

# Before numpy is imported, as in the service: one thread for each worker.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import re
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import skdeploy
from skdeploy.model import Model
from skdeploy.passport.libraries import installed
from tests.engines.pipelines import PIPELINES, Tried, tolerance, tried

DOCUMENT = Path(__file__).parents[2] / "docs" / "engines.md"
ROWS = 240
SPEED_MIX = "OneHot, Imputer, Scaler"
ONNX, NEVER = "onnx", "-"
_REPEATS = 200

_WORDS = ["red", "green", "blue", "small", "large", "old", "new", "warm", "cold", "fast", "slow", "round"]
_NUMBERS = ["size", "weight", "age", "price"]
_TEXTS = ["kind", "city"]


def frame() -> pd.DataFrame:
    """Numbers of different sizes, whole ones among them, two categories, one number with nulls, a text."""
    random = np.random.default_rng(11)
    gaps = random.normal(20, 5, ROWS)
    gaps[::8] = np.nan
    return pd.DataFrame(
        {
            "size": random.normal(10, 3, ROWS),
            "weight": random.gamma(2, 40, ROWS),
            "age": random.integers(1, 90, ROWS),
            "price": random.uniform(0, 1, ROWS),
            "gaps": gaps,
            "kind": random.choice(["ash", "elm", "oak", "yew"], ROWS),
            "city": random.choice(["Berlin", "Kraków", "Oslo", "Rome", "São Paulo"], ROWS),
            "words": [" ".join(random.choice(_WORDS, 4)) for _ in range(ROWS)],
        }
    )


def _columns(*parts: Any) -> Any:
    return make_column_transformer(*parts, sparse_threshold=0)


def _one_hot() -> OneHotEncoder:
    return OneHotEncoder(handle_unknown="ignore")


def _codes() -> OrdinalEncoder:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def _filled() -> Any:
    return make_pipeline(SimpleImputer(), StandardScaler())


# Each mix: what comes before the estimator, and what the pipeline takes.
Mix = tuple[Callable[[], list[Any]], Callable[[pd.DataFrame], Any]]
MIXES: dict[str, Mix] = {
    "passthrough": (list, lambda X: X[_NUMBERS]),
    "Scaler": (lambda: [StandardScaler()], lambda X: X[_NUMBERS]),
    "MinMax": (lambda: [MinMaxScaler()], lambda X: X[_NUMBERS].to_numpy()),
    "Imputer": (lambda: [SimpleImputer(strategy="median")], lambda X: X[[*_NUMBERS, "gaps"]]),
    "Polynomial, Scaler": (lambda: [PolynomialFeatures(), StandardScaler()], lambda X: X[_NUMBERS]),
    "KBins": (
        lambda: [KBinsDiscretizer(encode="onehot-dense", quantile_method="averaged_inverted_cdf")],
        lambda X: X[_NUMBERS],
    ),
    "Scaler, PCA": (lambda: [StandardScaler(), PCA(3)], lambda X: X[_NUMBERS]),
    "OneHot, passthrough": (
        lambda: [_columns((_one_hot(), _TEXTS), ("passthrough", _NUMBERS))],
        lambda X: X[[*_NUMBERS, *_TEXTS]],
    ),
    "Ordinal, MinMax": (
        lambda: [_columns((_codes(), _TEXTS), (MinMaxScaler(), _NUMBERS))],
        lambda X: X[[*_NUMBERS, *_TEXTS]],
    ),
    SPEED_MIX: (
        lambda: [_columns((_one_hot(), _TEXTS), (_filled(), [*_NUMBERS, "gaps"]))],
        lambda X: X[[*_NUMBERS, "gaps", *_TEXTS]],
    ),
    "Dict": (
        lambda: [DictVectorizer(sparse=False)],
        lambda X: X[[*_NUMBERS, *_TEXTS]].to_dict("records"),
    ),
    "Tfidf": (lambda: [TfidfVectorizer()], lambda X: X["words"].tolist()),
    "Tfidf, Scaler": (
        lambda: [_columns((TfidfVectorizer(), "words"), (StandardScaler(), _NUMBERS))],
        lambda X: X[[*_NUMBERS, "words"]],
    ),
}

_SEED: dict[str, Any] = {"random_state": 0}
REGRESSORS: list[Any] = [
    LinearRegression(),
    Ridge(),
    Lasso(0.1),
    ElasticNet(0.1),
    SGDRegressor(**_SEED),
    PoissonRegressor(),
    PLSRegression(2),
    LinearSVR(**_SEED),
    SVR(),
    KNeighborsRegressor(),
    DecisionTreeRegressor(max_depth=6, **_SEED),
    RandomForestRegressor(20, **_SEED),
    ExtraTreesRegressor(20, **_SEED),
    GradientBoostingRegressor(n_estimators=20, **_SEED),
    HistGradientBoostingRegressor(max_iter=20),
    AdaBoostRegressor(n_estimators=10, **_SEED),
    BaggingRegressor(n_estimators=5, **_SEED),
    VotingRegressor([("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3, **_SEED))]),
    StackingRegressor([("ridge", Ridge()), ("tree", DecisionTreeRegressor(max_depth=3, **_SEED))], cv=2),
    MLPRegressor(hidden_layer_sizes=(16,), max_iter=20, **_SEED),
    TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
]
CLASSIFIERS: list[Any] = [
    LogisticRegression(max_iter=50),
    RidgeClassifier(),
    SGDClassifier(loss="log_loss", **_SEED),
    LinearSVC(**_SEED),
    SVC(),
    CalibratedClassifierCV(SVC(), cv=2, ensemble=False),
    KNeighborsClassifier(),
    GaussianNB(),
    MultinomialNB(),
    BernoulliNB(),
    LinearDiscriminantAnalysis(),
    DecisionTreeClassifier(max_depth=6, **_SEED),
    RandomForestClassifier(20, **_SEED),
    ExtraTreesClassifier(20, **_SEED),
    GradientBoostingClassifier(n_estimators=10, **_SEED),
    HistGradientBoostingClassifier(max_iter=10),
    AdaBoostClassifier(n_estimators=10, **_SEED),
    BaggingClassifier(n_estimators=5, **_SEED),
    VotingClassifier([("logistic", LogisticRegression()), ("tree", DecisionTreeClassifier(**_SEED))]),
    StackingClassifier(
        [("logistic", LogisticRegression()), ("tree", DecisionTreeClassifier(max_depth=3, **_SEED))], cv=2
    ),
    MLPClassifier(hidden_layer_sizes=(16,), max_iter=20, **_SEED),
]
ESTIMATORS: dict[str, Any] = {type(each).__name__: each for each in [*REGRESSORS, *CLASSIFIERS]}


def _targets(data: pd.DataFrame, estimator: Any) -> Any:
    """A positive number, or one of three classes, that depends on the numbers, a category and a word."""
    number = 5 + data["size"] / 3 + np.sin(data["weight"] / 20) + 2 * (data["kind"] == "oak")
    number = number + data["words"].str.contains("red") + data["age"] / 50
    if is_regressor(estimator):
        return number.to_numpy()
    return np.array(["low", "middle", "high"])[np.searchsorted(np.quantile(number, [0.3, 0.7]), number)]


def loaded(estimator: Any, mix: str, folder: Path) -> Model:
    """The estimator behind the mix, fitted, saved, and loaded; raises what scikit-learn raises in fitting."""
    data = frame()
    before, chosen = MIXES[mix]
    X, y = chosen(data), _targets(data, estimator)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how well it fits is not looked at
        pipeline = make_pipeline(*before(), clone(estimator)).fit(X, y)
        skdeploy.save(pipeline, X, y, folder / "model.bin", quiet=True)
        return skdeploy.load(folder / "model.bin", engine="auto")


def mark(name: str, mix: str, folder: Path) -> str:
    """ONNX, NEVER where scikit-learn itself cannot fit, or why scikit-learn serves."""
    try:
        model = loaded(ESTIMATORS[name], mix, folder)
    except (TypeError, ValueError):
        return NEVER
    return ONNX if model.fallback is None else reason(model.fallback)


def reason(fallback: str) -> str:
    """A fallback's reason without numbers and names of columns, which differ from row to row."""
    fallback = re.sub(r"^the pipeline cannot be compiled: ", "", fallback)
    fallback = re.sub(r"^\[ONNXRuntimeError\].*", "onnxruntime refuses the graph", fallback)
    differs = "the compiled pipeline differs from scikit-learn: "
    fallback = re.sub(rf"^{differs}.*, (column '[^']*': )?", "the answers differ on ", fallback)
    return fallback.strip()


def marks(pairs: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """The mark of each (estimator, mix)."""
    with tempfile.TemporaryDirectory() as folder:
        return {(name, mix): mark(name, mix, Path(folder)) for name, mix in pairs}


def everything() -> list[tuple[str, str]]:
    """Every pair of the table."""
    return [(name, mix) for name in ESTIMATORS for mix in MIXES]


def speed(name: str, folder: Path) -> tuple[float, float | None]:
    """The processor's microseconds for one record, by scikit-learn and compiled: in turns, medians."""
    model = loaded(ESTIMATORS[name], SPEED_MIX, folder)
    engines = {"sklearn": skdeploy.load(folder / "model.bin", engine="sklearn").engine}
    if model.fallback is None:
        engines[ONNX] = model.engine
    taken: dict[str, list[float]] = {each: [] for each in engines}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(_REPEATS):
            for each, engine in engines.items():
                begin = (
                    time.thread_time()
                )  # neither engine has another thread here; others' load is not in it
                engine.predict(model.probe)
                taken[each].append((time.thread_time() - begin) * 1e6)
    found = {each: statistics.median(times) for each, times in taken.items()}
    return found["sklearn"], found.get(ONNX)


def marks_table(found: dict[tuple[str, str], str]) -> str:
    """Markdown: a row for each estimator, a column for each mix, and the reasons as numbered notes."""
    reasons = [*dict.fromkeys(one for one in found.values() if one not in (ONNX, NEVER))]
    short = {ONNX: "onnx", NEVER: "-"} | {one: f"({place})" for place, one in enumerate(reasons, 1)}
    lines = [f"| | {' | '.join(MIXES)} |", f"|---|{'---|' * len(MIXES)}"]
    lines += [f"| {name} | {' | '.join(short[found[name, mix]] for mix in MIXES)} |" for name in ESTIMATORS]
    return "\n".join([*lines, "", *(f"({place}) {one}  " for place, one in enumerate(reasons, 1))])


def read_marks(document: str) -> dict[tuple[str, str], str]:
    """What `marks_table` wrote into the document."""
    part = _between(document, "marks")
    reasons = dict(re.findall(r"^(\(\d+\)) (.*?) *$", part, re.MULTILINE))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in part.splitlines() if "|" in line
    ]
    return {
        (row[0], mix): reasons.get(cell, cell)
        for row in rows[2:]
        for mix, cell in zip(rows[0][1:], row[1:], strict=True)
    }


def speeds_table() -> str:
    """Markdown: microseconds for one record, and on what they were measured."""
    lines = ["| | scikit-learn, µs | onnx, µs | times as fast |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name in ESTIMATORS:
            try:
                reference, compiled = speed(name, Path(folder))
            except (TypeError, ValueError):
                continue  # scikit-learn itself cannot fit it on this mix
            rest = f"{compiled:.0f} | {reference / compiled:.0f}" if compiled else "- | -"
            lines.append(f"| {name} | {reference:.0f} | {rest} |")
    here = ", ".join(f"{library} {found}" for library, found in installed().items())
    return "\n".join([*lines, "", f"Measured with {here}, onnxruntime {version('onnxruntime')}."])


def pipelines_table() -> str:
    """Markdown: a row for each pipeline on real data. Raises AssertionError where one differs from itself."""
    lines = ["| data | pipeline | engine | largest difference | times as fast |", "|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for key in PIPELINES:
            found = tried(key, Path(folder), timed=True)
            rest = "- | -"
            if found.difference is not None:
                assert found.difference <= tolerance(key), key
                difference = f"{found.difference:.0e}" if found.difference else "0"
                rest = f"{difference} | {found.ratio:.0f}"
            lines.append(f"| {key[0]} | {key[1]} | {engine_of(found)} | {rest} |")
    return "\n".join(lines)


def engine_of(found: Tried) -> str:
    """The table's third cell: the engine, and why it is scikit-learn."""
    return ONNX if found.fallback is None else f"sklearn: {reason(found.fallback)}"


def read_pipelines(document: str) -> dict[tuple[str, str], str]:
    """What `pipelines_table` wrote into the document: data and pipeline -> engine."""
    rows = [
        line.strip("| ").split(" | ") for line in _between(document, "pipelines").splitlines() if "|" in line
    ]
    return {(row[0], row[1]): row[2] for row in rows[2:]}


def _between(document: str, part: str) -> str:
    """What stands between a part's comments."""
    begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
    if begin not in document or end not in document:
        raise ValueError(f"{DOCUMENT.name} has no part {part!r}")
    return document.partition(begin)[2].partition(end)[0]


def write_part(part: str, table: str) -> None:
    """Put a table into the document, between the part's comments."""
    document = DOCUMENT.read_text()
    begin, end = f"<!-- {part} -->\n", f"<!-- end of {part} -->"
    old = f"{begin}{_between(document, part)}{end}"
    DOCUMENT.write_text(document.replace(old, f"{begin}\n{table}\n\n{end}"))


if __name__ == "__main__":
    write_part("pipelines", pipelines_table())
    write_part("marks", marks_table(marks(everything())))
    write_part("speeds", speeds_table())
