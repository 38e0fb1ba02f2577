"""What save takes: classifiers of several labels, labels of all kinds, frames of polars, sparse matrices."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars
import pytest
import scipy.sparse
from catboost import CatBoostRegressor
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, OneHotEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import skdeploy
from skdeploy.config import WebSettings
from skdeploy.errors import SaveError, UnreadableModel
from skdeploy.web import create_app
from tests.conftest import small_frame, small_pipeline

_rng = np.random.default_rng(0)
X = pd.DataFrame({"a": _rng.normal(size=60), "b": _rng.normal(size=60)})
BOTH = np.column_stack([X["a"] > 0, X["b"] > 0]).astype(int)
WORDS = np.column_stack([np.where(X["a"] > 0, "hi", "lo"), np.where(X["b"] > 0, "red", "blue")])
DAYS = np.array(["2020-01-01", "2021-02-03"], dtype="datetime64[ns]")[BOTH[:, 0]]
TEXTS = [" ".join(_rng.choice(["good", "bad", "ugly", "fine"], 4)) for _ in range(60)]
IN_TEXTS = np.array([["good" in text, "bad" in text] for text in TEXTS]).astype(int)
CLASSIFIERS: dict[str, tuple[Any, Any, Any]] = {
    "one-vs-rest": (OneVsRestClassifier(LogisticRegression()), X, BOTH),
    "one-vs-rest without probabilities": (OneVsRestClassifier(LinearSVC()), X, BOTH),
    "one-vs-rest on texts": (
        make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LinearSVC())),
        TEXTS,
        IN_TEXTS,
    ),
    "sparse labels": (OneVsRestClassifier(LogisticRegression()), X, scipy.sparse.csr_matrix(BOTH)),
    "perceptron": (MLPClassifier((4,), max_iter=30, random_state=0), X, BOTH),
    "ridge": (RidgeClassifier(), X, BOTH),
    "neighbours": (KNeighborsClassifier(3), X, WORDS),
    "chain": (ClassifierChain(LogisticRegression()), X, BOTH),
    "several outputs": (MultiOutputClassifier(LogisticRegression()), X, WORDS),
    "tree": (DecisionTreeClassifier(max_depth=3), X, WORDS),
    "dummy": (DummyClassifier(), X, WORDS),
    "date-times": (DecisionTreeClassifier(max_depth=3), X, DAYS),
    "unsigned": (LogisticRegression(), X, BOTH[:, 0].astype("uint8")),
    "unsigned and large": (DecisionTreeClassifier(), X, BOTH[:, 0].astype("uint64") + np.uint64(2**63)),
}


@pytest.fixture(params=CLASSIFIERS)
def fitted(request: pytest.FixtureRequest) -> tuple[Any, Any, Any]:
    """A classifier, what it is given, and its labels."""
    # A perceptron of so few rounds says that it has not converged.
    estimator, inputs, labels = CLASSIFIERS[request.param]
    with pytest.warns() if request.param == "perceptron" else pytest.MonkeyPatch.context():
        return estimator.fit(inputs, labels), inputs, labels


@pytest.mark.parametrize("bare", [False, True], ids=["saved", "bare"])
def test_labels_are_the_librarys(fitted: tuple[Any, Any, Any], bare: bool, tmp_path: Path) -> None:
    """One or several, dense or sparse: the answer has what the classifier predicts, as JSON has it."""
    estimator, inputs, labels = fitted
    path = tmp_path / "model.bin"
    if bare:
        joblib.dump(estimator, path)
        if isinstance(
            estimator, DummyClassifier
        ):  # it takes anything: nothing tells the types of its columns
            with pytest.raises(UnreadableModel):
                skdeploy.load(path)
            return
    else:
        skdeploy.save(estimator, inputs, labels, path, quiet=True)
    model = skdeploy.load(path)
    client = create_app(model, WebSettings.from_env({})).test_client()
    rows = inputs[:9]
    records = rows.to_dict("records") if isinstance(rows, pd.DataFrame) else [{"text": text} for text in rows]
    query = "?proba=true" if model.passport.output.probabilities else ""
    answer: Any = client.post(f"/predict{query}", json=records)
    assert answer.status_code == 200, answer.text
    items = answer.json["predictions"]
    got = [item["prediction"] for item in items] if query else items
    assert got == _as_json(estimator.predict(rows))
    if not query:
        assert not hasattr(estimator, "predict_proba")
        return
    for item, label in zip(items, got, strict=True):
        by_output = item["probabilities"] if isinstance(label, dict) else {"": item["probabilities"]}
        for name, shares in by_output.items():
            assert sum(shares.values()) == pytest.approx(1)
            best = label[name] if name else label
            best = int(best) if isinstance(best, float) else best
            assert shares[str(best)] == max(shares.values())


def _as_json(raw: Any) -> list[Any]:
    raw = raw.toarray() if scipy.sparse.issparse(raw) else np.asarray(raw)
    if raw.dtype.kind == "M":
        return [pd.Timestamp(moment).isoformat() for moment in raw]
    listed: list[Any] = raw.tolist()
    return (
        listed if raw.ndim == 1 else [{f"y{place}": one for place, one in enumerate(row)} for row in listed]
    )


class DropsAttributes(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Pickles its own state, and nothing that others add."""

    def fit(self, X: pd.DataFrame, y: Any) -> DropsAttributes:
        self.mean_, self.feature_names_in_ = float(np.mean(y)), X.columns.to_numpy(dtype=object)
        return self

    def predict(self, X: pd.DataFrame) -> Any:
        return X["a"].to_numpy() * self.mean_

    def __getstate__(self) -> dict[str, Any]:
        return {"mean_": self.mean_, "feature_names_in_": self.feature_names_in_}


