"""XGBoost, LightGBM and CatBoost, read from what they write themselves; each as one TreeEnsemble.

None of the three is imported here: the tables name their classes, and whoever loads a model has imported
its library.

Source: xgboost's doc/model.schema and src/predictor/cpu_predictor.cc, src/common/categorical.h; LightGBM's
include/LightGBM/tree.h and src/boosting/gbdt_model_text.cpp; CatBoost's catboost/libs/model/model_export.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skdeploy.engines.compiling.converters.categories import split_by_category
from skdeploy.engines.compiling.converters.forests import tree_sum
from skdeploy.engines.compiling.converters.writer import Classifier, Regressor, Scores, Transformer, Writer
from skdeploy.engines.compiling.errors import NotCompilable
from skdeploy.engines.compiling.sparse import ZerosMissing
from skdeploy.engines.compiling.trees import Codes, Tree, lone_leaf, members


class Categories(NamedTuple):
    """The categories that a booster learned of pandas' columns of the dtype `category`, in their order.

    other   the place of any other category; None where the booster raises
    """

    columns: list[list[Any]]
    other: float | None


def categories_of(model: Any) -> Categories | None:
    """None for what is no booster, or has learned none."""
    if hasattr(model, "booster_"):
        columns = model.booster_.pandas_categorical or []
        return Categories(columns, np.nan) if columns else None
    if hasattr(model, "get_booster"):
        columns = _xgboost_categories(model)
        return Categories(columns, None) if columns else None
    return None


def _zeros_missing(write: Writer, model: ZerosMissing, x: str) -> str:
    return write.node("Where", write.node("Equal", x, model.zeros[None, :]), np.nan, x)


# --- XGBoost: single precision throughout, sums included; x < threshold goes left.

_XGBOOST_IDENTITY = (
    *("reg:squarederror", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror"),
    *("reg:quantileerror", "binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map"),
)
_XGBOOST_LOGISTIC = ("reg:logistic", "binary:logistic")
_XGBOOST_LOG = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox")
_XGBOOST_SOFTMAX = ("multi:softprob", "multi:softmax")


def _xgboost_regressor(write: Writer, model: Any, x: str) -> str:
    return _xgboost_value(write, model, x)[0]


def _xgboost_classifier(write: Writer, model: Any, x: str) -> Scores:
    chances, width = _xgboost_value(write, model, x)
    if width == 1:
        chances = write.two_classes(chances)
    elif model.objective not in _XGBOOST_SOFTMAX:
        raise NotCompilable("XGBClassifier with several outputs, or with an objective of its own")
    return Scores(write.best(chances), chances)


def _xgboost_value(write: Writer, model: Any, x: str) -> tuple[str, int]:
    """What the booster's objective makes of its margin, (n, targets), and the number of targets.

    Each step is rounded as there: a calibrator behind it can make much of a last bit.
    """
    learner = _xgboost_learner(model)
    margin, targets = _xgboost_margin(write, learner, model.missing, x)
    objective = learner["objective"]["name"]
    if objective in _XGBOOST_IDENTITY:
        return margin, targets
    if objective in _XGBOOST_LOGISTIC:
        power = write.rounded(write.node("Exp", write.node("Neg", margin)))
        return write.rounded(write.node("Div", 1.0, write.rounded(write.node("Add", power, 1.0)))), targets
    if objective in _XGBOOST_LOG:
        return write.rounded(write.node("Exp", margin)), targets
    if objective in _XGBOOST_SOFTMAX:
        greatest = write.node("ReduceMax", margin, np.array([1]), keepdims=1)
        powers = write.rounded(write.node("Exp", write.rounded(write.node("Sub", margin, greatest))))
        return write.rounded(write.node("Div", powers, write.rounded(write.total(powers)))), targets
    if objective == "binary:hinge":
        return write.double(write.node("Greater", margin, 0.0)), targets
    raise NotCompilable(f"XGBoost with the objective {objective}")


def _xgboost_learner(model: Any) -> dict[str, Any]:
    written: dict[str, Any] = json.loads(bytes(model.get_booster().save_raw("json")))["learner"]
    return written


def _xgboost_margin(write: Writer, learner: dict[str, Any], missing: float, x: str) -> tuple[str, int]:
    booster = learner["gradient_booster"]
    if booster["name"] == "gblinear":
        raise NotCompilable("XGBoost with the booster gblinear")
    x = write.rounded(x)
    if not np.isnan(missing):
        x = write.node("Where", write.node("Equal", x, float(np.float32(missing))), np.nan, x)
    model = booster.get("gbtree", booster)["model"]
    count = len(model["trees"])
    if (best := learner["attributes"].get("best_iteration")) is not None:
        count = model["iteration_indptr"][int(best) + 1]
    weights = booster.get("weight_drop", [1.0] * count)  # of the booster dart
    trees = [
        _xgboost_tree(tree, weight) for tree, weight in zip(model["trees"][:count], weights, strict=False)
    ]
    width = int(learner["learner_model_param"]["num_feature"])
    x, trees = split_by_category(write, x, width, trees, above=np.nextafter(0.0, -1.0))
    # Sums start with the margin of the base score, as there: single precision depends on the order.
    starts = _xgboost_start(learner)
    placed = [(lone_leaf(start), 0, target) for target, start in enumerate(starts)]
    placed += [(tree, 0, target) for tree, target in zip(trees, model["tree_info"], strict=False)]
    return write.trees(x, placed, len(starts), single=True, sums=np.float32), len(starts)


def _xgboost_categories(model: Any) -> list[list[Any]]:
    booster = _xgboost_learner(model)["gradient_booster"]
    columns = []
    for learned in booster.get("gbtree", booster)["model"].get("cats", {}).get("enc", []):
        values, ends = learned["values"], learned.get("offsets")
        if ends is not None:  # texts, one behind the other
            values = [bytes(values[start:end]).decode() for start, end in pairwise(ends)]
        columns.append(values)
    return [values for values in columns if values]


def _xgboost_start(learner: dict[str, Any]) -> Any:
    """The margin of the base score, per target."""
    parameters, objective = learner["learner_model_param"], learner["objective"]["name"]
    base = np.array(json.loads(parameters["base_score"]), dtype=np.float32).ravel()
    if objective in _XGBOOST_LOGISTIC:
        odds = np.float32(1) / base - np.float32(1)
        base = -np.log(odds.astype(float)).astype(np.float32)
    elif objective in _XGBOOST_LOG:
        base = np.log(base.astype(float)).astype(np.float32)
    targets = max(int(parameters["num_class"]), int(parameters.get("num_target", 1)), 1)
    return np.broadcast_to(base, targets)


def _xgboost_tree(tree: dict[str, Any], weight: float) -> Tree:
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise NotCompilable("XGBoost with a vector of outputs in each leaf")
    left = np.array(tree["left_children"])
    conditions = np.array(tree["split_conditions"], dtype=np.float32)
    categories = tree["categories"]
    sets = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    return Tree(
        left,
        np.array(tree["right_children"]),
        np.array(tree["split_indices"]),
        np.nextafter(conditions, np.float32(-np.inf)),
        np.array(tree["default_left"]),
        left == -1,
        conditions[:, None] * np.float32(weight),
        {node: Codes(tuple(categories[start : start + size]), go_left=False) for node, start, size in sets},
    )


# --- LightGBM: double precision; x <= threshold goes left.

_ZERO = float(np.float32(1e-35))
_NONE, _AT_ZERO = 0, 1  # types of missing values; the other is NaN
_LIGHTGBM_IDENTITY = (
    *("regression", "regression_l1", "huber", "fair", "quantile", "mape"),
    *("lambdarank", "rank_xendcg"),
)


def _lightgbm_regressor(write: Writer, model: Any, x: str) -> str:
    raw, objective = _lightgbm_raw(write, model, x)
    return _lightgbm_output(write, objective, raw)


def _lightgbm_classifier(write: Writer, model: Any, x: str) -> Scores:
    if callable(model.objective):
        raise NotCompilable("LGBMClassifier with an objective of its own, which has no probabilities")
    raw, objective = _lightgbm_raw(write, model, x)
    chances = _lightgbm_output(write, objective, raw)
    if len(model.classes_) == 2:
        chances = write.two_classes(chances)
    decides = hasattr(model, "decision_function")
    return Scores(write.best(chances), chances, raw if decides else None)


def _lightgbm_raw(write: Writer, model: Any, x: str) -> tuple[str, list[str]]:
    """The sum of the trees, (n, targets), and the words that say the objective."""
    changed = [name for name in model.get_params() if "predict" in name or name == "pred_early_stop"]
    if changed:
        raise NotCompilable(f"LightGBM with the parameter {changed[0]}")
    text = model.booster_.model_to_string().partition("end of trees")[0].strip()
    head, *trees = map(_lightgbm_fields, re.split("\n{2,}", text))
    targets = int(head["num_tree_per_iteration"])
    raw = _lightgbm_sum(write, trees, targets, int(head["max_feature_idx"]) + 1, x)
    if "average_output" in head:
        raw = write.node("Div", raw, float(len(trees) // targets))
    return raw, head.get("objective", "regression").split()


def _lightgbm_fields(text: str) -> dict[str, str]:
    lines = (line.partition("=") for line in text.split("\n"))
    return {name: value for name, _, value in lines}


def _lightgbm_output(write: Writer, objective: list[str], raw: str) -> str:
    kind, *options = objective
    sigmoid = next((float(one.partition(":")[2]) for one in options if one.startswith("sigmoid:")), 1.0)
    if kind in ("poisson", "gamma", "tweedie"):
        return write.node("Exp", raw)
    if kind in ("binary", "multiclassova", "cross_entropy"):
        return write.chances(write.node("Mul", raw, sigmoid))
    if kind == "multiclass":
        return write.node("Softmax", raw, axis=1)
    if kind == "cross_entropy_lambda":
        return write.node("Log", write.node("Add", write.node("Exp", raw), 1.0))
    if kind not in _LIGHTGBM_IDENTITY:
        raise NotCompilable(f"LightGBM with the objective {kind}")
    return write.node("Mul", raw, write.node("Abs", raw)) if "sqrt" in options else raw


def _lightgbm_sum(write: Writer, trees: list[dict[str, str]], targets: int, width: int, x: str) -> str:
    made = [_lightgbm_tree(fields, width) for fields in trees]
    if any((tree.feature >= width).any() for tree in made):
        # The same columns once more, for splits that take a zero for missing.
        zero = write.node("LessOrEqual", write.node("Abs", x), _ZERO)
        x = write.side_by_side([x, write.node("Where", zero, np.nan, x)])
        width *= 2
    x, made = split_by_category(write, x, width, made, above=-1.0)
    placed = [(tree, 0, place % targets) for place, tree in enumerate(made)]
    return write.trees(x, placed, targets, single=False)


def _lightgbm_tree(fields: dict[str, str], width: int) -> Tree:
    """`width`: of the input; a split that takes a zero for missing reads the columns behind it."""
    if fields["is_linear"] != "0":
        raise NotCompilable("LightGBM with linear trees")
    inner, leaves = int(fields["num_leaves"]) - 1, int(fields["num_leaves"])
    values = _numbers(fields["leaf_value"])
    if not inner:
        return lone_leaf(values[0])
    features, kinds = _whole(fields["split_feature"]), _whole(fields["decision_type"])
    thresholds = _numbers(fields["threshold"])
    categorical, to_left, missing = kinds & 1 > 0, kinds & 2 > 0, kinds >> 2 & 3
    # Without a place for missing values, NaN is zero.
    to_left = np.where(missing == _NONE, thresholds >= 0, to_left) & ~categorical
    # Numbers that are almost zero are zero.
    near = ~categorical & (np.abs(thresholds) <= _ZERO)
    thresholds[near] = np.where(thresholds[near] < 0, np.nextafter(-_ZERO, -1.0), _ZERO)
    children = [_whole(fields[side]) for side in ("left_child", "right_child")]
    none = np.zeros(leaves, dtype=int)
    left, right = (np.concatenate([np.where(side < 0, inner + ~side, side), none]) for side in children)
    return Tree(
        left,
        right,
        np.concatenate([np.where((missing == _AT_ZERO) & ~categorical, features + width, features), none]),
        np.concatenate([thresholds, none]),
        np.concatenate([to_left, none]),
        np.arange(inner + leaves) >= inner,
        np.concatenate([np.zeros(inner), values])[:, None],
        _lightgbm_sets(fields, np.flatnonzero(categorical).tolist(), thresholds),
    )


def _lightgbm_sets(fields: dict[str, str], nodes: list[int], thresholds: Any) -> dict[int, Codes]:
    if not nodes:
        return {}
    bounds, words = _whole(fields["cat_boundaries"]), _whole(fields["cat_threshold"])
    sets = {}
    for node in nodes:
        start, end = bounds[int(thresholds[node])], bounds[int(thresholds[node]) + 1]
        sets[node] = Codes(members(words[start:end]), go_left=True)
    return sets


def _numbers(text: str) -> Any:
    return np.array(text.split(), dtype=float)


def _whole(text: str) -> Any:
    return np.array(text.split(), dtype=np.int64)


# --- CatBoost: single precision for the input, double for sums; x > border goes right.


def _catboost_regressor(write: Writer, model: Any, x: str) -> str:
    written = _catboost_model(model)
    loss = _catboost_loss(written)
    if loss == "RMSEWithUncertainty":
        raise NotCompilable(f"CatBoost with the loss {loss}")
    raw = _catboost_raw(write, written, x)
    return write.node("Exp", raw) if loss in ("Poisson", "Tweedie") else raw


def _catboost_classifier(write: Writer, model: Any, x: str) -> Scores:
    written = _catboost_model(model)
    loss = _catboost_loss(written)
    raw = _catboost_raw(write, written, x)
    if loss in ("Logloss", "CrossEntropy"):
        threshold = model.get_probability_threshold()
        border = np.log(threshold / (1 - threshold))
        return Scores(write.positive(write.node("Sub", raw, border)), write.two_classes(write.chances(raw)))
    if loss == "MultiClass":
        return Scores(write.best(raw), write.node("Softmax", raw, axis=1))
    if loss == "MultiClassOneVsAll":
        return Scores(write.best(raw), write.chances(raw))
    raise NotCompilable(f"CatBoostClassifier with the loss {loss}")


def _catboost_model(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        written: dict[str, Any] = json.loads(path.read_bytes())
    others = set(written["features_info"]) - {"float_features"}
    if others:
        raise NotCompilable(f"CatBoost with {', '.join(sorted(others)).replace('_', ' ')}")
    return written


def _catboost_loss(written: dict[str, Any]) -> str:
    return str(written["model_info"]["params"]["loss_function"]["type"])


def _catboost_raw(write: Writer, written: dict[str, Any], x: str) -> str:
    features = written["features_info"]["float_features"]
    scale, biases = written["scale_and_bias"]
    columns = np.array([feature["flat_feature_index"] for feature in features])
    missing_left = np.array([feature["nan_value_treatment"] != "AsTrue" for feature in features])
    if "oblivious_trees" in written:
        trees = [_catboost_oblivious(tree, len(biases)) for tree in written["oblivious_trees"]]
    else:
        trees = [_catboost_tree(tree) for tree in written["trees"]]
    trees = [
        replace(tree, feature=columns[tree.feature], missing_left=missing_left[tree.feature])
        for tree in trees
    ]
    total = tree_sum(write, x, trees)
    return write.node("Add", write.node("Mul", total, float(scale)), np.array([biases], dtype=float))


def _catboost_oblivious(tree: dict[str, Any], targets: int) -> Tree:
    """All nodes of a level have the same split, and the level's bit says which leaf it comes to."""
    splits = tree["splits"] or []
    values = np.array(tree["leaf_values"], dtype=float).reshape(-1, targets)
    depth, inner = len(splits), 2 ** len(splits) - 1
    place = np.arange(2 * inner + 1)
    levels = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    path = np.arange(2**depth)
    leaves = sum((path >> (depth - 1 - level) & 1) << level for level in range(depth))
    blank = np.zeros(2**depth, dtype=int)
    return Tree(
        2 * place + 1,
        2 * place + 2,
        np.concatenate([np.array([_catboost_feature(split) for split in splits], dtype=int)[levels], blank]),
        np.concatenate([np.array([split["border"] for split in splits])[levels], blank]),
        place,
        place >= inner,
        np.concatenate([np.zeros((inner, targets)), values[leaves].reshape(-1, targets)]),
    )


