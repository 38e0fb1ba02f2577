"""XGBoost, LightGBM and CatBoost, compiled: every answer beside the library's own, at splits too."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pandas as pd
import pytest
from catboost import CatBoostClassifier, CatBoostRanker, CatBoostRegressor
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from imblearn.under_sampling import RandomUnderSampler
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor, early_stopping
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder
from xgboost import XGBClassifier, XGBRanker, XGBRegressor, XGBRFClassifier, XGBRFRegressor

import skdeploy
from skdeploy.engines.compiling import NotCompilable, compile_graph
from skdeploy.engines.graph import Graph
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.engines.sklearn import SklearnEngine
from skdeploy.model.exporting import export
from skdeploy.schema import Column, RecordReader, Schema, Table

ROWS, RECORDS = 300, 2000
# XGBoost calculates in single precision; the last bits of its exponential are its own.
SINGLE, DOUBLE = 1e-6, 1e-12
XGB: dict[str, Any] = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1}
LGBM: dict[str, Any] = {
    "n_estimators": 6,
    "num_leaves": 6,
    "min_child_samples": 5,
    "n_jobs": 1,
    "verbose": -1,
}
CATBOOST: dict[str, Any] = {
    "iterations": 6,
    "depth": 3,
    "verbose": 0,
    "allow_writing_files": False,
    "thread_count": 1,
}
FOREST: dict[str, Any] = {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6}


def numbers() -> pd.DataFrame:
    """Numbers of different sizes, whole ones and nulls among them."""
    random = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "a": random.normal(size=ROWS),
            "b": random.integers(0, 9, ROWS).astype(float),
            "c": random.gamma(2, 40, ROWS),
            "d": random.normal(size=ROWS) * 1e-3,
        }
    )
    X.loc[::7, "a"] = np.nan
    X.loc[::5, "c"] = np.nan
    return X


X = numbers()
Y = (X["a"].fillna(0) * 2 + (X["b"] % 3 == 1) * 3 + np.log1p(X["c"].fillna(0)) + X["d"] * 500).to_numpy() + X[
    "a"
].isna().to_numpy() * 1.5
POSITIVE, YES = np.abs(Y) + 0.1, (np.median(Y) < Y).astype(int)
GRADES = np.searchsorted(np.quantile(Y, [0.25, 0.5, 0.75]), Y)
LETTERS = np.array(list("wxyz"))[GRADES]
GROUPS = np.repeat(np.arange(ROWS // 10), 10)
NOISE = np.random.default_rng(1).permutation(ROWS)[:60]
COLUMNS = [Column(name=str(name), type="float", dtype="float64", nullable=True) for name in X]


def stopped_early(model: Any, y: Any) -> Any:
    """Fitted until a few records with the targets of others are foretold worse again."""
    noise = X[:60], y[NOISE]
    if isinstance(model, LGBMRegressor | LGBMClassifier):
        stop = early_stopping(2, verbose=False)
        return model.fit(X, y, eval_X=noise[0], eval_y=noise[1], callbacks=[stop])
    if isinstance(model, CatBoostRegressor):
        return model.fit(X, y, eval_set=noise)
    return model.fit(X, y, eval_set=[noise], verbose=False)


REGRESSORS: dict[str, Callable[[], Any]] = {
    "xgboost": lambda: XGBRegressor(**XGB).fit(X, Y),
    "xgboost-base-score": lambda: XGBRegressor(base_score=0.7, **XGB).fit(X, Y),
    "xgboost-missing-3": lambda: XGBRegressor(missing=3.0, **XGB).fit(X, Y),
    "xgboost-dart": lambda: XGBRegressor(booster="dart", rate_drop=0.5, one_drop=True, **XGB).fit(X, Y),
    "xgboost-forest": lambda: XGBRFRegressor(n_estimators=5, max_depth=4).fit(X, Y),
    "xgboost-parallel-trees": lambda: XGBRegressor(num_parallel_tree=3, subsample=0.5, **XGB).fit(X, Y),
    "xgboost-two-outputs": lambda: XGBRegressor(**XGB).fit(X, np.c_[Y, -2 * Y]),
    "xgboost-quantiles": lambda: XGBRegressor(
        objective="reg:quantileerror", quantile_alpha=[0.1, 0.9], **XGB
    ).fit(X, Y),
    "xgboost-stopped-early": lambda: stopped_early(
        XGBRegressor(**{**XGB, "n_estimators": 99}, early_stopping_rounds=2), Y
    ),
    "xgboost-ranker": lambda: XGBRanker(**XGB).fit(X, GRADES, qid=GROUPS),
    **{
        f"xgboost-{name}": partial(lambda name, y: XGBRegressor(objective=name, **XGB).fit(X, y), name, y)
        for name, y in {
            **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox"), POSITIVE),
            **dict.fromkeys(("reg:absoluteerror", "reg:pseudohubererror"), Y),
            **dict.fromkeys(("reg:logistic", "binary:hinge"), YES),
        }.items()
    },
    **{
        f"lightgbm-{name}": partial(lambda name, y: LGBMRegressor(objective=name, **LGBM).fit(X, y), name, y)
        for name, y in {
            **dict.fromkeys(("l2", "l1", "huber", "fair", "quantile"), Y),
            **dict.fromkeys(("poisson", "gamma", "tweedie", "mape"), POSITIVE),
            **dict.fromkeys(("cross_entropy", "cross_entropy_lambda", "binary"), YES),
        }.items()
    },
    "lightgbm-square-root": lambda: LGBMRegressor(reg_sqrt=True, **LGBM).fit(X, Y),
    "lightgbm-own-objective": lambda: LGBMRegressor(
        objective=lambda y, raw: (raw - y, np.ones_like(y)), **LGBM
    ).fit(X, Y),
    "lightgbm-forest": lambda: LGBMRegressor(**FOREST, **LGBM).fit(X, Y),
    "lightgbm-dart": lambda: LGBMRegressor(boosting_type="dart", **LGBM).fit(X, Y),
    "lightgbm-zero-as-missing": lambda: LGBMRegressor(zero_as_missing=True, **LGBM).fit(X, Y),
    "lightgbm-nothing-missing": lambda: LGBMRegressor(use_missing=False, **LGBM).fit(X, Y),
    "lightgbm-no-null-seen": lambda: LGBMRegressor(**LGBM).fit(X.fillna(1.0), Y),
    "lightgbm-no-split": lambda: LGBMRegressor(**{**LGBM, "min_child_samples": ROWS}).fit(X, Y),
    "lightgbm-stopped-early": lambda: stopped_early(LGBMRegressor(**{**LGBM, "n_estimators": 99}), Y),
    "lightgbm-ranker": lambda: LGBMRanker(**LGBM).fit(X, GRADES, group=[10] * 30),
    "catboost": lambda: CatBoostRegressor(**CATBOOST).fit(X, Y),
    "catboost-null-above": lambda: CatBoostRegressor(nan_mode="Max", **CATBOOST).fit(X, Y),
    "catboost-no-null-seen": lambda: CatBoostRegressor(**CATBOOST).fit(X.fillna(1.0), Y),
    "catboost-depthwise": lambda: CatBoostRegressor(grow_policy="Depthwise", **CATBOOST).fit(X, Y),
    "catboost-poisson": lambda: CatBoostRegressor(loss_function="Poisson", **CATBOOST).fit(X, POSITIVE),
    "catboost-two-outputs": lambda: CatBoostRegressor(loss_function="MultiRMSE", **CATBOOST).fit(
        X, np.c_[Y, -2 * Y]
    ),
    "catboost-stopped-early": lambda: stopped_early(
        CatBoostRegressor(**{**CATBOOST, "iterations": 99}, early_stopping_rounds=2), Y
    ),
    "catboost-ranker": lambda: CatBoostRanker(**CATBOOST).fit(
        X, GRADES, group_id=np.repeat(np.arange(30), 10)
    ),
}
CLASSIFIERS: dict[str, Callable[[], Any]] = {
    "xgboost-two": lambda: XGBClassifier(**XGB).fit(X, YES),
    "xgboost-four": lambda: XGBClassifier(**XGB).fit(X, GRADES),
    "xgboost-softmax": lambda: XGBClassifier(objective="multi:softmax", **XGB).fit(X, GRADES),
    "xgboost-forest": lambda: XGBRFClassifier(n_estimators=5, max_depth=4).fit(X, GRADES),
    "xgboost-dart": lambda: XGBClassifier(booster="dart", rate_drop=0.5, one_drop=True, **XGB).fit(X, YES),
    "xgboost-stopped-early": lambda: stopped_early(
        XGBClassifier(**{**XGB, "n_estimators": 99}, early_stopping_rounds=2), GRADES
    ),
    "lightgbm-two": lambda: LGBMClassifier(sigmoid=0.4, **LGBM).fit(X, YES),
    "lightgbm-four": lambda: LGBMClassifier(**LGBM).fit(X, LETTERS),
    "lightgbm-one-against-all": lambda: LGBMClassifier(objective="multiclassova", **LGBM).fit(X, LETTERS),
    "lightgbm-forest": lambda: LGBMClassifier(**FOREST, **LGBM).fit(X, LETTERS),
    "lightgbm-stopped-early": lambda: stopped_early(LGBMClassifier(**{**LGBM, "n_estimators": 99}), GRADES),
    "catboost-two": lambda: CatBoostClassifier(**CATBOOST).fit(X, np.array(["no", "yes"])[YES]),
    "catboost-four": lambda: CatBoostClassifier(**CATBOOST).fit(X, LETTERS),
    "catboost-one-against-all": lambda: CatBoostClassifier(
        loss_function="MultiClassOneVsAll", **CATBOOST
    ).fit(X, GRADES),
    "catboost-threshold": lambda: with_threshold(CatBoostClassifier(**CATBOOST).fit(X, YES), 0.3),
}


def with_threshold(model: Any, threshold: float) -> Any:
    model.set_probability_threshold(threshold)
    return model


def table(frame: pd.DataFrame) -> Table:
    cells = [[None if pd.isna(cell) else cell for cell in frame[name].tolist()] for name in frame]
    return Table(cells, len(frame))


def records(graph: Graph) -> pd.DataFrame:
    """Training records; three of four hold splits, numbers one bit beside them, nulls and extremes."""
    splits: list[list[float]] = [[0.0] for _ in X]
    for node in onnx.load_from_string(graph.content).graph.node:
        if node.op_type == "TreeEnsemble":
            values = {attribute.name: attribute for attribute in node.attribute}
            found = onnx.numpy_helper.to_array(values["nodes_splits"].t).astype(float).tolist()
            for feature, split in zip(values["nodes_featureids"].ints, found, strict=True):
                splits[feature % len(splits)].append(split)
    random = np.random.default_rng(2)
    rows = X.to_numpy()[random.integers(0, ROWS, RECORDS)]
    for column, known in enumerate(splits):
        split = random.choice(np.clip(known, -1e38, 1e38), RECORDS)
        above, below = (np.nextafter(split.astype(np.float32), np.float32(way)) for way in (np.inf, -np.inf))
        candidates = [
            *(split, np.nextafter(split, np.inf), np.nextafter(split, -np.inf)),
            *(above, below, (above + split) / 2, np.nextafter(above, -np.inf, dtype=float)),
            random.choice([np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e300, -1e300], RECORDS),
        ]
        chosen = np.choose(random.integers(0, len(candidates), RECORDS), candidates)
        change = (random.random(RECORDS) < 0.7) & (np.arange(RECORDS) >= RECORDS // 4)
        rows[:, column] = np.where(change, chosen, rows[:, column])
    return pd.DataFrame(rows, columns=X.columns)


def compiled(model: Any) -> tuple[OnnxEngine, SklearnEngine, Table]:
    schema = Schema(container="frame", columns=COLUMNS)
    graph, reference = compile_graph(model, schema), SklearnEngine(model, schema)
    assert not graph.leaves_records(schema)
    return OnnxEngine(graph, None), reference, table(records(graph))


def tolerance(case: str) -> float:
    return SINGLE if case.startswith("xgboost") else DOUBLE


@pytest.mark.parametrize("case", REGRESSORS)
def test_numbers_are_the_librarys(case: str) -> None:
    """Also at a split, beside it by one bit of either precision, with nulls, and beyond single precision."""
    engine, reference, given = compiled(REGRESSORS[case]())
    expected = np.asarray(reference.predict(given)).reshape(RECORDS, -1)
    got = engine.predict(given).reshape(RECORDS, -1)
    assert got == pytest.approx(expected, rel=tolerance(case), abs=tolerance(case))
    assert engine.predict(given.rows([7])).ravel() == pytest.approx(got[7])


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_labels_and_probabilities_are_the_librarys(case: str) -> None:
    """On the same records; every label is the same."""
    engine, reference, given = compiled(CLASSIFIERS[case]())
    labels, probabilities = engine.predict_both(given)
    assert labels.tolist() == np.asarray(reference.predict(given)).ravel().tolist()
    assert probabilities == pytest.approx(reference.predict_proba(given), abs=tolerance(case))


def test_sums_of_single_precision_are_the_same_to_the_last_bit() -> None:
    """XGBoost adds its leaves in single precision, in the order of the trees."""
    engine, reference, given = compiled(XGBRegressor(n_estimators=60, max_depth=4, n_jobs=1).fit(X, Y))
    assert engine.predict(given).ravel().tolist() == reference.predict(given).astype(float).tolist()


def test_numbers_can_be_categories() -> None:
    """LightGBM and XGBoost cut fractions off, and each has a way for numbers that are no category."""
    random = np.random.default_rng(3)
    kinds = random.integers(0, 12, ROWS)
    numbers = pd.DataFrame({"kind": kinds, "x": random.normal(size=ROWS)})
    y = numbers["x"] + np.isin(kinds, [0, 4, 5, 11]) * 3
    odd = [None, -1.0, -0.5, -0.0, 0.5, 4.999999999999, 11.0, 11.5, 12.0, 1e9, 1e300, -1e300]
    given = Table([[*odd, *map(float, range(13))], [0.1] * (len(odd) + 13)], len(odd) + 13)
    array = Schema(
        container="array",
        columns=[Column(name=str(name), type="float", dtype="float64", nullable=True) for name in numbers],
    )
    for model in (
        LGBMRegressor(cat_smooth=0, min_data_per_group=2, **LGBM),
        LGBMRegressor(zero_as_missing=True, max_cat_to_onehot=99, **LGBM),
        XGBRegressor(feature_types=["c", "q"], enable_categorical=True, max_cat_to_onehot=1, **XGB),
        XGBRegressor(feature_types=["c", "q"], enable_categorical=True, max_cat_to_onehot=99, **XGB),
    ):
        named: dict[str, Any] = {"categorical_feature": [0]} if isinstance(model, LGBMRegressor) else {}
        model.fit(numbers.to_numpy(dtype=float), y, **named)
        reference = SklearnEngine(model, array)
        got = OnnxEngine(compile_graph(model, array), None).predict(given).ravel()
        assert got == pytest.approx(reference.predict(given), rel=SINGLE), type(model).__name__
        assert len(set(got.tolist())) > 1


def test_numbers_beside_zero_are_zero_to_lightgbm() -> None:
    """So its splits beside zero, at 1e-35, do not take what is equal to them for less."""
    signs = np.repeat([-1.0, 0.0, 1.0], 40)[:, None]
    model = LGBMRegressor(**LGBM).fit(signs, signs[:, 0])
    edge = float(np.float32(1e-35))
    near = [sign * size for size in (edge, np.nextafter(edge, 1), 1e-36, 0.5, 0.0) for sign in (-1, 1)]
    one = Schema(container="array", columns=[Column(name="x0", type="float", dtype="float64")])
    given = Table([near], len(near))
    got = OnnxEngine(compile_graph(model, one), None).predict(given).ravel().tolist()
    assert got == SklearnEngine(model, one).predict(given).tolist()
    assert len(set(got)) == 3


NOT_COMPILED: dict[str, tuple[Callable[[], Any], str]] = {
    "lightgbm-linear-tree": (lambda: LGBMRegressor(linear_tree=True, **LGBM).fit(X, Y), "with linear trees"),
    "lightgbm-own-objective": (
        lambda: LGBMClassifier(objective=lambda y, raw: (raw - y, np.ones_like(y)), **LGBM).fit(X, YES),
        "an objective of its own",
    ),
    "lightgbm-raw": (
        lambda: LGBMRegressor(predict_raw_score=True, objective="poisson", **LGBM).fit(X, POSITIVE),
        "the parameter predict_raw_score",
    ),
    "xgboost-linear": (lambda: XGBRegressor(booster="gblinear").fit(X.fillna(0), Y), "booster gblinear"),
    "xgboost-vectors": (
        lambda: XGBRegressor(multi_strategy="multi_output_tree", **XGB).fit(X, np.c_[Y, -Y]),
        "a vector of outputs in each leaf",
    ),
    "xgboost-labels": (
        lambda: XGBClassifier(**XGB).fit(X, np.c_[YES, 1 - YES]),
        "XGBClassifier with several outputs",
    ),
    "catboost-uncertainty": (
        lambda: CatBoostRegressor(loss_function="RMSEWithUncertainty", **CATBOOST).fit(X, Y),
        "the loss RMSEWithUncertainty",
    ),
    "catboost-categories": (
        lambda: CatBoostRegressor(cat_features=["b"], **CATBOOST).fit(X.astype({"b": int}), Y),
        "CatBoost with categorical features",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", NOT_COMPILED)
def test_what_does_not_compile_says_why(case: str) -> None:
    """The reason names the library, and the option."""
    make, reason = NOT_COMPILED[case]
    with pytest.raises(NotCompilable, match=reason):
        compile_graph(make(), Schema(container="frame", columns=COLUMNS))


# --- Whole pipelines, saved and loaded.


def trades() -> pd.DataFrame:
    """Two texts, one of many values, and three numbers."""
    random = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "kind": random.choice(["ash", "elm", "oak", "yew"], ROWS),
            "city": random.choice([f"c{index}" for index in range(40)], ROWS),
            "size": random.normal(10, 3, ROWS),
            "gaps": random.normal(20, 5, ROWS),
            "zero": random.integers(0, 3, ROWS).astype(float),
        }
    )
    frame.loc[::8, "gaps"] = np.nan
    return frame


TRADES = trades()
PRICE = (
    TRADES["size"] + (TRADES["kind"] == "ash") * 5 + TRADES["city"].str[1:].astype(int) % 7 + TRADES["zero"]
)
CHEAP = (PRICE.median() > PRICE).astype(int)
LEVEL = np.array(["low", "mid", "top"])[np.searchsorted(PRICE.quantile([0.3, 0.7]), PRICE)]


def prepared(*, sparse: bool = True) -> ColumnTransformer:
    encoder = OneHotEncoder(handle_unknown="ignore")
    return ColumnTransformer(
        [("texts", encoder, ["kind", "city"]), ("gaps", SimpleImputer(), ["gaps"])],
        remainder="passthrough",
        sparse_threshold=1.0 if sparse else 0.0,
    )


def behind(model: Any, **how: Any) -> Any:
    return make_pipeline(prepared(**how), model)


XGB_2, LGBM_2 = XGBClassifier(**XGB), LGBMClassifier(**LGBM)
PIPELINES: dict[str, tuple[Any, Any]] = {
    # A sparse matrix leaves zeros out, which are missing to XGBoost, and zeros to the others.
    "xgboost-sparse": (behind(XGBRegressor(**XGB)), PRICE),
    "xgboost-dense": (behind(XGBRegressor(**XGB), sparse=False), PRICE),
    "xgboost-sparse-members": (
        behind(VotingRegressor([("a", XGBRegressor(**XGB)), ("b", Ridge())])),
        PRICE,
    ),
    "xgboost-sparse-folds": (behind(CalibratedClassifierCV(XGB_2, cv=2)), CHEAP),
    "xgboost-sparse-threshold": (FixedThresholdClassifier(behind(XGB_2), threshold=0.3), CHEAP),
    "xgboost-search": (
        GridSearchCV(behind(XGBRegressor(**XGB)), {"columntransformer__gaps__strategy": ["mean"]}, cv=2),
        PRICE,
    ),
    "lightgbm-sparse": (behind(LGBMRegressor(**LGBM)), PRICE),
    "lightgbm-target": (
        TransformedTargetRegressor(behind(LGBMRegressor(**LGBM)), func=np.log1p, inverse_func=np.expm1),
        PRICE,
    ),
    "lightgbm-pipelines": (
        VotingRegressor([("a", behind(LGBMRegressor(**LGBM))), ("b", behind(Ridge()))]),
        PRICE,
    ),
    "lightgbm-stacking": (
        behind(StackingRegressor([("a", LGBMRegressor(**LGBM)), ("b", Ridge())], XGBRegressor(**XGB), cv=2)),
        PRICE,
    ),
    "lightgbm-outputs": (
        behind(MultiOutputRegressor(LGBMRegressor(**LGBM))),
        pd.DataFrame({"price": PRICE, "loss": -PRICE}),
    ),
    "lightgbm-sampled": (
        make_sampling_pipeline(prepared(), RandomUnderSampler(random_state=0), LGBM_2),
        LEVEL,
    ),
    "lightgbm-folds": (CalibratedClassifierCV(behind(LGBM_2), method="isotonic", cv=2), LEVEL),
    "xgboost-smote": (
        make_sampling_pipeline(prepared(sparse=False), SMOTE(k_neighbors=2, random_state=0), XGB_2),
        CHEAP,
    ),
    "catboost-sampled-folds": (
        CalibratedClassifierCV(
            make_sampling_pipeline(
                prepared(), RandomOverSampler(random_state=0), CatBoostClassifier(**CATBOOST)
            ),
            cv=2,
        ),
        LEVEL,
    ),
    "catboost": (behind(CatBoostClassifier(**CATBOOST)), LEVEL),
    "catboost-boosted": (
        behind(
            AdaBoostRegressor(CatBoostRegressor(**CATBOOST), n_estimators=2, random_state=0), sparse=False
        ),
        PRICE,
    ),
    "bagging-of-sampling-pipelines": (
        behind(
            BaggingRegressor(make_sampling_pipeline(XGBRegressor(**XGB)), n_estimators=2, random_state=0),
            sparse=False,
        ),
        PRICE,
    ),
    "votes": (
        behind(VotingClassifier([("a", LGBM_2), ("b", CatBoostClassifier(**CATBOOST))], voting="soft")),
        LEVEL,
    ),
    "stacked-classifiers": (
        behind(StackingClassifier([("a", XGB_2), ("b", LGBM_2)], LogisticRegression(), cv=2)),
        CHEAP,
    ),
}


def saved(pipeline: Any, frame: Any, y: Any, path: Path) -> tuple[Any, Any]:
    """The pipeline, fitted, and the model as it loads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skdeploy.save(pipeline.fit(frame, y), frame, y, path)
        return pipeline, skdeploy.load(path, engine="onnx")


