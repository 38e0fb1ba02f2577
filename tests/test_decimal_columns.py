"""Models that were trained on decimals: saved, proved, compiled, and served at every door."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import skdeploy
from skdeploy.batch.chunks import Chunk
from skdeploy.batch.scoring import ChunkScorer
from skdeploy.model import Model
from tests.test_doors import by_batch, by_stream, by_web

PRICES = [Decimal(cents) / 100 for cents in range(125, 8125, 40)]
DTYPES = {"object": np.dtype(object), "decimal128": pd.ArrowDtype(pa.decimal128(10, 2))}


def frame(dtype: Any, prices: list[Decimal] = PRICES) -> pd.DataFrame:
    """A price and a count per row."""
    return pd.DataFrame({"price": pd.Series(prices, dtype=dtype), "count": range(len(prices))})


def saved(path: Path, pipeline: Any, X: pd.DataFrame, **options: Any) -> Path:
    """The file of the pipeline, fitted on X."""
    y = X["price"].astype(float) * 3 + X["count"]
    skdeploy.save(pipeline.fit(X, y), X, y, path / "priced.bin", name="priced", **options)
    return path / "priced.bin"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("golden", ["real", "synthetic"])
@pytest.mark.parametrize("engine", ["onnx", "sklearn"])
def test_decimals_have_one_prediction(tmp_path: Path, dtype: str, golden: str, engine: str) -> None:
    """The pipeline's own, whichever engine, door and spelling; the passport has decimals as text."""
    X = frame(DTYPES[dtype])
    pipeline = RandomForestRegressor(5, random_state=0)
    model = skdeploy.load(saved(tmp_path, pipeline, X, golden=golden), engine=engine)
    price = model.schema.columns[0]
    assert (price.type, Decimal(price.minimum), Decimal(price.maximum)) == ("decimal", PRICES[0], PRICES[-1])
    assert model.engine.name == engine
    texts = ["9.70", "9.7", "80.00", "1.25"]
    expected = pipeline.predict(frame(DTYPES[dtype], [Decimal(text) for text in texts]))
    answers = [(value, None) for value in expected.tolist()]
    strings = [{"price": text, "count": place} for place, text in enumerate(texts)]
    assert by_web(model, strings) == answers
    numbers = [{"price": float(text), "count": place} for place, text in enumerate(texts)]
    assert by_web(model, numbers) == answers
    assert by_stream(model, strings) == answers
    decimals = [record | {"price": Decimal(str(record["price"]))} for record in strings]
    assert by_batch(model, decimals, typed=True) == answers
    assert by_batch(model, decimals, typed=False) == answers


def test_a_numeric_of_postgresql_is_a_decimal(regressor_of_prices: Model) -> None:
    """Its driver gives Arrow text that is said to be a numeric."""
    numeric = pa.opaque(pa.string(), "numeric", "PostgreSQL")
    prices = pa.ExtensionArray.from_storage(numeric, pa.array(["9.70", "9.7000", "NaN"]))
    chunk = Chunk({"id": pa.array([1, 2, 3]), "price": prices, "count": pa.array([0, 0, 0])}, 3)
    scored = ChunkScorer(regressor_of_prices, {"id": pa.int64()}, proba=False, strict=False).score(chunk)
    first, second = scored.predictions["prediction"].to_pylist()[:2]
    assert first == second
    assert scored.rejected == (0 if regressor_of_prices.schema.columns[0].nullable else 1)


def test_a_double_of_a_table_is_rejected(regressor_of_prices: Model) -> None:
    """SQLite's NUMERIC gives doubles: a column of texts keeps the digits."""
    chunk = Chunk({"id": [1, 2], "price": [9.7, "9.70"], "count": [0, 0]}, 2)
    scored = ChunkScorer(regressor_of_prices, {"id": pa.int64()}, proba=False, strict=False).score(chunk)
    (reject,) = scored.rejects
    assert (reject.column, reject.reason, reject.got) == ("price", "type", "number 9.7")


@pytest.fixture(scope="module")
def regressor_of_prices(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A forest on prices in an object column."""
    path = tmp_path_factory.mktemp("priced")
    return skdeploy.load(saved(path, RandomForestRegressor(5, random_state=0), frame(object)))


def test_decimals_as_categories(tmp_path: Path) -> None:
    """An encoder that raises on any other makes them all that is accepted, in whatever spelling."""
    X = frame(object, [Decimal("1.50"), Decimal("2.00"), Decimal("3.25")] * 20)
    encode = make_column_transformer((OneHotEncoder(), ["price"]), remainder="passthrough")
    model = skdeploy.load(saved(tmp_path, make_pipeline(encode, LinearRegression()), X))
    assert model.schema.columns[0].categories == ["1.50", "2.00", "3.25"]
    good, same, bad = by_web(model, [{"price": text, "count": 1} for text in ("2.00", "2", "2.01")])
    assert good == same
    expected, got = 'decimal, one of "1.50", "2.00", "3.25"', 'string "2.01" (not seen in training)'
    assert bad == {("price", "category", expected, got)}
