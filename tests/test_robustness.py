"""docs/robustness.md has a row for each test that was to be recorded, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import robustness


def test_every_recorded_test_has_a_row() -> None:
    """The rows are the marked tests, by file, name and case."""
    documented = robustness.documented_tests(robustness.DOCUMENT.read_text())
    assert documented == sorted(robustness.recorded_tests())


def test_what_was_seen_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts of a folder make a table; of two of one test the last counts."""
    monkeypatch.setenv(robustness.VARIABLE, str(tmp_path))
    for lost in (5, 4):
        robustness.keep(
            robustness.Fact(
                "fault", "a | b", robustness.name_of("tests/test_a.py::test_b[c/d]"), "held", 1234, lost
            )
        )
    table = robustness.table("fault", robustness.read(tmp_path))
    assert table.splitlines()[2:] == ["| a &#124; b | held | 1,234 | 4 | `test_a.py::test_b[c/d]` |"]
    assert robustness.documented_tests(table + "\n") == ["test_a.py::test_b[c/d]"]
