"""What is encoded before the graph, beside scikit-learn's own transformers, record by record."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import VotingRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
    TargetEncoder,
)
from sklearn.tree import DecisionTreeRegressor

import skdeploy
from skdeploy.engines.compiling import NotCompilable, tables
from skdeploy.engines.compiling.front import split
from skdeploy.engines.graph import Feature, WideLookup
from skdeploy.engines.inputs import InputBuilder
from skdeploy.engines.onnx import Packer
from skdeploy.schema import Schema, Table

ROWS = 60


def fitted(transformer: Any, X: Any, path: Path, y: Any = None) -> tuple[Any, Schema]:
    """The transformer, fitted in front of a model, and the schema that `save` writes for the two."""
    y = np.arange(len(X)) % 7 / 2 if y is None else y
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(transformer, DecisionTreeRegressor(max_depth=2)).fit(X, y)
        return pipeline, skdeploy.save(pipeline, X, y, path).schema


def front_of(transformer: Any, X: Any, path: Path, y: Any = None) -> tuple[Any, Schema, list[Feature]]:
    """The fitted transformer, the schema, and the features that it became; none of it may be left."""
    pipeline, schema = fitted(transformer, X, path / "m.bin", y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rest, features = split(pipeline, schema)
    assert isinstance(rest, DecisionTreeRegressor)
    return pipeline[0], schema, features


def assert_same(transformer: Any, schema: Schema, features: list[Feature], records: list[Any]) -> None:
    """Every record is encoded as the transformer does it, alone and among others, or left where it raises."""
    table = Table([list(cells) for cells in zip(*records, strict=True)], len(records))
    packer = Packer(features)
    together, apart = packer.pack(table)
    for index in range(table.count):
        one = table.rows([index])
        alone, raised = packer.pack(one)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = transformer.transform(InputBuilder(schema).build(one))
        except Exception:
            assert raised == [0], records[index]
            assert index in apart
            continue
        expected = np.asarray(expected.toarray() if hasattr(expected, "toarray") else expected, dtype=float)
        assert not raised, records[index]
        assert index not in apart
        np.testing.assert_allclose(alone, expected, rtol=1e-12)
        np.testing.assert_array_equal(together[index], alone[0])


def texts(null: Any = None, seed: int = 0) -> pd.DataFrame:
    """Two columns with categories in common, some rare; nulls in the first."""
    chance = np.random.default_rng(seed)
    first = chance.choice(["ash", "elm", "oak", "yew"], ROWS, p=[0.5, 0.3, 0.15, 0.05]).tolist()
    second = chance.choice(["elm", "oak", "", "Größe\0"], ROWS).tolist()
    if null is not Ellipsis:
        first = [null if index % 9 == 2 else text for index, text in enumerate(first)]
    return pd.DataFrame(
        {"a b": pd.Series(first, dtype=object), 'the "other"': pd.Series(second, dtype=object)}
    )


TEXT_RECORDS = [
    *([first, second] for first in ("ash", "elm", "oak", "yew") for second in ("elm", "oak", "", "Größe\0")),
    *(
        ["unseen", "elm"],
        ["ash", "Größe"],
        ["ash\0", "oak"],
        ["", "oak"],
        ["ash", "yew"],
        ["unseen", "unseen"],
    ),
]
ENCODERS = {
    "one-hot": OneHotEncoder(),
    "one-hot, ignore": OneHotEncoder(handle_unknown="ignore"),
    "one-hot, dense": OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    "one-hot, drop first": OneHotEncoder(drop="first"),
    "one-hot, drop first, ignore": OneHotEncoder(drop="first", handle_unknown="ignore"),
    "one-hot, infrequent": OneHotEncoder(min_frequency=8, handle_unknown="infrequent_if_exist"),
    "one-hot, few": OneHotEncoder(max_categories=2, handle_unknown="infrequent_if_exist"),
    "one-hot, one infrequent": OneHotEncoder(max_categories=3),
    "ordinal": OrdinalEncoder(),
    "ordinal, unknown": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    "ordinal, both": OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-2
    ),
    "ordinal, few": OrdinalEncoder(max_categories=2, encoded_missing_value=-1),
    "target": TargetEncoder(cv=KFold(3)),
    "imputed": make_pipeline(
        SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(handle_unknown="ignore")
    ),
    "imputed twice": make_pipeline(
        SimpleImputer(missing_values="yew", strategy="constant", fill_value="oak"),
        SimpleImputer(missing_values="oak", strategy="constant", fill_value="elm"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    ),
    "side by side": FeatureUnion(
        [("one", OneHotEncoder(handle_unknown="ignore")), ("target", TargetEncoder(cv=KFold(3)))]
    ),
}


# SimpleImputer raises on NaN where that is not what it replaces.
TEXT_CASES = [
    pytest.param(name, null, id=f"{name}-{null}")
    for name in ENCODERS
    for null in (..., None, np.nan)
    if (name, null) != ("imputed twice", np.nan)
]


@pytest.mark.parametrize(("name", "null"), TEXT_CASES)
def test_texts_are_encoded_as_the_encoder_does_it(name: str, null: Any, tmp_path: Path) -> None:
    """Known, unseen, empty, with a NUL, null: as the encoder does it, or apart where it raises."""
    transformer, schema, features = front_of(ENCODERS[name], texts(null), tmp_path)
    nulls = [[None, "elm"], [None, "unseen"]] if schema.columns[0].nullable else []
    assert nulls or null is not np.nan
    assert_same(transformer, schema, features, [*TEXT_RECORDS, *nulls])


def test_the_most_frequent_text_is_filled_in(tmp_path: Path) -> None:
    """SimpleImputer's statistic stands for a null, and is a category like the others."""
    imputed = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    transformer, schema, features = front_of(imputed, texts(np.nan), tmp_path)
    assert_same(transformer, schema, features, [*TEXT_RECORDS, [None, "elm"]])
    packed, _ = Packer(features).pack(Table([[None, "ash"], ["elm", "elm"]], 2))
    assert packed[0].tolist() == packed[1].tolist()


