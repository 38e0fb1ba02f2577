"""What the walk says a pickle imports, beside what joblib's unpickler then imports."""

import io

import joblib
import pytest
from joblib.numpy_pickle import NumpyUnpickler

from skdeploy.audit import audit
from tests.pipelines import PIPELINES


class _Recording(NumpyUnpickler):  # type: ignore[misc]
    """joblib's unpickler, which notes each global that it is asked for."""

    def __init__(self, file: io.BytesIO, seen: set[str]) -> None:
        super().__init__("", file, ensure_native_byte_order=False)
        self._seen = seen

    def find_class(self, module: str, name: str) -> object:
        self._seen.add(f"{module}.{name}")
        return super().find_class(module, name)


@pytest.mark.parametrize("make", PIPELINES, ids=lambda make: make.__name__)
@pytest.mark.filterwarnings("ignore")
def test_walk_finds_what_joblib_imports(make) -> None:  # type: ignore[no-untyped-def]
    """For each foreign pipeline the globals found are those that unpickling imports."""
    file = io.BytesIO()
    joblib.dump(make()[0], file)
    seen: set[str] = set()
    file.seek(0)
    _Recording(file, seen).load()
    assert {finding.name for finding in audit(file.getvalue()).findings} == seen
