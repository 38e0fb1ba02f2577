"""Files that skdeploy.save did not write: served as what they are, or refused with the remedy."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401 - it makes the next import possible
from sklearn.feature_extraction import DictVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    LabelEncoder,
    MinMaxScaler,
    OneHotEncoder,
    StandardScaler,
)

import skdeploy
from skdeploy.errors import SaveError, UnreadableModel
from tests.web.ways import client_of

RIDES: list[Any] = [
    {"PU_DO": f"{start}_{end}", "trip_distance": start + end / 2} for start in range(9) for end in range(9)
]
MINUTES = np.array([ride["trip_distance"] * 3 + 1 for ride in RIDES])
LATE = (MINUTES > 20).astype(int)
FRAME = pd.DataFrame(
    {
        "a": np.linspace(0, 1, 60),
        "b": np.linspace(5, 2, 60) ** 2,
        "text": ["x", "y"] * 30,
        "flag": [True, False, False] * 20,
        "day": pd.date_range("2024-01-01", periods=60),
    }
)
NUMBERS = FRAME[["a", "b"]]


def dumped(held: Any, folder: Path) -> Path:
    """The file that a plain joblib.dump makes."""
    joblib.dump(held, folder / "lin_reg.bin")
    return folder / "lin_reg.bin"


def predicted(path: Path, records: Any) -> list[Any]:
    """The service's answers with the model in the file."""
    answer: Any = client_of(skdeploy.load(path)).post("/predict", json=records)
    assert answer.status_code == 200, answer.text
    predictions: list[Any] = answer.json["predictions"]
    return predictions


@pytest.fixture(scope="module")
def course() -> tuple[DictVectorizer, LinearRegression]:
    """A vectorizer and a model that was fitted on what it makes."""
    vectorizer = DictVectorizer()
    return vectorizer, LinearRegression().fit(vectorizer.fit_transform(RIDES), MINUTES)


@pytest.mark.parametrize(
    "hold",
    [
        lambda dv, model: (dv, model),
        lambda dv, model: [model, dv],
        lambda dv, model: {"dv": dv, "model": model},
        lambda dv, model: {"model": model, "author": "me", "columns": ["PU_DO"], "vectorizer": dv},
    ],
    ids=["tuple", "list", "dict", "with texts"],
)
def test_a_vectorizer_and_a_model_are_a_pipeline(
    hold: Callable[..., Any], course: tuple[DictVectorizer, LinearRegression], tmp_path: Path
) -> None:
    """As a course pickles them, in whatever order; what is served is said, and save takes them too."""
    held = hold(*course)
    path = dumped(held, tmp_path)
    expected = course[1].predict(course[0].transform(RIDES[:5]))
    assert predicted(path, RIDES[:5]) == pytest.approx(expected)
    assert "one pipeline: DictVectorizer, LinearRegression" in " ".join(skdeploy.load(path).notes)
    skdeploy.save(held, RIDES, MINUTES, path)
    assert type(joblib.load(path)) is Pipeline
    assert predicted(path, RIDES[:5]) == pytest.approx(expected)


def test_parts_are_put_into_the_only_possible_order(tmp_path: Path) -> None:
    """Numbers of columns and their names tell which of the transformers comes first."""
    scaler, components = StandardScaler(), PCA(1)
    model = LinearRegression().fit(components.fit_transform(scaler.fit_transform(NUMBERS)), FRAME["a"])
    path = dumped({"model": model, "pca": components, "scaler": scaler}, tmp_path)
    expected = model.predict(components.transform(scaler.transform(NUMBERS)))
    assert predicted(path, NUMBERS.to_dict("records")) == pytest.approx(expected)


def test_a_scaler_of_one_column_may_be_the_targets(tmp_path: Path) -> None:
    """Beside a model of one column nothing tells which of the two it scales."""
    scaler = StandardScaler().fit(FRAME[["a"]].to_numpy())
    held = (LinearRegression().fit(NUMBERS.to_numpy()[:, :1], FRAME["a"]), scaler)
    with pytest.raises(UnreadableModel, match="may be for targets"):
        skdeploy.load(dumped(held, tmp_path))