def test_target_encoders_of_several_classes_have_a_column_for_each(tmp_path: Path) -> None:
    """Its outputs are grouped by column, then by class."""
    y = np.resize(["x", "y", "z"], ROWS)
    pipeline = make_pipeline(TargetEncoder(cv=KFold(3), target_type="multiclass"), DummyRegressor())
    X = texts(...)
    encoder = pipeline[0].fit(X, y)
    pipeline[1].fit(encoder.transform(X), np.arange(ROWS))
    schema = skdeploy.save(pipeline, X, None, tmp_path / "m.bin").schema
    _, features = split(pipeline, schema)
    assert [feature.width for feature in features] == [3, 3]
    assert_same(encoder, schema, features, TEXT_RECORDS)


def numbers(nulls: bool = False) -> pd.DataFrame:
    """Few different integers, booleans and fractions."""
    chance = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "visits": chance.integers(-1, 4, ROWS),
            "member": chance.choice([True, False], ROWS),
            "share": chance.choice([0.1, 0.25, 1e30], ROWS),
        }
    )
    if nulls:
        frame["visits"] = frame["visits"].where(frame.index % 7 != 3)
        frame["share"] = frame["share"].where(frame.index % 5 != 3)
    return frame


NUMBER_RECORDS = [
    *([visits, member, 0.1] for visits in (-1, 0, 1, 2, 3) for member in (True, False)),
    *([2, True, share] for share in (0.25, 1e30, 0.1 + 1e-17, np.nextafter(0.1, 1), -0.1)),
    *([7, True, 0.1], [-2, False, 0.25]),
]
NUMBER_TRANSFORMERS = {
    "one-hot": OneHotEncoder(),
    "one-hot, ignore": OneHotEncoder(handle_unknown="ignore"),
    "ordinal": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-5),
    "target": TargetEncoder(cv=KFold(3)),
    "mean": make_column_transformer((SimpleImputer(), ["share", "visits"])),
    "indicators": make_column_transformer(
        (SimpleImputer(strategy="median", add_indicator=True), ["visits", "share"]),
        remainder="passthrough",
    ),
    "then encoded": make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["visits"]),
        ("passthrough", ["member"]),
        remainder="drop",
    ),
    "another number": make_column_transformer(
        (SimpleImputer(missing_values=2, strategy="constant", fill_value=9), ["visits"])
    ),
}


