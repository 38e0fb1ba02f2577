"""From the setting AUDIT to a model that is not unpickled."""

from pathlib import Path

import joblib
import pytest

from skdeploy.errors import UnreadableModel
from skdeploy.settings import Settings
from skdeploy.source.load import load_from_settings


class _Writes:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "x")


def test_what_fails_the_audit_is_not_unpickled(tmp_path: Path) -> None:
    """With AUDIT=1 the file's code does not run, and the error names what it would import."""
    joblib.dump(_Writes(tmp_path / "ran"), tmp_path / "model.bin")
    settings = Settings.from_env({"MODEL_URI": str(tmp_path / "model.bin"), "AUDIT": "1"})
    with pytest.raises(UnreadableModel, match=r"io\.open"):
        load_from_settings(settings)
    assert not (tmp_path / "ran").exists()
