"""What the reader lets through is what scikit-learn accepts, for pipelines of many kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

import skdeploy
from skdeploy.engines.inputs import InputBuilder
from skdeploy.model import Model
from skdeploy.schema import Column, RecordReader, as_list
from tests import pipelines

# Encoders that refuse and accept, imputers, nulls in every dtype, texts, dates, mappings and arrays.
MADE = [
    pipelines.one_hot_of_integers_and_booleans,
    pipelines.ordinal_with_given_order,
    pipelines.ordinal_with_values_for_unknown_and_missing,
    pipelines.target_encoder,
    pipelines.most_frequent_text,
    pipelines.counts_on_a_series,
    pipelines.booleans_with_boolean_labels,
    pipelines.nullable_integers,
    pipelines.integers_with_nulls,
    pipelines.categories_from_dtype,
    pipelines.categories_one_hot,
    pipelines.datetimes_without_zone,
    pipelines.datetimes_with_zone,
    pipelines.dict_vectorizer,
    pipelines.array_of_integers,
    pipelines.float32_columns,
]


@pytest.fixture(scope="module", params=MADE, ids=lambda make: make.__name__)
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Model]:
    """A pipeline, and the model that it was saved and loaded as."""
    pipeline, X, y = request.param()
    path: Path = tmp_path_factory.mktemp("valid") / "model.bin"
    skdeploy.save(pipeline, X, y, path)
    return pipeline, skdeploy.load(path, engine="sklearn")


@pytest.fixture(scope="module", autouse=True)
def single_thread() -> Iterator[None]:
    """As the service runs."""
    with threadpool_limits(1):
        yield


def _cells(column: Column) -> st.SearchStrategy[Any]:
    """Cells of the column's type up to its bounds, what was seen in training, and what does not fit."""
    low, high = (int(bound) if column.type == "int" else 0 for bound in column.bounds)
    of_type: dict[str, st.SearchStrategy[Any]] = {
        "int": st.integers(low, high),
        # Larger ones are valid, and may be infinite within the pipeline: then they have no prediction.
        "float": st.floats(-(2.0**100), 2.0**100, width=32),
        "bool": st.booleans(),
        "str": st.text(max_size=6),
        "datetime": st.sampled_from(["2013-02-01T05:00:00", "2013-02-01T05:00:00Z", "1700-01-01T00:00:00"]),
    }
    odd: st.SearchStrategy[Any] = st.none() | st.integers() | st.text(max_size=3) | st.booleans()
    usual = of_type[column.type]
    if column.categories:
        usual |= st.sampled_from(column.categories)
    return st.one_of(usual, usual, usual, odd)


@settings(max_examples=25, database=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_validates_is_what_the_pipeline_predicts(fitted: tuple[Any, Model], data: st.DataObject) -> None:
    """Records that no check refuses, alone and together, are predicted without an exception."""
    pipeline, model = fitted
    record = st.fixed_dictionaries({column.name: _cells(column) for column in model.schema.columns})
    # One that is good for sure, or the property could be empty.
    golden = {
        name: as_list(cells)[0] for name, cells in zip(model.schema.names, model.probe.cells, strict=True)
    }
    records = [golden, *data.draw(st.lists(record, max_size=6))]
    for strict in (False, True):
        table = RecordReader(model.schema, strict=strict).read(records).table
        builder = InputBuilder(model.schema)
        assert table.count
        for rows in builder.null_patterns(table):
            predicted = pipeline.predict(builder.build(table.rows(rows)))
            assert np.shape(predicted)[0] == len(rows)