def tried(model: Any, frame: pd.DataFrame) -> Table:
    """The frame's records; some cells are null or no category of training's where the model takes that."""
    random = np.random.default_rng(5)
    given = table(frame.sample(RECORDS, replace=True, random_state=6))
    for cells, column in zip(given.cells, model.schema.columns, strict=True):
        places = random.integers(0, RECORDS, (2, RECORDS // 10))
        for place in places[0] if column.nullable else ():
            cells[place] = None
        if column.categories and not column.refuses_unknown(strict=False):
            for place in places[1]:
                cells[place] = column.kind.unseen(column.categories)
    return given


def require_equal(model: Any, pipeline: Any, given: Table) -> None:
    reference = SklearnEngine(pipeline, model.schema)
    expected = np.asarray(reference.predict(given)).reshape(RECORDS, -1)
    got = np.asarray(model.engine.predict(given)).reshape(RECORDS, -1)
    if expected.dtype.kind == "f":
        assert got == pytest.approx(expected, rel=SINGLE, abs=SINGLE)
    else:
        assert got.tolist() == expected.tolist()
    if model.passport.output.probabilities:
        assert model.engine.predict_both(given)[1] == pytest.approx(
            reference.predict_proba(given), abs=SINGLE
        )


@pytest.mark.parametrize("case", PIPELINES)
def test_pipelines_with_boosters_are_compiled(case: str, tmp_path: Path) -> None:
    """With unknown texts and nulls, and proved at load."""
    pipeline, y = PIPELINES[case]
    pipeline, model = saved(pipeline, TRADES, y, tmp_path / "model.bin")
    require_equal(model, pipeline, tried(model, TRADES))


@pytest.mark.parametrize("booster", [XGBRegressor(**XGB), LGBMRegressor(**LGBM)], ids=["xgboost", "lightgbm"])
def test_zeros_that_a_vectorizer_stores_are_numbers(booster: Any, tmp_path: Path) -> None:
    """DictVectorizer's matrix holds the zeros of numbers, and leaves out those of texts."""
    dicts = TRADES.drop(columns="gaps").to_dict("records")
    pipeline, model = saved(make_pipeline(DictVectorizer(), booster), dicts, PRICE, tmp_path / "model.bin")
    require_equal(model, pipeline, tried(model, TRADES.drop(columns="gaps")))


CATEGORIES = TRADES.assign(
    kind=pd.Categorical(TRADES["kind"].where(TRADES.index % 11 > 0), ["yew", "oak", "elm", "ash"]),
    city=TRADES["city"].astype("category"),
    number=pd.Categorical(np.random.default_rng(7).choice([10, 20, 35], ROWS)),
)
ENCODED = ColumnTransformer(
    [("codes", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan), ["kind", "city"])],
    remainder="passthrough",
)
WITH_CATEGORIES: dict[str, tuple[Any, pd.DataFrame, Any]] = {
    "lightgbm": (LGBMRegressor(cat_smooth=0, min_data_per_group=2, **LGBM), CATEGORIES, PRICE),
    "lightgbm-one-category": (LGBMRegressor(max_cat_to_onehot=99, **LGBM), CATEGORIES, PRICE),
    "lightgbm-classes": (LGBM_2, CATEGORIES, LEVEL),
    "xgboost": (XGBRegressor(enable_categorical=True, max_cat_to_onehot=1, **XGB), CATEGORIES, PRICE),
    "xgboost-one-category": (XGBRegressor(enable_categorical=True, **XGB), CATEGORIES, PRICE),
    "histogram": (HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=3), CATEGORIES, PRICE),
    "histogram-folds": (
        CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=3), cv=2),
        CATEGORIES,
        LEVEL,
    ),
    "histogram-of-codes": (
        make_pipeline(ENCODED, HistGradientBoostingRegressor(max_iter=5, categorical_features=[0, 1])),
        TRADES,
        PRICE,
    ),
    "histogram-of-numbers": (
        HistGradientBoostingRegressor(max_iter=5, categorical_features=["zero"]),
        TRADES[["size", "gaps", "zero"]],
        PRICE,
    ),
    "behind-a-frame": (
        make_pipeline(
            ColumnTransformer(
                [("gaps", SimpleImputer(), ["gaps"])],
                remainder="passthrough",
                verbose_feature_names_out=False,
            ).set_output(transform="pandas"),
            LGBMRegressor(**LGBM),
        ),
        CATEGORIES,
        PRICE,
    ),
    "side-by-side": (
        VotingRegressor(
            [
                ("a", LGBMRegressor(**LGBM)),
                ("b", HistGradientBoostingRegressor(max_iter=3)),
                ("c", behind(Ridge())),
            ]
        ),
        CATEGORIES.drop(columns="number"),
        PRICE,
    ),
}


