"""Fitted pipelines as their owners have them. Each function returns (pipeline, X, y), small and seeded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingRegressor,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeRegressor

from tests.own_transformers import RatioToMedian, calendar, text_length

Fitted = tuple[Any, Any, Any]
PIPELINES: list[Callable[[], Fitted]] = []

N = 120
_CITIES = ["Amsterdam", "Berlin", "Kraków", "São Paulo"]


def foreign(make: Callable[[], Fitted]) -> Callable[[], Fitted]:
    """Enlist a pipeline for tests/test_foreign_pipelines.py."""
    PIPELINES.append(make)
    return make


def _rng() -> np.random.Generator:
    return np.random.default_rng(7)


def _number(low: float = 0.0, high: float = 100.0, nulls: int = 0) -> Any:
    """N numbers; of every `nulls` one is missing."""
    values = np.random.default_rng(int(high) + nulls).uniform(low, high, N)
    if nulls:
        values[3::nulls] = np.nan
    return values


def _choice(options: list[Any], seed: int = 1) -> list[Any]:
    return [options[i] for i in np.random.default_rng(seed).integers(0, len(options), N)]


def _holes(values: list[Any], null: Any, every: int = 9) -> list[Any]:
    return [null if i % every == 2 else value for i, value in enumerate(values)]


def _target(*columns: Any) -> Any:
    """A number that depends on the columns, nulls counting 0."""
    total = _rng().normal(0, 1, N)
    for factor, column in enumerate(columns, 1):
        series = pd.Series(column)
        codes = series if pd.api.types.is_numeric_dtype(series) else pd.Series(pd.factorize(series)[0])
        total = total + factor * codes.astype(float).fillna(0).to_numpy()
    return total


def _labels(target: Any, names: list[Any]) -> Any:
    cuts = np.quantile(target, np.linspace(0, 1, len(names) + 1)[1:-1])
    return np.array(names)[np.digitize(target, cuts)]


@foreign
def mixed_regression() -> Fitted:
    X = pd.DataFrame({"area": _number(nulls=7), "rooms": _choice([1, 2, 3, 4]), "city": _choice(_CITIES)})
    y = _target(X["area"], X["rooms"], X["city"])
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    parts = ColumnTransformer(
        [("n", numeric, ["area", "rooms"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    )
    return make_pipeline(parts, Ridge()).fit(X, y), X, y


@foreign
def one_hot_refuses_with_string_labels() -> Fitted:
    X = pd.DataFrame({"age": _number(18, 90), "plan": _choice(["basic", "pro", "team"])})
    y = _labels(_target(X["age"]), ["churns", "stays"])
    parts = ColumnTransformer([("c", OneHotEncoder(), ["plan"]), ("n", StandardScaler(), ["age"])])
    return make_pipeline(parts, LogisticRegression()).fit(X, y), X, y


@foreign
def one_hot_nan_is_a_category() -> Fitted:
    X = pd.DataFrame({"colour": _holes(_choice(["red", "green"]), np.nan), "size": _number()})
    y = _target(X["colour"], X["size"])
    parts = ColumnTransformer([("c", OneHotEncoder(), ["colour"])], remainder="passthrough")
    return make_pipeline(parts, LinearRegression()).fit(X, y), X, y


@foreign
def one_hot_none_is_a_category() -> Fitted:
    colour = pd.Series(_holes(_choice(["red", "green"]), None), dtype=object)
    X = pd.DataFrame({"colour": colour, "size": _number()})
    y = _target(X["colour"], X["size"])
    encoder = OneHotEncoder(handle_unknown="ignore")
    parts = ColumnTransformer([("c", encoder, ["colour"])], remainder="passthrough")
    return make_pipeline(parts, LinearRegression()).fit(X, y), X, y


@foreign
def one_hot_of_integers_and_booleans() -> Fitted:
    X = pd.DataFrame({"month": _choice(list(range(1, 13))), "weekend": _choice([True, False], 2)})
    y = _target(X["month"], X["weekend"])
    return make_pipeline(OneHotEncoder(), Ridge()).fit(X, y), X, y


@foreign
def one_hot_saw_only_true() -> Fitted:
    X = pd.DataFrame({"area": _number(), "licensed": [True] * N})
    y = _target(X["area"])
    parts = ColumnTransformer([("c", OneHotEncoder(), ["licensed"])], remainder="passthrough")
    return make_pipeline(parts, Ridge()).fit(X, y), X, y


@foreign
def one_hot_infrequent() -> Fitted:
    X = pd.DataFrame({"city": _choice([*_CITIES, *_CITIES, "Ulm"])})
    y = _target(X["city"])
    encoder = OneHotEncoder(min_frequency=15, handle_unknown="infrequent_if_exist")
    return make_pipeline(encoder, Ridge()).fit(X, y), X, y


@foreign
def ordinal_with_given_order() -> Fitted:
    X = pd.DataFrame({"grade": _choice(["low", "mid", "high"]), "age": _number()})
    y = _target(X["grade"], X["age"])
    encoder = OrdinalEncoder(categories=[["low", "mid", "high"]])
    parts = ColumnTransformer([("o", encoder, ["grade"])], remainder=MinMaxScaler())
    return make_pipeline(parts, DecisionTreeRegressor(max_depth=4)).fit(X, y), X, y


@foreign
def ordinal_with_values_for_unknown_and_missing() -> Fitted:
    X = pd.DataFrame({"grade": _holes(_choice(["low", "mid", "high"]), None), "age": _number()})
    y = _target(X["grade"], X["age"])
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2)
    parts = ColumnTransformer([("o", encoder, ["grade"])], remainder="passthrough")
    return make_pipeline(parts, RandomForestRegressor(5, random_state=0)).fit(X, y), X, y


@foreign
def target_encoder() -> Fitted:
    X = pd.DataFrame({"city": _holes(_choice(_CITIES), np.nan), "area": _number()})
    y = _target(X["city"], X["area"])
    parts = ColumnTransformer([("t", TargetEncoder(cv=KFold(3)), ["city"])], remainder=StandardScaler())
    return make_pipeline(parts, Ridge()).fit(X, y), X, y


@foreign
def most_frequent_text() -> Fitted:
    city = pd.Series(_holes(_choice(_CITIES), np.nan), dtype=object)
    X = pd.DataFrame({"city": city, "area": _number(nulls=11)})
    y = _target(X["city"], X["area"])
    text = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    parts = ColumnTransformer([("t", text, ["city"]), ("n", SimpleImputer(add_indicator=True), ["area"])])
    return make_pipeline(parts, Ridge()).fit(X, y), X, y


@foreign
def knn_imputer_and_polynomials() -> Fitted:
    X = pd.DataFrame({"a": _number(nulls=5), "b": _number(0, 10, nulls=8), "c": _number(0, 1)})
    y = _target(X["a"], X["b"], X["c"])
    return make_pipeline(KNNImputer(n_neighbors=3), PolynomialFeatures(2), Ridge()).fit(X, y), X, y


@foreign
def bins_and_components_with_integer_labels() -> Fitted:
    X = pd.DataFrame({f"s{i}": _number(0, 10 + i) for i in range(5)})
    y = _labels(_target(X["s0"], X["s1"]), [1, 2, 3])
    union = FeatureUnion(
        [
            ("bins", KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf")),
            ("components", make_pipeline(StandardScaler(), PCA(2, random_state=0))),
        ]
    )
    return make_pipeline(union, LogisticRegression(max_iter=500)).fit(X, y), X, y


_WORDS = ["good", "bad", "wonderful", "dull", "Größe", "naïve", "ok", "слово"]


def _texts() -> list[str]:
    pick = _rng()
    return [" ".join(pick.choice(_WORDS, size=pick.integers(1, 7))) for _ in range(N)]


@foreign
def tfidf_on_a_column() -> Fitted:
    X = pd.DataFrame({"review": _texts(), "stars": _choice([1, 2, 3, 4, 5])})
    y = _labels(_target(X["stars"]), ["neg", "neutral", "pos"])
    parts = ColumnTransformer([("t", TfidfVectorizer(), "review"), ("n", "passthrough", ["stars"])])
    return make_pipeline(parts, LogisticRegression(max_iter=500)).fit(X, y), X, y


@foreign
def counts_on_a_series() -> Fitted:
    X = pd.Series(_texts(), name="subject")
    y = np.array(["spam" if "bad" in text else "ham" for text in X])
    return make_pipeline(CountVectorizer(), MultinomialNB()).fit(X, y), X, y


@foreign
def tfidf_on_a_list() -> Fitted:
    X = _texts()
    y = np.array([float(len(text)) for text in X])
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), Ridge()).fit(X, y), X, y


@foreign
def booleans_with_boolean_labels() -> Fitted:
    nullable = pd.array(_holes(_choice([True, False], 3), None), dtype="boolean")
    X = pd.DataFrame({"member": _choice([True, False]), "mobile": nullable, "age": _number()})
    y = _target(X["member"], X["age"]) > 60
    return HistGradientBoostingClassifier(max_iter=5).fit(X, y), X, y


@foreign
def nullable_integers() -> Fitted:
    counts = pd.array(_holes(_choice(list(range(50))), None), dtype="Int64")
    X = pd.DataFrame(
        {"count": counts, "level": pd.array(_choice([1, 2, 3], 4), dtype="UInt8"), "share": _number(0, 1)}
    )
    X["share"] = X["share"].astype("Float64")
    y = _target(counts, X["level"])
    return HistGradientBoostingRegressor(max_iter=5).fit(X, y), X, y


@foreign
def integers_with_an_imputer() -> Fitted:
    X = pd.DataFrame(
        {"visits": _choice(list(range(20))), "tiny": np.array(_choice([1, 2, 3]), dtype=np.uint8)}
    )
    y = _target(X["visits"], X["tiny"])
    return make_pipeline(SimpleImputer(), StandardScaler(), Ridge()).fit(X, y), X, y


@foreign
def integers_with_nulls() -> Fitted:
    X = pd.DataFrame({"visits": _holes(_choice(list(range(20))), None), "age": _number()})
    y = _target(X["visits"], X["age"])
    return make_pipeline(SimpleImputer(strategy="most_frequent"), Ridge()).fit(X, y), X, y


@foreign
def categories_from_dtype() -> Fitted:
    size = pd.Categorical(_holes(_choice(["S", "M", "L"]), None), ["S", "M", "L"], ordered=True)
    X = pd.DataFrame({"size": size, "shop": pd.Categorical(_choice(["a", "b", "c"], 5)), "price": _number()})
    y = _target(size.codes, X["price"])
    model = HistGradientBoostingRegressor(max_iter=8, min_samples_leaf=5, categorical_features="from_dtype")
    return model.fit(X, y), X, y


@foreign
def categories_one_hot() -> Fitted:
    X = pd.DataFrame({"shop": pd.Categorical(_choice([10, 20, 30])), "price": _number()})
    y = _target(X["price"])
    parts = ColumnTransformer([("c", OneHotEncoder(), ["shop"])], remainder="passthrough")
    return make_pipeline(parts, Ridge()).fit(X, y), X, y


@foreign
def datetimes_without_zone() -> Fitted:
    seconds = _rng().integers(0, 10**8, N)
    X = pd.DataFrame({"at": pd.Timestamp("2021-03-01") + pd.to_timedelta(seconds, "s"), "price": _number()})
    X.loc[4, "at"] = pd.NaT
    y = _target(X["at"].dt.hour, X["price"])
    parts = ColumnTransformer([("d", FunctionTransformer(calendar), ["at"])], remainder="passthrough")
    return make_pipeline(parts, HistGradientBoostingRegressor(max_iter=5)).fit(X, y), X, y


@foreign
def datetimes_with_zone() -> Fitted:
    moments = pd.date_range("2024-03-30", periods=N, freq="37min", tz="Europe/Berlin")
    X = pd.DataFrame({"at": moments})
    y = _target(X["at"].dt.hour)
    return make_pipeline(FunctionTransformer(calendar), Ridge()).fit(X, y), X, y


@foreign
def own_transformer_and_text_length() -> Fitted:
    X = pd.DataFrame({"income": _number(1, 9), "debt": _number(1, 5), "note": _texts()})
    y = _target(X["income"], X["debt"])
    parts = ColumnTransformer(
        [("own", RatioToMedian(), ["income", "debt"]), ("len", FunctionTransformer(text_length), ["note"])]
    )
    return make_pipeline(parts, Ridge()).fit(X, y), X, y


@foreign
def dict_vectorizer() -> Fitted:
    X: list[dict[str, Any]] = [
        {"city": city, "temperature": float(t), "n": n}
        for city, t, n in zip(_choice(_CITIES), _number(-10, 35), _choice([1, 2, 3]), strict=True)
    ]
    for record in X[::4]:
        del record["city"]
    for record in X[1::5]:
        del record["temperature"]
    y = _target([record.get("temperature", 0.0) for record in X])
    return make_pipeline(DictVectorizer(), Ridge()).fit(X, y), X, y


@foreign
def dict_vectorizer_with_every_key() -> Fitted:
    frame = pd.DataFrame({"origin": _choice(["JFK", "LGA"]), "distance": _number()})
    X = frame.to_dict("records")
    y = _labels(_target(frame["distance"]), ["early", "late", "on time"])
    return make_pipeline(DictVectorizer(), RandomForestClassifier(5, random_state=0)).fit(X, y), X, y


@foreign
def several_numbers() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)})
    y = pd.DataFrame({"cost (€)": _target(X["a"]), "time": _target(X["b"])})
    return make_pipeline(StandardScaler(), Ridge()).fit(X, y), X, y


@foreign
def several_labels_from_a_forest() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)})
    y = pd.DataFrame(
        {
            "kind": _labels(_target(X["a"]), ["p", "q", "r"]),
            "size": _labels(_target(X["b"]), ["big", "small"]),
        }
    )
    return RandomForestClassifier(5, random_state=0).fit(X, y), X, y


@foreign
def several_labels_of_different_types() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)})
    y = np.column_stack([_labels(_target(X["a"]), [0, 1, 2]), _labels(_target(X["b"]), [5, 7])])
    return make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression())).fit(X, y), X, y


@foreign
def bare_forest() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)})
    y = _target(X["a"], X["b"])
    return RandomForestRegressor(8, random_state=0).fit(X, y), X, y


@foreign
def array_of_doubles() -> Fitted:
    X = np.column_stack([_number(), _number(0, 10), _number(-1, 1)])
    y = _labels(_target(X[:, 0]), [0, 1])
    return make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(X, y), X, y


@foreign
def array_of_integers() -> Fitted:
    X = _rng().integers(0, 40, (N, 3))
    y = _target(X[:, 0])
    return make_pipeline(MinMaxScaler(), Ridge()).fit(X, y), X, y


@foreign
def float32_columns() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)}).astype(np.float32)
    y = _target(X["a"], X["b"]).astype(np.float32)
    return make_pipeline(StandardScaler(), HistGradientBoostingRegressor(max_iter=10)).fit(X, y), X, y


@foreign
def float32_predictions() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)}).astype(np.float32)
    y = _target(X["a"], X["b"]).astype(np.float32)
    return make_pipeline(StandardScaler(), Ridge()).fit(X, y), X, y


@foreign
def names_of_all_kinds() -> Fitted:
    names = ["sepal length (cm)", 'the "quoted" one', "it's", "größe·μ", "id", "a\\b", "class", "x:y", ""]
    X = pd.DataFrame({name: _number(0, 10 + i) for i, name in enumerate(names)})
    y = _target(X["id"], X["a\\b"])
    return make_pipeline(StandardScaler(), LinearRegression()).fit(X, y), X, y


@foreign
def clusters() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)})
    return make_pipeline(StandardScaler(), KMeans(3, n_init=2, random_state=0)).fit(X), X, None


@foreign
def outliers() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)})
    return IsolationForest(n_estimators=10, random_state=0).fit(X), X, None


@foreign
def margins_without_probabilities() -> Fitted:
    X = pd.DataFrame({"a": _number(), "b": _number(0, 10)})
    y = _labels(_target(X["a"]), ["x", "y", "z"])
    return make_pipeline(StandardScaler(), LinearSVC(random_state=0)).fit(X, y), X, y


@foreign
def grid_search() -> Fitted:
    X = pd.DataFrame({"plan": _choice(["basic", "pro"]), "age": _number()})
    y = _labels(_target(X["age"]), ["no", "yes"])
    parts = ColumnTransformer([("c", OneHotEncoder(), ["plan"])], remainder=StandardScaler())
    search = GridSearchCV(
        make_pipeline(parts, LogisticRegression()), {"logisticregression__C": [1, 10]}, cv=2
    )
    return search.fit(X, y), X, y


@foreign
def transformed_target_of_a_pipeline() -> Fitted:
    X = pd.DataFrame({"city": _choice(_CITIES), "area": _number()})
    y = np.exp(_target(X["area"]) / 50)
    parts = ColumnTransformer([("c", OneHotEncoder(), ["city"])], remainder=StandardScaler())
    model = TransformedTargetRegressor(make_pipeline(parts, Ridge()), func=np.log, inverse_func=np.exp)
    return model.fit(X, y), X, y


@foreign
def voting_of_pipelines() -> Fitted:
    X = pd.DataFrame({"city": _choice(_CITIES), "area": _number()})
    y = _target(X["city"], X["area"])
    parts = ColumnTransformer([("c", OneHotEncoder(), ["city"])], remainder="passthrough")
    voters = [
        ("a", make_pipeline(parts, Ridge())),
        ("b", make_pipeline(parts, DecisionTreeRegressor(max_depth=3))),
    ]
    return VotingRegressor(voters).fit(X, y), X, y


@foreign
def chosen_by_dtype_as_pandas() -> Fitted:
    X = pd.DataFrame({"city": _choice(_CITIES), "area": _number(), "rooms": _choice([1, 2, 3])})
    y = _target(X["city"], X["area"])
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    parts = ColumnTransformer(
        [
            ("text", encoder, make_column_selector(dtype_include=["str"])),
            ("number", StandardScaler(), make_column_selector(dtype_include="number")),
        ]
    )
    return make_pipeline(parts, Ridge()).set_output(transform="pandas").fit(X, y), X, y


@foreign
def six_hundred_columns() -> Fitted:
    values = _rng().normal(size=(N, 600))
    X = pd.DataFrame(values, columns=[f"gene {i}" for i in range(600)])
    y = _target(X["gene 0"])
    return make_pipeline(StandardScaler(), Ridge()).fit(X, y), X, y


def log_of_area() -> Fitted:
    """It fits its training data, and raises at an area of -1, whose logarithm is infinite."""
    X = pd.DataFrame({"area": _number(1, 50), "rooms": _number(1, 5)})
    y = _target(X["area"], X["rooms"])
    log = FunctionTransformer(np.log1p)
    return make_pipeline(log, DecisionTreeRegressor(max_depth=3)).fit(X, y), X, y


def infinite_far_away() -> Fitted:
    """It predicts infinity for very high prices."""
    X = pd.DataFrame({"price": _number(1, 50)})
    y = np.exp(X["price"] / 20)
    model = TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp)
    return model.fit(X, y), X, y


def nan_far_away() -> Fitted:
    """It predicts NaN for very low prices."""
    X = pd.DataFrame({"price": _number(1, 50)})
    y = np.sqrt(X["price"] + 1)
    model = TransformedTargetRegressor(LinearRegression(), func=np.square, inverse_func=np.sqrt)
    return model.fit(X, y), X, y