def _postcodes(frame: pd.DataFrame) -> pd.DataFrame:
    return (frame // 100).astype(str)


def _joined(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(zip=(frame["zip"] + 0).astype(str) + "_" + (frame["month"] + 0).astype(str))


@pytest.mark.parametrize("whole_frame", [False, True])
def test_whole_numbers_that_become_texts_after_arithmetic_are_refused(
    whole_frame: bool, tmp_path: Path
) -> None:
    """Of a float column the encoder would see "100.0" in place of "100"."""
    random = np.random.default_rng(0)
    X = pd.DataFrame({"zip": random.integers(10000, 12000, 300), "month": random.integers(1, 13, 300)})
    encoder = OneHotEncoder(handle_unknown="ignore")
    if whole_frame:
        steps = [FunctionTransformer(_joined), ColumnTransformer([("zip", encoder, ["zip"])])]
    else:
        inner = make_pipeline(FunctionTransformer(_postcodes), encoder)
        steps = [ColumnTransformer([("zip", inner, ["zip"])], remainder="passthrough")]
    pipeline = make_pipeline(*steps, Ridge()).fit(X, X["zip"] // 100)
    with pytest.raises(UnreadableModel, match=r"another thing for 1 than for 1\.0.*zip"):
        skdeploy.load(dumped(pipeline, tmp_path))


def test_single_precision_before_an_encoder_stays_single(tmp_path: Path) -> None:
    """0.7 is the number that the encoder learned, and not one beside it."""
    X = pd.DataFrame({"f": np.array([0.1, 0.2, 0.7] * 40, dtype="float32"), "a": np.arange(120.0)})
    parts = ColumnTransformer([("f", OneHotEncoder(handle_unknown="ignore"), ["f"])], remainder="passthrough")
    pipeline = make_pipeline(parts, Ridge()).fit(X, (X["f"] > 0.5) * 3 + X["a"])
    records = [{"f": f, "a": 1.5} for f in (0.1, 0.2, 0.7)]
    expected = pipeline.predict(pd.DataFrame(records).astype({"f": "float32"}))
    assert predicted(dumped(pipeline, tmp_path), records) == pytest.approx(expected)


def _scaled() -> tuple[Any, Any]:
    scaler = StandardScaler().fit(NUMBERS)
    return scaler, LinearRegression().fit(scaler.transform(NUMBERS), FRAME["a"])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"threshold": 0.3}, "'threshold' is a float"),
        ({"labels": LabelEncoder().fit(["no", "yes"])}, "LabelEncoder, which is or may be for targets"),
        ({"second": LinearRegression().fit(NUMBERS, FRAME["a"])}, "2 do: LinearRegression, LinearRegression"),
        ({"y": StandardScaler().fit(NUMBERS[["a"]])}, "StandardScaler, which is or may be for targets"),
        ({"y": SimpleImputer().fit(NUMBERS.to_numpy()[:, :1])}, "may be for targets"),
        ({"wide": SimpleImputer().fit(np.ones((3, 7)))}, "as many columns"),
        ({"also": MinMaxScaler().fit(NUMBERS)}, "in several orders"),
        ({"classes": ["no", "yes"]}, "'classes', which may change what is answered"),
        ({"metric": np.mean}, "'metric' is a _Array"),
    ],
)
def test_parts_that_may_change_the_prediction_are_refused(
    more: dict[str, Any], says: str, tmp_path: Path
) -> None:
    """Whatever nobody says the use of: a prediction without it might be a wrong one."""
    held = {"scaler": _scaled()[0], "model": _scaled()[1], **more}
    with pytest.raises(UnreadableModel, match=f"{says}.*make_pipeline"):
        skdeploy.load(dumped(held, tmp_path))
    with pytest.raises(SaveError, match=f"{says}.*make_pipeline"):
        skdeploy.save(held, NUMBERS, None, tmp_path / "model.bin")


def _of(model: Any) -> Any:
    return make_pipeline(DictVectorizer(), model)


ALPHAS = {"ridge__alpha": [0.1, 1.0]}


