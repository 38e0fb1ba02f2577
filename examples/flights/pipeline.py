"""The unfitted pipeline, made of plain scikit-learn parts.

Nothing defined in this repository goes into it, so that its pickle loads wherever scikit-learn is.
Its parts are also ones that skl2onnx converts, which rules out SplineTransformer, FunctionTransformer
and the trees' own handling of categories.
"""

from __future__ import annotations

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder

from examples.flights.data import WEATHER


def build_pipeline(seed: int) -> Pipeline:
    """Columns of a flight -> minutes in the air. Nulls are learned from, in the weather.

    The settings were chosen by leaving out two months of January to October at a time;
    November and December had no say.
    """
    return Pipeline([("columns", _columns()), ("trees", _trees(seed))])


def _columns() -> ColumnTransformer:
    # Ordinal codes for the trees to cut up; a category never seen in training gets a code of its own.
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer(
        [
            ("codes", codes, ["origin", "dest", "carrier"]),
            ("season", _season(), ["month"]),
            ("numbers", "passthrough", ["weekday", "hour", "distance", *WEATHER]),
        ]
    )


def _season() -> Pipeline:
    """Month -> 1 for January to 7 for July, and back: December counts as February.

    Trees do not extrapolate: as a plain number, November and December would be taken for October.
    The winds aloft, which make the air time, follow the season. SimpleImputer is the part of
    scikit-learn that replaces a number by another and that skl2onnx converts, if given a float.
    """
    return Pipeline(
        [
            (
                f"month_{month}",
                SimpleImputer(missing_values=float(month), strategy="constant", fill_value=14 - month),
            )
            for month in (12, 11, 10, 9, 8)
        ]
    )


def _trees(seed: int) -> HistGradientBoostingRegressor:
    return HistGradientBoostingRegressor(
        max_iter=200,
        # About 20 flights share an hour's weather: large leaves keep trees from learning single hours.
        min_samples_leaf=200,
        l2_regularization=100,
        max_features=0.5,
        early_stopping=False,
        random_state=seed,
    )
