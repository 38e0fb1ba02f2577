from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from skdeploy.passport.walk import readers_of
from skdeploy.schema import is_null

FRAME = pd.DataFrame(
    {"a": ["x", "y", "x"], "b": ["u", None, "v"], "t": ["one two", "two", "three"], "n": [1.0, 2.0, 3.0]}
)
NAMES = list(FRAME.columns)


def learned(estimator: object) -> dict[str, list[object] | None]:
    return {name: reader.learned(name) for name, reader in readers_of(estimator, NAMES).items()}


def test_columns_are_found_however_they_are_selected() -> None:
    """By name, position, slice, mask and selector; imputers in between do not hide them."""
    for columns in (["a"], [0], slice(0, 1), slice("a", "a"), np.array([True, False, False, False])):
        transformer = ColumnTransformer([("c", OneHotEncoder(), columns)]).fit(FRAME)
        assert learned(transformer) == {"a": ["x", "y"]}
    selector = make_column_selector(pattern="^a$")
    assert learned(ColumnTransformer([("c", OneHotEncoder(), selector)]).fit(FRAME)) == {"a": ["x", "y"]}


def test_an_imputer_keeps_columns_in_place() -> None:
    """Behind an imputer an encoder still reads the same columns; behind PCA nothing does."""
    imputed = make_pipeline(SimpleImputer(strategy="most_frequent"), OrdinalEncoder())
    transformer = ColumnTransformer([("c", imputed, ["a"])]).fit(FRAME)
    assert learned(transformer) == {"a": ["x", "y"]}
    mixed = make_pipeline(StandardScaler(), PCA(1), OrdinalEncoder())
    assert learned(ColumnTransformer([("c", mixed, ["n"])]).fit(FRAME)) == {}


def test_text_vectorizers_read_columns_without_categories() -> None:
    """A vectorizer is a reader, and its column's values are no categories."""
    transformer = ColumnTransformer([("t", TfidfVectorizer(), "t")]).fit(FRAME)
    reader = readers_of(transformer, NAMES)["t"]
    assert reader.is_vectorizer
    assert reader.learned("t") is None


def test_unions_and_from_dtype_are_walked() -> None:
    """Feature unions, and the encoder inside HistGradientBoosting, are looked into."""
    union = FeatureUnion([("c", ColumnTransformer([("c", OneHotEncoder(), ["a"])]))]).fit(FRAME)
    assert learned(union) == {"a": ["x", "y"]}
    frame = pd.DataFrame({"k": pd.Categorical(["p", "q"] * 20), "n": np.arange(40.0)})
    trees = HistGradientBoostingClassifier(max_iter=1).fit(frame, [0, 1] * 20)
    assert readers_of(trees, ["k", "n"])["k"].learned("k") == ["p", "q"]


def test_every_kind_of_null_is_null() -> None:
    """None, NaN, NA and NaT; nothing else."""
    assert all(map(is_null, [None, float("nan"), np.nan, pd.NA, pd.NaT]))
    assert not any(map(is_null, [0, "", False, "nan"]))