@pytest.mark.parametrize(
    "estimator",
    [DropsAttributes(), CatBoostRegressor(iterations=3, verbose=0, allow_writing_files=False)],
    ids=["own", "catboost"],
)
def test_no_file_lacks_its_passport(estimator: Any, tmp_path: Path) -> None:
    """An estimator whose pickle drops what others add is saved as a Pipeline of one step, which is said."""
    estimator.fit(X, X["a"] + 1)
    saved = skdeploy.save(estimator, X, None, tmp_path / "m.bin", name="prices", quiet=True)
    assert "saved as a Pipeline of one step" in str(saved)
    assert type(joblib.load(tmp_path / "m.bin")) is Pipeline
    assert skdeploy.load(tmp_path / "m.bin").passport.name == "prices"


class Shifted:
    """Predicts, and is no estimator of scikit-learn's."""

    def predict(self, X: pd.DataFrame) -> Any:
        return X["a"].to_numpy() + 1


class Slotted(Shifted):
    """Has no room for attributes."""

    __slots__ = ()

    def __reduce__(self) -> Any:
        return Slotted, ()


def test_what_only_predicts_is_saved(tmp_path: Path) -> None:
    """Unless it has no room for a passport, and no Pipeline can hold it: then it is refused."""
    saved = skdeploy.save(Shifted(), X, None, tmp_path / "m.bin", quiet=True)
    assert saved.output.kind == "other"
    assert skdeploy.load(tmp_path / "m.bin").predict(X[:2]) == pytest.approx(X["a"][:2] + 1)
    with pytest.raises(SaveError, match=r"derive the class from sklearn\.base\.BaseEstimator"):
        skdeploy.save(Slotted(), X, None, tmp_path / "m.bin", quiet=True)


def _ordinals(frame: pd.DataFrame) -> Any:
    return np.array([[day.toordinal()] for day in frame.iloc[:, 0]])


def _months(frame: pd.DataFrame) -> Any:
    return frame.iloc[:, :1].apply(lambda column: column.dt.month).to_numpy()


def _shape(frame: pd.DataFrame) -> Any:
    return np.ones(len(frame)).reshape(-1, 1)


