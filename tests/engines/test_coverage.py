"""The coverage tables of docs/engines.md are what loading those pipelines gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engines import coverage
from tests.engines.pipelines import PIPELINES, tolerance, tried

# Of the table's cells `make test` looks at every twelfth: at least one for each estimator and each mix.
EVERY = 12
# Of the pipelines on real data.
EVERY_PIPELINE = 20


def documented() -> dict[tuple[str, str], str]:
    return coverage.read_marks(coverage.DOCUMENT.read_text())


def some() -> list[tuple[str, str]]:
    mixes = list(coverage.MIXES)
    return [
        (name, mix)
        for row, name in enumerate(coverage.ESTIMATORS)
        for column, mix in enumerate(mixes)
        if (row + column) % EVERY == 0
    ]


def test_the_document_has_every_cell() -> None:
    """A row for each estimator and a column for each mix, and no others."""
    assert sorted(documented()) == sorted(coverage.everything())


def test_some_cells_of_the_document_are_true() -> None:
    """Engine and reason are those of the document, for each estimator and each mix at least once."""
    pairs, table = some(), documented()
    assert {name for name, _ in pairs} == set(coverage.ESTIMATORS)
    assert {mix for _, mix in pairs} == set(coverage.MIXES)
    assert coverage.marks(pairs) == {pair: table[pair] for pair in pairs}


@pytest.mark.nightly
def test_every_cell_of_the_document_is_true() -> None:
    """Engine and reason are those of the document, everywhere."""
    assert coverage.marks(coverage.everything()) == documented()


def test_the_document_has_every_pipeline() -> None:
    """A row for each, at least 60 in all."""
    rows = coverage.read_pipelines(coverage.DOCUMENT.read_text())
    assert list(rows) == list(PIPELINES)
    assert len(rows) >= 60


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(key, marks=() if place % EVERY_PIPELINE == 9 else pytest.mark.nightly, id=": ".join(key))
        for place, key in enumerate(PIPELINES)
    ],
)
def test_pipelines_on_real_data(key: tuple[str, str], tmp_path: Path) -> None:
    """The engine is that of the document, and its answers to 2,000 records are the library's own."""
    found = tried(key, tmp_path)
    assert coverage.engine_of(found) == coverage.read_pipelines(coverage.DOCUMENT.read_text())[key]
    assert found.difference is None or found.difference <= tolerance(key)