# As for texts: "another number" raises on NaN.
NUMBER_CASES = [(name, nulls) for name in NUMBER_TRANSFORMERS for nulls in (False, True)][:-1]


@pytest.mark.parametrize(("name", "nulls"), NUMBER_CASES)
def test_numbers_are_encoded_and_filled_in_too(name: str, nulls: bool, tmp_path: Path) -> None:
    """Categories that are integers, booleans or fractions; imputed numbers, with and without indicators."""
    transformer, schema, features = front_of(NUMBER_TRANSFORMERS[name], numbers(nulls), tmp_path)
    records = list(NUMBER_RECORDS)
    for place, column in enumerate(schema.columns):
        if column.nullable:
            records.append([None if index == place else cell for index, cell in enumerate([1, True, 0.25])])
    assert_same(transformer, schema, features, records)


CHOICES: dict[str, Any] = {
    "a name": ["share"],
    "places": [2, 0],
    "a slice of names": slice("member", "share"),
    "a slice of places": slice(1, None),
    "a mask": [True, False, True],
    "negative places": [-1],
    "a function": lambda frame: [name for name in frame.columns if name != "member"],
}


@pytest.mark.parametrize("name", CHOICES)
@pytest.mark.parametrize("remainder", ["drop", "passthrough"])
def test_columns_are_chosen_as_a_column_transformer_does_it(
    name: str, remainder: str, tmp_path: Path
) -> None:
    """By name, place, slice, mask or function, the remainder behind."""
    columns = ColumnTransformer([("o", OrdinalEncoder(), CHOICES[name])], remainder=remainder)
    X = numbers()
    y = np.arange(ROWS) % 7
    pipeline = make_pipeline(columns, DecisionTreeRegressor(max_depth=2)).fit(X, y)
    if name == "a function":
        columns.transformers = pipeline[0].transformers_  # a lambda cannot be pickled
        pipeline[0].transformers = pipeline[0].transformers_
    schema = skdeploy.save(pipeline, X, y, tmp_path / "m.bin").schema
    _, features = split(pipeline, schema)
    assert_same(pipeline[0], schema, features, NUMBER_RECORDS)


def test_columns_within_columns_and_unions(tmp_path: Path) -> None:
    """Column transformers in each other, in unions and in pipelines, with steps that do nothing."""
    inner = make_column_transformer((OrdinalEncoder(), [0]), remainder="passthrough")
    union = FeatureUnion([("inner", inner), ("as is", "passthrough"), ("gone", "drop")])
    whole = make_column_transformer(
        (make_pipeline(FunctionTransformer(), union), ["share", "visits"]), (OneHotEncoder(), ["member"])
    )
    transformer, schema, features = front_of(whole, numbers(), tmp_path)
    assert_same(transformer, schema, features, NUMBER_RECORDS)


def test_scalers_side_by_side_become_one(tmp_path: Path) -> None:
    """What is left is one StandardScaler for all columns, which leaves those alone that had none."""
    columns = make_column_transformer(
        (StandardScaler(), ["share"]),
        (OneHotEncoder(), ["member"]),
        (StandardScaler(with_mean=False), ["visits"]),
    )
    pipeline, schema = fitted(columns, numbers(), tmp_path / "m.bin")
    rest, features = split(pipeline, schema)
    assert isinstance(rest[0], StandardScaler)
    table = Table([list(cells) for cells in zip(*NUMBER_RECORDS[:10], strict=True)], 10)
    packed, _ = Packer(features).pack(table)
    expected = pipeline[0].transform(InputBuilder(schema).build(table))
    np.testing.assert_allclose(rest[0].transform(packed), expected, rtol=1e-12)


