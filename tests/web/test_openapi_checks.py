"""The document and the service hold each other to their word."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skdeploy.api_keys import line_for, new_key
from skdeploy.model import Model
from tests.live import served

# A list that is too long is refused with 413, which schemathesis does not expect by itself.
_CONFIG = """
[checks.negative_data_rejection]
expected-statuses = [400, 405, 413, 415, 422]
"""
_HOOKS = Path(__file__).with_name("schemathesis_hooks.py")


@pytest.mark.heavy
@pytest.mark.parametrize("keys", [False, True], ids=["open", "with API keys"])
@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_the_service_does_what_its_document_says(
    kind: str, keys: bool, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """schemathesis, all checks: what fits is accepted, what does not is refused, answers are as said."""
    model: Model = request.getfixturevalue(kind)
    assert model.origin is not None
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run"]
    options = ["--seed=1", "--max-examples=100", "--generation-database=none", "--no-color"]
    settings = {"SKDEPLOY_MODEL_URI": model.origin.uri, "WEB_CONCURRENCY": "1"}
    if keys:
        key = new_key()
        settings["SKDEPLOY_API_KEYS_FILE"] = str(tmp_path / "keys")
        (tmp_path / "keys").write_text(line_for("schemathesis", key))
        (tmp_path / "keys").chmod(0o600)
        options += [f"--header=X-API-Key: {key}"]
    with served(tmp_path, **settings) as service:
        result = subprocess.run(
            [*command, service.url + "/openapi.json", *options],
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": str(_HOOKS)},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert result.returncode == 0, result.stdout[-4000:]