@pytest.mark.parametrize("case", WITH_CATEGORIES)
def test_columns_of_categories_are_compiled(case: str, tmp_path: Path) -> None:
    """pandas' dtype `category`, or codes that the model splits by set; unknown ones and nulls included."""
    pipeline, frame, y = WITH_CATEGORIES[case]
    pipeline, model = saved(pipeline, frame, y, tmp_path / "model.bin")
    require_equal(model, pipeline, tried(model, frame))


def test_xgboost_refuses_an_unknown_category(tmp_path: Path) -> None:
    """It would raise, or take a neighbour in the alphabet for it: the schema lists what it knows."""
    model = XGBRegressor(enable_categorical=True, **XGB)
    _, loaded = saved(model, CATEGORIES, PRICE, tmp_path / "model.bin")
    assert {column.name for column in loaded.schema.columns if column.refuses_unknown(strict=False)} == {
        "kind",
        "city",
        "number",
    }
    record = {"kind": "elm", "city": "c1", "size": 9.5, "gaps": None, "zero": 1.0, "number": 20}
    reader = RecordReader(loaded.schema)
    assert not reader.read([record]).bad
    for name, unknown in {"kind": "birch", "number": 15}.items():
        (cells,) = reader.read([{**record, name: unknown}]).bad.values()
        assert [(cell.column, cell.code) for cell in cells] == [(name, "category")]