def test_branches_have_their_weights(tmp_path: Path) -> None:
    """transformer_weights multiply what was encoded, and what is left for the graph."""
    parts = [("o", OrdinalEncoder(), ["share"]), ("s", StandardScaler(), ["visits"])]
    for weights in ({"o": 3.0}, {"o": 0.0, "s": 2.0}):
        columns = ColumnTransformer([*parts, ("m", MinMaxScaler(), ["visits"])], transformer_weights=weights)
        pipeline, schema = fitted(columns, numbers(), tmp_path / "m.bin")
        model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
        rest, features = split(pipeline, schema)
        table = Table([list(cells) for cells in zip(*NUMBER_RECORDS[:10], strict=True)], 10)
        expected = pipeline[0].transform(InputBuilder(schema).build(table))
        packed, _ = Packer(features).pack(table)
        assert model.engine.predict(table).ravel() == pytest.approx(pipeline[1].predict(expected))
        assert rest[0].transformers_[0][1].transform(packed[:, :1]).ravel() == pytest.approx(expected[:, 0])


def test_columns_that_several_steps_are_given_are_packed_once(tmp_path: Path) -> None:
    """A union of scalers on the same numbers shares them."""
    union = FeatureUnion([("one", StandardScaler()), ("two", MinMaxScaler()), ("three", "passthrough")])
    pipeline, schema = fitted(union, numbers(), tmp_path / "m.bin")
    _, features = split(pipeline, schema)
    assert [feature.column for feature in features] == [0, 1, 2]
    model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
    table = Table([list(cells) for cells in zip(*NUMBER_RECORDS[:10], strict=True)], 10)
    expected = pipeline.predict(InputBuilder(schema).build(table))
    assert model.engine.predict(table).ravel() == pytest.approx(expected)


def test_columns_without_a_value_are_dropped_as_the_imputer_does_it(tmp_path: Path) -> None:
    """SimpleImputer drops a column that was empty in training, or keeps it as zeros if told so."""
    X = numbers(nulls=True).assign(empty=np.nan)[["empty", "share", "visits"]]
    for keeps in (False, True):
        imputer = SimpleImputer(keep_empty_features=keeps, add_indicator=True)
        transformer, schema, features = front_of(imputer, X, tmp_path)
        assert len(features) == 5 + keeps
        assert_same(transformer, schema, features, [[None, 0.1, 1], [None, None, None], [2.5, 0.25, None]])


def test_wide_encoders_are_not_stored_number_by_number(tmp_path: Path) -> None:
    """A thousand categories, one-hot: a place per category, and rows that are zero elsewhere."""
    X = pd.DataFrame({"code": [f"c{index}" for index in range(1000)]})
    encoder = OneHotEncoder(handle_unknown="ignore")
    transformer, schema, features = front_of(encoder, X, tmp_path)
    assert isinstance(features[0], WideLookup)
    assert_same(transformer, schema, features, [["c0"], ["c999"], ["unseen"], ["c500"]])
    strict, schema, features = front_of(OneHotEncoder(), X, tmp_path)
    assert_same(strict, schema, features, [["c0"], ["unseen"], ["c500"]])


def test_very_wide_encoders_are_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record is a row of a bounded width; codes for as many categories are one number, and compiled."""
    monkeypatch.setattr(tables, "MOST_FEATURES", 99)
    X = pd.DataFrame({"code": [f"c{index}" for index in range(100)]})
    pipeline, schema = fitted(OneHotEncoder(), X, tmp_path / "m.bin")
    with pytest.raises(NotCompilable, match="OneHotEncoder with 100 outputs"):
        split(pipeline, schema)
    front_of(OneHotEncoder(drop="first"), X, tmp_path)
    front_of(OrdinalEncoder(), X, tmp_path)


def test_encoders_are_called_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many categories there are, few dense rows are made at once."""
    monkeypatch.setattr(tables, "_AT_ONCE", 700)
    X = pd.DataFrame({"code": [f"c{index}" for index in range(100)]})
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore")
    transformer, schema, features = front_of(encoder, X, tmp_path)
    assert_same(transformer, schema, features, [[f"c{index}"] for index in range(0, 100, 9)])


