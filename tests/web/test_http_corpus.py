"""Requests good and bad, cut in two at every byte, and read by the connection without a network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from skdeploy.config import WebSettings
from skdeploy.model import Model
from skdeploy.web import create_app
from tests.web.http_corpus import CASES, Case, before, behind, check, positions
from tests.web.ways import Loop


@pytest.fixture(scope="module")
def loop(regressor: Model) -> Iterator[Loop]:
    settings = WebSettings.from_env({})
    with Loop(create_app(regressor, settings), settings) as running:
        yield running


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_answers_do_not_depend_on_where_the_bytes_are_cut(loop: Loop, case: Case) -> None:
    """However the bytes arrive, the answers are those of the table, each once and in order."""
    content = case.content
    pieces = [[before() + content[:at], content[at:] + behind()] for at in positions(case)]
    for answered in loop.converse(*pieces):
        check(case, answered)


@pytest.mark.parametrize("case", CASES[::5], ids=[case.name for case in CASES[::5]])
def test_the_bytes_may_come_one_by_one(loop: Loop, case: Case) -> None:
    """A client that sends byte by byte gets the same answers."""
    content = before() + case.content + (b"" if case.closes else behind())
    (answered,) = loop.converse([content[at : at + 1] for at in range(len(content))])
    check(case, answered)