OF_NO_TYPE: dict[str, tuple[Any, Any]] = {
    "date": (
        [datetime.date(2020, 1, 1) + datetime.timedelta(i) for i in range(60)],
        FunctionTransformer(_ordinals),
    ),
    "period": (pd.period_range("2010-01", periods=60, freq="M"), FunctionTransformer(_months)),
    "interval": (pd.cut(np.arange(60), 3), OneHotEncoder()),
    "bytes": ([b"x", b"y"] * 30, FunctionTransformer(_shape)),
    "mixed": ([1, "y"] * 30, FunctionTransformer(_shape)),
    "lists": ([[1, 2]] * 60, FunctionTransformer(_shape)),
    "duration": (pd.to_timedelta(np.arange(60), "h"), FunctionTransformer(_shape)),
}


@pytest.mark.parametrize("kind", OF_NO_TYPE)
def test_advice_is_true(kind: str, tmp_path: Path) -> None:
    """A conversion is advised only if the pipeline can be fitted on its result; followed, it saves."""
    cells, step = OF_NO_TYPE[kind]
    frame = pd.DataFrame({"v": cells})
    pipeline = make_pipeline(ColumnTransformer([("v", step, ["v"])]), Ridge()).fit(frame, np.arange(60))
    with pytest.raises(SaveError, match="no type for the column 'v'") as caught:
        skdeploy.save(pipeline, frame, None, tmp_path / "m.bin", quiet=True)
    advice = re.search(r"Convert it, (X\['v'\] = .*), and fit", str(caught.value))
    assert advice is not None
    exec(advice[1], {"X": frame, "pd": pd})
    skdeploy.save(pipeline.fit(frame, np.arange(60)), frame, None, tmp_path / "m.bin", quiet=True)


def test_a_column_of_nulls_alone_is_named_with_what_helps(tmp_path: Path) -> None:
    """Its type can be said, and the pipeline is then saved."""
    frame = X.assign(empty=pd.Series([None] * 60, dtype=object))
    pipeline = make_pipeline(ColumnTransformer([("n", "passthrough", ["a", "b"])]), Ridge()).fit(
        frame, X["a"]
    )
    with pytest.raises(SaveError, match=re.escape("columns={'empty': \"str?\"}")):
        skdeploy.save(pipeline, frame, None, tmp_path / "m.bin", quiet=True)
    skdeploy.save(pipeline, frame, None, tmp_path / "m.bin", columns={"empty": "str?"}, quiet=True)


def _refuses(frame: pd.DataFrame) -> Any:
    raise ValueError(f"cannot take {frame.iloc[0, 0]!r}")


def test_no_message_holds_a_row(tmp_path: Path) -> None:
    """What a pipeline says when it raises may be a value of the training data."""
    frame = X.assign(name=[f"person {place}" for place in range(60)])
    pipeline = make_pipeline(
        ColumnTransformer([("f", FunctionTransformer(_shape), ["name"])], remainder="passthrough"), Ridge()
    ).fit(frame, X["a"])
    pipeline[0].named_transformers_["f"].func = _refuses
    pipeline[0].transformers_[0][1].func = _refuses
    with pytest.raises(SaveError, match=r"ValueError in") as caught:
        skdeploy.save(pipeline, frame, None, tmp_path / "m.bin", quiet=True)
    assert "person" not in str(caught.value)