WORDS = ["good", "bad", "a", "wonderful", "dull", "Größe", "naïve", "слово", "it's"]
VECTORIZERS = {
    "counts": CountVectorizer(),
    "binary": CountVectorizer(binary=True, lowercase=False),
    "pairs": CountVectorizer(ngram_range=(1, 2), stop_words=["good"], max_features=12),
    "characters": CountVectorizer(analyzer="char_wb", ngram_range=(2, 3), strip_accents="unicode"),
    "own words": CountVectorizer(tokenizer=str.split, token_pattern=None),
    "own analyzer": CountVectorizer(analyzer=str.split),
    "given words": CountVectorizer(vocabulary=["good", "dull"]),
    "tf-idf": TfidfVectorizer(),
    "tf-idf, pairs": TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True),
    "tf-idf, l1": TfidfVectorizer(norm="l1", smooth_idf=False),
    "tf-idf, as it is": TfidfVectorizer(norm=None, binary=True),
    "tf": TfidfVectorizer(use_idf=False),
}


@pytest.mark.parametrize(
    ("name", "container"),
    [*((name, "frame") for name in VECTORIZERS), ("counts", "series"), ("tf-idf", "texts")],
)
def test_words_are_counted_as_the_vectorizer_does_it(name: str, container: str, tmp_path: Path) -> None:
    """Its own analyzer, vocabulary and weights, on texts alone or in a column; a null is left to it."""
    chance = np.random.default_rng(2)
    said = [" ".join(chance.choice(WORDS, size=chance.integers(2, 9))) for _ in range(ROWS)]
    X: Any = {"series": pd.Series(said), "texts": said, "frame": pd.DataFrame({"said": said})}[container]
    vectorizer: Any = VECTORIZERS[name]
    if container == "frame":
        vectorizer = make_column_transformer((vectorizer, "said"))
    transformer, schema, features = front_of(vectorizer, X, tmp_path)
    records = [[text] for text in [*said[:9], "", "good good\0 bad", "of another language", "Good " * 50]]
    assert_same(transformer, schema, features, [*records, [None]] if container != "series" else records)


def test_a_large_vocabulary_is_not_compiled(tmp_path: Path) -> None:
    """Every record's counts would be a row of many zeros."""
    X = [" ".join(f"w{row}x{word}" for word in range(200)) for row in range(51)]
    pipeline, schema = fitted(CountVectorizer(), X, tmp_path / "m.bin")
    with pytest.raises(NotCompilable, match="more than 10,000 words"):
        split(pipeline, schema)


def dicts() -> list[dict[str, Any]]:
    records = [
        {"city": city, "city centre": number % 2 == 0, "n": number % 3, "note=x": float(number)}
        for number, city in enumerate(["Ulm", "São Paulo", "n"] * 20)
    ]
    for record in records[::4]:
        del record["city"]
    for record in records[1::5]:
        del record["n"]
    return records


def test_dicts_become_the_vectorizers_features(tmp_path: Path) -> None:
    """Texts, numbers and booleans under their own names; absent keys are zeros."""
    transformer, schema, features = front_of(DictVectorizer(), dicts(), tmp_path)
    columns = {column.name: column for column in schema.columns}
    assert columns["city"].null == columns["n"].null == "absent"
    order = list(columns)
    rows = [
        {"city": city, "city centre": flag, "n": n, "note=x": 2.5}
        for city in ("Ulm", "São Paulo", "unseen", "", "Ulm\0", None)
        for flag in (True, False)
        for n in (0, 17, None)
    ]
    assert_same(transformer, schema, features, [[row[name] for name in order] for row in rows])


