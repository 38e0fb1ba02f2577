"""Shared by all tests: small models, and the rule that in CI nothing skips."""

from __future__ import annotations

import os

# Before numpy is imported: native threads of several tests at once wait for each other.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

import skdeploy
from skdeploy.model import Model
from tests.robustness import Fact, keep, name_of

REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"


# No example of a property has a time limit: machines are busy at times. CI tries the same ones in each run.
settings.register_profile("skdeploy", deadline=None, derandomize=REQUIRE_ALL)
settings.load_profile("skdeploy")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With REQUIRE_ALL=1, as CI sets it, a skipped test is a failed one."""
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and REQUIRE_ALL=1 allows no skips: {report.longrepr}"
    return report


# Before tests are chosen by their marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What needs the Docker engine is marked: two engines at once would share addresses and ports."""
    for item in items:
        if "docker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.docker)


@pytest.fixture
def fact(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Call it with what was seen, once it is as it should be: a row of docs/robustness.md."""
    mark = request.node.get_closest_marker("robustness")
    kind, what = mark.args[0], ", ".join(mark.args[1:])
    if case := getattr(request.node, "callspec", None):
        what = f"{what}: {case.id}" if what else case.id

    def say(result: str, answered: int | None = None, lost: int | None = None) -> None:
        keep(Fact(kind, what, name_of(request.node.nodeid), result, answered, lost))

    return say


def small_frame(rows: int = 60) -> pd.DataFrame:
    """A number with nulls, a text category, a whole number."""
    random = np.random.default_rng(7)
    size = random.normal(10, 3, rows)
    size[::9] = np.nan
    return pd.DataFrame(
        {
            "size": size,
            "kind": random.choice(["ash", "elm", "oak"], rows),
            "age": random.integers(1, 9, rows),
        }
    )


def small_pipeline(final: Any) -> Pipeline:
    """Refuses a kind that it has not seen; takes a null size, but no other null."""
    columns = make_column_transformer(
        (SimpleImputer(), ["size"]), (OneHotEncoder(), ["kind"]), ("passthrough", ["age"])
    )
    return make_pipeline(columns, final)


@pytest.fixture(scope="session")
def regressor_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved regression model."""
    frame = small_frame()
    target = frame["age"] * 2.5 + frame["size"].fillna(0)
    path = tmp_path_factory.mktemp("regressor") / "tree.bin"
    skdeploy.save(small_pipeline(LinearRegression()).fit(frame, target), frame, target, path, name="tree")
    return path


@pytest.fixture(scope="session")
def regressor(regressor_file: Path) -> Model:
    """The saved regression model, loaded."""
    return skdeploy.load(regressor_file)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A classification model with string labels, loaded."""
    frame = small_frame()
    target = np.where(frame["age"] > 4, "old", "young")
    path = tmp_path_factory.mktemp("classifier") / "tree.bin"
    skdeploy.save(small_pipeline(LogisticRegression()).fit(frame, target), frame, target, path)
    return skdeploy.load(path)
