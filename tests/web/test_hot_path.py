"""What a request costs, counted in calls instead of time, so that it cannot grow unseen.

A bound is the count when it was last looked at and about a tenth more. Who makes the path longer on
purpose raises it, in the same change.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import skdeploy
from benchmarks.inprocess import InProcess, request
from skdeploy.config import WebSettings
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.web import create_app
from tests.counting import calls

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def app() -> Any:
    model = skdeploy.load(ROOT / "model.bin", engine="onnx")
    assert isinstance(model.engine, OnnxEngine)
    return create_app(model, WebSettings.from_env({}))


def body(records: int) -> bytes:
    model = skdeploy.load(ROOT / "model.bin", engine="sklearn")
    record = {column.name: column.example for column in model.schema.columns}
    return json.dumps(record if records == 1 else [record] * records).encode()


@pytest.mark.parametrize(("records", "together", "bound"), [(1, 1, 310), (1, 16, 135), (50, 1, 565)])
def test_calls_of_a_request(app: Any, records: int, together: int, bound: int) -> None:
    """From a request's bytes to its answer's: Python's own calls and those into C, per request."""
    content = request(body(records))
    served = InProcess(app, WebSettings.from_env({}), together)
    requests = [content] * together
    assert all(b"prediction" in answer for answer in served.ask(requests))  # what is done once is done
    # Once in a while a request finds that the metrics are due to be told.
    counted = min(calls(lambda: served.ask(requests)) for _ in range(3)) / together
    served.close()
    assert counted <= bound