def _catboost_feature(split: dict[str, Any]) -> int:
    if split["split_type"] != "FloatFeature":
        raise NotCompilable(f"CatBoost with a split of the type {split['split_type']}")
    return int(split["float_feature_index"])


def _catboost_tree(tree: dict[str, Any]) -> Tree:
    nodes, children = [tree], []
    for node in nodes:  # which grows meanwhile
        children.append(len(nodes))
        if "split" in node:
            nodes += [node["left"], node["right"]]
    left = np.array(children)
    splits = [node.get("split") for node in nodes]
    values = [np.atleast_1d(node.get("value", 0.0)) for node in nodes]
    targets = max(map(len, values))
    return Tree(
        left,
        left + 1,
        np.array([_catboost_feature(split) if split else 0 for split in splits]),
        np.array([split["border"] if split else 0.0 for split in splits]),
        left,
        np.array([split is None for split in splits]),
        np.array([np.broadcast_to(value, targets) for value in values]),
    )


REGRESSORS: dict[str, Regressor] = {
    **dict.fromkeys(
        [f"xgboost.sklearn.{name}" for name in ("XGBRegressor", "XGBRFRegressor", "XGBRanker")],
        _xgboost_regressor,
    ),
    **dict.fromkeys(
        [f"lightgbm.sklearn.{name}" for name in ("LGBMRegressor", "LGBMRanker")], _lightgbm_regressor
    ),
    **dict.fromkeys(
        [f"catboost.core.{name}" for name in ("CatBoostRegressor", "CatBoostRanker")], _catboost_regressor
    ),
}
CLASSIFIERS: dict[str, Classifier] = {
    **dict.fromkeys(
        [f"xgboost.sklearn.{name}" for name in ("XGBClassifier", "XGBRFClassifier")], _xgboost_classifier
    ),
    "lightgbm.sklearn.LGBMClassifier": _lightgbm_classifier,
    "catboost.core.CatBoostClassifier": _catboost_classifier,
}
TRANSFORMERS: dict[type, Transformer] = {ZerosMissing: _zeros_missing}