def test_dicts_in_another_order(tmp_path: Path) -> None:
    """DictVectorizer(sort=False) has a column's outputs among those of another: the graph sorts them."""
    X = [{"from": place, "to": place} for place in ("Ulm", "Oslo", "Nice")] * 20
    pipeline, schema = fitted(DictVectorizer(sort=False), X, tmp_path / "m.bin")
    model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
    rows = [(one, other) for one in ("Ulm", "Oslo", "unseen") for other in ("Nice", "Oslo", "Ulm")]
    table = Table([list(cells) for cells in zip(*rows, strict=True)], len(rows))
    expected = pipeline.predict(InputBuilder(schema).build(table))
    assert len(set(expected)) > 1
    assert model.engine.predict(table).ravel() == pytest.approx(expected)


def test_members_of_a_vote_are_given_their_own_columns(tmp_path: Path) -> None:
    """Pipelines side by side, each with encoders of its own; what two of them share is packed once."""
    X = numbers().assign(kind=texts(...)["a b"])
    y = X["visits"] + (X["kind"] == "elm") * X["share"].clip(upper=9)
    encoder = OrdinalEncoder()
    one = make_column_transformer((encoder, ["kind"]), ("passthrough", ["share", "visits"]))
    other = make_column_transformer(("passthrough", ["visits", "share"]), (encoder, ["kind"]))
    third = make_column_transformer((OneHotEncoder(), ["kind"]), (StandardScaler(), ["visits"]))
    members = [
        (f"m{index}", make_pipeline(columns, DecisionTreeRegressor(max_depth=5)))
        for index, columns in enumerate((one, other, third))
    ]
    vote = VotingRegressor(members).fit(X, y)
    schema = skdeploy.save(vote, X, y, tmp_path / "m.bin").schema
    _, features = split(vote, schema)
    assert [feature.column for feature in features] == [3, 2, 0, 3]
    model = skdeploy.load(tmp_path / "m.bin", engine="onnx")
    table = Table([X[name].tolist() for name in X.columns], len(X))
    assert model.engine.predict(table).ravel() == pytest.approx(vote.predict(X))


def test_what_the_pipeline_sees_in_single_precision_is_packed_so(tmp_path: Path) -> None:
    """A float32 column's cell is rounded as the frame rounds it, also alone."""
    X = pd.DataFrame({"a": np.linspace(0, 1, ROWS, dtype=np.float32), "b": np.linspace(0, 1, ROWS)})
    transformer, schema, features = front_of(FunctionTransformer(), X, tmp_path)
    assert_same(transformer, schema, features, [[0.1, 0.1], [1 / 3, 1 / 3]])
    packed, _ = Packer(features).pack(Table([[0.1], [0.1]], 1))
    assert packed.tolist() == [[float(np.float32(0.1)), 0.1]]


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_imputers_of_single_precision(names: list[str], tmp_path: Path) -> None:
    """What is filled in is rounded only where the array is in single precision as a whole."""
    X = pd.DataFrame({"a": np.linspace(0, 1, ROWS, dtype=np.float32), "b": np.linspace(0, 1, ROWS)})[names]
    X.loc[::7, "a"] = np.nan
    transformer, schema, features = front_of(SimpleImputer(), X, tmp_path)
    assert_same(transformer, schema, features, [[0.25, 0.1][: len(names)], [None, 1 / 3][: len(names)]])


def test_texts_that_nothing_encodes_are_named(tmp_path: Path) -> None:
    """A step of the graph takes numbers: the reason names the step and the column."""
    texts_as_numbers = pd.DataFrame({"digits": ["1", "2"] * 30, "n": range(ROWS)})
    columns = make_column_transformer((MinMaxScaler(), ["n"]), ("passthrough", ["digits"]))
    pipeline, schema = fitted(columns, texts_as_numbers, tmp_path / "m.bin")
    with pytest.raises(NotCompilable, match="'digits'"):
        split(pipeline, schema)