def test_polars_is_taken_as_scikit_learn_takes_it(tmp_path: Path) -> None:
    """Numbers, texts with nulls, booleans and date-times; the service predicts what the pipeline does."""
    frame = polars.DataFrame(
        {
            "n": [1.5, 2.5, 3.5, 0.5] * 10,
            "count": [1, 2, 3, 4] * 10,
            "kind": ["ash", None, "elm", "oak"] * 10,
            "old": [True, False] * 20,
            "at": [datetime.datetime(2024, 1, day) for day in (1, 2, 3, 4)] * 10,
        }
    )
    parts = ColumnTransformer([("k", OneHotEncoder(), ["kind"]), ("n", "passthrough", ["n", "count", "old"])])
    pipeline = make_pipeline(parts, LinearRegression()).fit(frame, frame["n"])
    saved = skdeploy.save(pipeline, frame, frame["n"], tmp_path / "m.bin", quiet=True)
    assert [column.type for column in saved.schema.columns] == ["float", "int", "str", "bool", "datetime"]
    assert saved.had_nulls == [False, False, True, False, False]
    records = [row | {"at": row["at"].isoformat()} for row in frame[:4].to_dicts()]
    client = create_app(skdeploy.load(tmp_path / "m.bin"), WebSettings.from_env({})).test_client()
    answer: Any = client.post("/predict", json=records)
    assert answer.json["predictions"] == pytest.approx(pipeline.predict(frame[:4]))


def _doubled(table: Any) -> Any:
    return table.with_columns(polars.col("n") * 2)


def test_what_needs_polars_itself_is_refused(tmp_path: Path) -> None:
    """The service has frames of pandas: a function that calls polars' methods is told so."""
    frame = polars.DataFrame({"n": [1.0, 2.0, 3.0, 4.0]})
    pipeline = make_pipeline(FunctionTransformer(_doubled), LinearRegression()).fit(frame, frame["n"])
    with pytest.raises(SaveError, match="a DataFrame of pandas"):
        skdeploy.save(pipeline, frame, None, tmp_path / "m.bin", quiet=True)


@pytest.mark.parametrize("make", [scipy.sparse.csr_matrix, scipy.sparse.csc_array])
def test_a_pipeline_on_sparse_matrices(make: Callable[..., Any], tmp_path: Path) -> None:
    """A record has all columns, zeros too; the pipeline gets a sparse matrix again."""
    numbers = np.eye(4)[np.arange(40) % 4] * np.arange(1, 41)[:, None]
    pipeline = make_pipeline(
        FunctionTransformer(_require_sparse, accept_sparse=True), MaxAbsScaler(), Ridge()
    )
    pipeline.fit(make(numbers), numbers.sum(axis=1))
    skdeploy.save(pipeline, make(numbers), None, tmp_path / "m.bin", quiet=True)
    client = create_app(skdeploy.load(tmp_path / "m.bin"), WebSettings.from_env({})).test_client()
    records = [dict(zip(("x0", "x1", "x2", "x3"), row, strict=True)) for row in numbers[:5].tolist()]
    answer: Any = client.post("/predict", json=records)
    assert answer.json["predictions"] == pytest.approx(pipeline.predict(make(numbers[:5])))


def _require_sparse(matrix: Any) -> Any:
    assert scipy.sparse.issparse(matrix)
    return matrix


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": " "}, "name is empty"),
        ({"metrics": {"mae": "good"}}, "'mae' is no number"),
        ({"y": [1.0, 2.0]}, "y has 2 rows and X has 60"),
    ],
    ids=str,
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    """Before anything is tried."""
    X = np.random.default_rng(0).normal(size=(60, 2))
    targets = options.pop("y", None)
    with pytest.raises(SaveError, match=says):
        skdeploy.save(Ridge().fit(X, X[:, 0]), X, targets, tmp_path / "model.bin", quiet=True, **options)


def test_a_matrix_without_rows_of_its_own(tmp_path: Path) -> None:
    """Coordinates of numbers: what scikit-learn takes."""
    matrix = scipy.sparse.coo_matrix(np.abs(np.random.default_rng(0).normal(size=(60, 3))))
    pipeline = Ridge().fit(matrix, np.arange(60))
    skdeploy.save(pipeline, matrix, None, tmp_path / "model.bin", quiet=True)
    assert skdeploy.load(tmp_path / "model.bin").predict(matrix) == pytest.approx(pipeline.predict(matrix))