@pytest.mark.parametrize("case", ["xgboost", "lightgbm-l2", "catboost"])
@pytest.mark.parametrize("named", [True, False])
def test_a_booster_alone_needs_no_passport(case: str, named: bool, tmp_path: Path) -> None:
    """As joblib wrote it; CatBoost forgets how many columns it was fitted on."""
    model = REGRESSORS[case]()
    if not named:
        model.fit(X.to_numpy(), Y)
    joblib.dump(make_pipeline(model), tmp_path / "model.bin")
    loaded = skdeploy.load(tmp_path / "model.bin", engine="onnx")
    assert loaded.schema.names == (list(X) if named else ["x0", "x1", "x2", "x3"])
    complete = X.dropna() if named else X.dropna().to_numpy()
    got = loaded.engine.predict(table(X.dropna())).ravel()
    assert got == pytest.approx(model.predict(complete), rel=SINGLE)


_SERVED_ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"xgboost", "lightgbm", "catboost", "imblearn", "sklearn", "pandas"}:
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
import skdeploy
from skdeploy.schema import Table
model = skdeploy.load(sys.argv[1])
print([float(value) for value in model.engine.predict(Table(eval(sys.argv[2]), 2)).ravel()])
"""


@pytest.mark.parametrize("case", ["lightgbm", "xgboost"])
def test_an_exported_model_needs_no_booster(case: str, tmp_path: Path) -> None:
    """Neither the library that grew the trees, nor scikit-learn, nor pandas is there."""
    pipeline, frame, y = WITH_CATEGORIES[case]
    _, model = saved(pipeline, frame, y, tmp_path / "model.bin")
    content = (tmp_path / "model.bin").read_bytes()
    exported, _ = export(content, digest=hashlib.sha256(content).hexdigest(), where="model.bin")
    path = tmp_path / "model.skdeploy"
    path.write_bytes(exported)
    given = table(frame.iloc[[3, 11]])
    out = subprocess.run(
        [sys.executable, "-c", _SERVED_ALONE, str(path), repr(given.cells)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert out.returncode == 0, out.stderr
    expected = SklearnEngine(pipeline, model.schema).predict(given)
    assert [float(value) for value in out.stdout.strip().strip("[]").split(",")] == pytest.approx(expected)
