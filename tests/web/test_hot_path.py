"""What a request costs, counted in calls instead of time, so that it cannot grow unseen.

A bound is the count when it was last looked at and about a tenth more. Who makes the path longer on
purpose raises it, in the same change.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

import skdeploy
from skdeploy.engines.onnx import OnnxEngine
from skdeploy.settings import Settings
from skdeploy.web import create_app
from tests.counting import calls

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def app() -> Any:
    model = skdeploy.load(ROOT / "model.bin", engine="onnx")
    assert isinstance(model.engine, OnnxEngine)
    return create_app(model, Settings.from_env({}))


def body(records: int) -> bytes:
    model = skdeploy.load(ROOT / "model.bin", engine="sklearn")
    record = {column.name: column.example for column in model.schema.columns}
    return json.dumps(record if records == 1 else [record] * records).encode()


def answer(app: Any, content: bytes) -> bytes:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/predict",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
    }
    return b"".join(app(environ, lambda *_: None))


@pytest.mark.parametrize(("records", "bound"), [(1, 108), (1000, 1312)])
def test_calls_of_a_request(app: Any, records: int, bound: int) -> None:
    """From the WSGI environment to the answer: Python's own calls and those into C."""
    content = body(records)
    assert b"prediction" in answer(app, content)  # what is done once has been done
    assert calls(lambda: answer(app, content)) <= bound