def test_a_matrix_of_words_is_refused(tmp_path: Path) -> None:
    """Nobody sends ten thousand columns: the vectorizer belongs into the pipeline."""
    matrix = scipy.sparse.random(50, 20_000, 0.001, format="csr", random_state=0)
    model = Ridge().fit(matrix, np.arange(50.0))
    with pytest.raises(SaveError, match="vectorizer"):
        skdeploy.save(model, matrix, None, tmp_path / "m.bin", quiet=True)


def test_what_was_decided_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table of columns, nulls and categories, and why this engine; no row, and nothing if quiet."""
    frame = small_frame()
    pipeline = small_pipeline(LinearRegression()).fit(frame, frame["age"])
    saved = skdeploy.save(
        pipeline, frame, frame["age"], tmp_path / "m.bin", output="height", unit="metres", golden="real"
    )
    printed = capsys.readouterr().out
    assert printed == f"{saved}\n"
    assert re.search(r"^column +type +null +unknown category$", printed, re.MULTILINE)
    assert re.search(r"^size +float +accepted, training had some$", printed, re.MULTILINE)
    assert re.search(r"^kind +str +refused, training had none +refused, 3 known$", printed, re.MULTILINE)
    assert "output: height in metres (regression)" in printed
    assert re.search(r"^engine: (onnx \(compiled|sklearn \(.+)", printed, re.MULTILINE)
    assert len(repr(saved)) < 200
    assert not any(str(value) in repr(saved) + printed for value in frame["size"].dropna())
    skdeploy.save(pipeline, frame, None, tmp_path / "m.bin", quiet=True)
    assert capsys.readouterr().out == ""


def test_the_output_is_named_at_the_door(tmp_path: Path) -> None:
    """GET / and the OpenAPI document say what is predicted, and its unit."""
    skdeploy.save(
        LinearRegression().fit(X, X["a"]), X, None, tmp_path / "m.bin", output="air time", unit="minutes"
    )
    client = create_app(skdeploy.load(tmp_path / "m.bin"), WebSettings.from_env({})).test_client()
    about: Any = client.get("/").json
    assert (about["output"]["title"], about["output"]["unit"]) == ("air time", "minutes")
    schemas: Any = client.get("/openapi.json").json["components"]["schemas"]  # type: ignore[index]
    assert '"title": "air time"' in str(schemas).replace("'", '"')
    assert "In minutes" in str(schemas)
    with pytest.raises(SaveError, match="unit is 60: it should be a string, unit='minutes'"):
        skdeploy.save(LinearRegression().fit(X, X["a"]), X, None, tmp_path / "m.bin", unit=60)  # type: ignore[arg-type]


class Counting(Ridge):  # type: ignore[misc]
    """Counts its calls."""

    calls = 0

    def predict(self, X: Any) -> Any:
        type(self).calls += 1
        return super().predict(X)


@pytest.mark.parametrize("unknown", ["ignore", "error"])
def test_many_columns_are_tried_in_few_calls(unknown: str, tmp_path: Path) -> None:
    """Columns that scikit-learn's parts read alike are tried together, whether they raise or not."""
    cells = np.array([f"v{place % 20}" for place in range(40)], dtype=object)
    frame = pd.DataFrame({f"k{place}": _rng.permutation(cells) for place in range(80)})
    frame = frame.assign(**{f"n{place}": _rng.normal(size=40) for place in range(80)})
    encode = ColumnTransformer(
        [("k", OneHotEncoder(handle_unknown=unknown), list(frame.columns[:80]))], remainder="passthrough"
    )
    pipeline = make_pipeline(encode, Counting()).fit(frame, _rng.normal(size=40))
    Counting.calls = 0
    saved = skdeploy.save(pipeline, frame, None, tmp_path / "m.bin", quiet=True)
    assert Counting.calls < 60
    refused = {column.unknown for column in saved.schema.columns[:80]}
    assert refused == {"accept" if unknown == "ignore" else "refuse"}
    assert not any(column.nullable for column in saved.schema.columns[80:])
