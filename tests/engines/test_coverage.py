"""The coverage table of docs/engines.md is what loading those pipelines gives."""

from __future__ import annotations

import pytest

from tests.engines import coverage

# Of the table's cells `make test` looks at every twelfth: at least one for each estimator and each mix.
EVERY = 12


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