@pytest.mark.parametrize(
    ("wrapper", "targets"),
    [
        (GridSearchCV(_of(Ridge()), ALPHAS, cv=2), MINUTES),
        (HalvingGridSearchCV(_of(Ridge()), ALPHAS, cv=2), MINUTES),
        (RandomizedSearchCV(_of(Ridge()), ALPHAS, n_iter=2, cv=2), MINUTES),
        (TransformedTargetRegressor(_of(Ridge()), func=np.log1p, inverse_func=np.expm1), MINUTES),
        (OneVsRestClassifier(_of(LogisticRegression())), np.arange(81) % 3),
        (CalibratedClassifierCV(_of(LogisticRegression()), cv=2), LATE),
        (TunedThresholdClassifierCV(_of(LogisticRegression()), cv=2), LATE),
        (GridSearchCV(TransformedTargetRegressor(_of(Ridge())), {"regressor__ridge__alpha": [1]}), MINUTES),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stands_around_a_pipeline_hides_no_vectorizer(
    wrapper: Any, targets: Any, tmp_path: Path
) -> None:
    """A search, or another estimator around the pipeline, is served as the pipeline alone is."""
    fitted = clone(wrapper).fit(RIDES, targets)
    got = predicted(dumped(fitted, tmp_path), RIDES[::9])
    assert np.array_equal(got, fitted.predict(RIDES[::9])) or got == pytest.approx(fitted.predict(RIDES[::9]))


def _dropping() -> Any:
    kept = ColumnTransformer([("n", StandardScaler(), ["a", "b"])])
    return make_pipeline(kept, Ridge()).fit(FRAME, FRAME["a"])


def _in_words(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.map("{} months".format)


def _as_texts() -> Any:
    encode = make_pipeline(FunctionTransformer(_in_words), OneHotEncoder(handle_unknown="ignore"))
    parts = ColumnTransformer([("m", encode, ["month"])], remainder="passthrough")
    months = pd.DataFrame({"month": np.arange(60) % 12, "n": FRAME["a"]})
    return make_pipeline(parts, Ridge()).fit(months, FRAME["a"])


def _month(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({name: pd.to_datetime(frame[name]).dt.month for name in frame})


def _as_dates() -> Any:
    days = pd.DataFrame({"day": pd.date_range("2020-01-01", periods=60).astype(str), "n": FRAME["a"]})
    parts = ColumnTransformer([("d", FunctionTransformer(_month), ["day"])], remainder="passthrough")
    return make_pipeline(parts, Ridge()).fit(days, FRAME["a"])


def _unused() -> Any:
    parts = ColumnTransformer(
        [("o", OneHotEncoder(), ["text"]), ("d", "drop", ["day"]), ("n", "passthrough", ["a"])]
    )
    return make_pipeline(parts, Ridge()).fit(FRAME[["text", "day", "a"]], FRAME["a"])


@pytest.mark.parametrize(
    ("make", "columns"),
    [(_dropping, "text, flag, day"), (_as_texts, "month"), (_as_dates, "day"), (_unused, "day")],
)
def test_columns_of_no_known_type_are_refused_at_the_start(
    make: Callable[[], Any], columns: str, tmp_path: Path
) -> None:
    """Taken for numbers they would be refused in every request, or taken for other texts."""
    with pytest.raises(UnreadableModel, match=rf"any of these: {columns}\. Save it with skdeploy\.save\("):
        skdeploy.load(dumped(make(), tmp_path))


def test_numbers_of_a_bare_pickle_are_still_served(tmp_path: Path) -> None:
    """A column that the pipeline calculates with is a number; a boolean is sent as 1 or 0."""
    parts = ColumnTransformer([("n", StandardScaler(), ["a"]), ("p", "passthrough", ["flag"])])
    pipeline = make_pipeline(parts, Ridge()).fit(FRAME[["a", "flag"]], FRAME["b"])
    path = dumped(pipeline, tmp_path)
    records = FRAME[["a", "flag"]].astype(float).to_dict("records")
    assert predicted(path, records) == pytest.approx(pipeline.predict(FRAME[["a", "flag"]]))
    assert "1 and 0 are true and false" in " ".join(skdeploy.load(path).notes)


@pytest.mark.parametrize(
    "global_of_old",
    [
        b"csklearn.ensemble._gb_losses\nLeastSquaresError\n",
        b"c_loss\nCyHalfSquaredError\n",
        b"csklearn.base\nGone\n",
    ],
    ids=["module", "inner module", "class"],
)
def test_a_file_of_another_scikit_learn_names_both_versions(global_of_old: bytes, tmp_path: Path) -> None:
    """And the two ways out: with its own version, or trained again. No other package is blamed."""
    old = pickle.dumps(LinearRegression().fit([[1.0], [2.0]], [1, 2]), protocol=4)
    old = old.replace(sklearn.__version__.encode(), b"1.2.2"[: len(sklearn.__version__)])
    (tmp_path / "old.bin").write_bytes(old[:-1] + global_of_old + b"\x86.")
    with pytest.raises(UnreadableModel) as caught:
        skdeploy.load(tmp_path / "old.bin")
    message = str(caught.value)
    assert f"scikit-learn 1.2.2 there, {sklearn.__version__} here" in message
    assert "pip install 'scikit-learn==1.2.2'" in message
    assert "train it again" in message
    assert not re.search("copy it into|move it to a module", message)


def test_a_module_that_is_missing_is_named(tmp_path: Path) -> None:
    """lz4, cloudpickle and the like are installed by their names; others may be files of the user's."""
    (tmp_path / "model.bin").write_bytes(b"cno_such_module\nScaler\n.")
    with pytest.raises(
        UnreadableModel, match=r"'no_such_module', which is not here. .*code=.*current folder"
    ):
        skdeploy.load(tmp_path / "model.bin")
