"""Columns of a pipeline without a passport, whose functions change them before an encoder reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, TargetEncoder

import skdeploy
from skdeploy.errors import UnreadableModel
from skdeploy.schema import RecordReader

_random = np.random.default_rng(0)
X = pd.DataFrame(
    {
        "month": _random.integers(1, 13, 200),
        "half": _random.integers(1, 4, 200) / 2,
        "open": _random.random(200) > 0.5,
        "kind": _random.choice(["01", "02", "oak"], 200),
        "n": _random.normal(size=200),
    }
)
TARGET = X["month"] * 10.0 + X["half"]


def as_text(encoder: Any) -> Any:
    return make_pipeline(FunctionTransformer(pd.DataFrame.astype, kw_args={"dtype": str}), encoder)


def pipeline(part: Any, columns: list[str]) -> Any:
    made = make_pipeline(make_column_transformer((part, columns), remainder="passthrough"), Ridge())
    return made.fit(X[[*columns, "n"]], TARGET)


@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(handle_unknown="ignore"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
        TargetEncoder(),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_numbers_that_a_function_makes_texts_of(encoder: Any, tmp_path: Path) -> None:
    """The encoder learned "1" and "0.5" and "True": 1.0 would be the text "1.0", which it does not know."""
    columns = ["month", "half", "open", "kind"]
    fitted = pipeline(as_text(encoder), columns)
    joblib.dump(fitted, tmp_path / "m.pkl")
    model = skdeploy.load(tmp_path / "m.pkl")
    assert [column.type for column in model.schema.columns] == ["int", "float", "bool", "str", "float"]
    assert model.schema.columns[0].categories == sorted(range(1, 13), key=str)
    read = RecordReader(model.schema).read(X.astype(object).to_dict("records"))
    assert not read.bad
    assert np.ravel(model.engine.predict(read.table)) == pytest.approx(fitted.predict(X))


class Coded(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Makes texts of numbers, and columns of the texts, in a step that nobody can look into."""

    def fit(self, frame: pd.DataFrame, _: Any = None) -> Coded:
        self.known_ = sorted(set(self._texts(frame)))
        return self

    def transform(self, frame: pd.DataFrame) -> Any:
        return np.array([[text == known for known in self.known_] for text in self._texts(frame)], float)

    @staticmethod
    def _texts(frame: pd.DataFrame) -> list[str]:
        return [str(-value) for value in frame.iloc[:, 0]]


def test_one_and_one_point_nothing_are_told_apart(tmp_path: Path) -> None:
    """Where no encoder explains a column, but predictions depend on its type, nothing is guessed."""
    joblib.dump(pipeline(Coded(), ["month"]), tmp_path / "m.pkl")
    with pytest.raises(UnreadableModel, match=r"for 1 than for 1\.0 in these columns.*: month\. "):
        skdeploy.load(tmp_path / "m.pkl")


def test_functions_of_numbers_need_no_type(tmp_path: Path) -> None:
    """A function that makes numbers of numbers leaves nothing to explain."""
    fitted = make_pipeline(FunctionTransformer(np.abs), Ridge()).fit(X[["month", "n"]], TARGET)
    joblib.dump(fitted, tmp_path / "m.pkl")
    assert [column.type for column in skdeploy.load(tmp_path / "m.pkl").schema.columns] == ["float", "float"]
