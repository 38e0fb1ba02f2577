"""Made pickles, and the models that must pass."""

import io
import pickle
import struct
from pathlib import Path

import joblib
import numpy as np
import pytest

from skdeploy.__main__ import main
from skdeploy.audit import audit, require_audited
from skdeploy.errors import UnreadableModel
from tests.pipelines import PIPELINES

OWN = [f"tests.own_transformers.{name}" for name in ("RatioToMedian", "calendar", "text_length")]
MADE = {
    "plain global": b"cos\nsystem\n(S'x'\ntR.",
    "memoized names": b"\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93.",
    "inst": b"(S'x'\nios\nsystem\n.",
    "extension": b"\x80\x02\x82\x01.",
    "dotted name": b"\x80\x04\x8c\x10sklearn.pipeline\x8c\tos.system\x93.",
    "renamed builtin": b"\x80\x02c__builtin__\neval\n.",
    "getattr": b"\x80\x04\x8c\x08builtins\x8c\x07getattr\x93.",
    "numpy's runner": b"\x80\x04cnumpy.testing._private.utils\nrunstring\n.",
    "joblib's loader": b"\x80\x04cjoblib\nload\n.",
    "pandas' reader": b"\x80\x04cpandas\nread_pickle\n.",
    "an imported class": b"\x80\x04csklearn.pipeline\nParallel\n.",
    "broken at the end": b"\x80\x04cos\nsystem\n\xff",
    "a second pickle": b"\x80\x04N.cos\nsystem\n.",
    "persistent": b"Px\n.",
}


def _dumped(thing: object, compress: object = 0) -> bytes:
    file = io.BytesIO()
    joblib.dump(thing, file, compress=compress)
    return file.getvalue()


@pytest.mark.parametrize("content", MADE.values(), ids=list(MADE))
def test_made_pickles_fail(content: bytes) -> None:
    """What leads to a forbidden global, or leads the walk astray, does not pass."""
    assert not audit(content).passed


def test_repository_model_passes() -> None:
    """The trained pipeline imports only what is on the list."""
    assert audit(Path("model.bin").read_bytes()).passed


@pytest.mark.parametrize("make", PIPELINES, ids=lambda make: make.__name__)
@pytest.mark.filterwarnings("ignore")
def test_foreign_pipelines_pass(make) -> None:  # type: ignore[no-untyped-def]
    """Pipelines as their owners have them pass, with their own functions named."""
    report = audit(_dumped(make()[0]), OWN)
    assert (report.lost, report.refused) == (None, ())


@pytest.mark.parametrize("kind", ["zlib", "gzip", "bz2", "xz", "lzma"])
def test_compressed_files_are_read(kind: str) -> None:
    """Each of joblib's compressions is followed, and a global behind an array is found."""
    array = np.arange(9.0)
    assert audit(_dumped([array], (kind, 3))).passed
    assert audit(_dumped([array, pickle.loads], (kind, 3))).refused


def test_global_in_an_array_of_objects_is_found() -> None:
    """The pickle within the file that stands for an array of objects is followed too."""
    array = np.empty(1, dtype=object)
    array[0] = eval
    assert audit(_dumped(array)).refused == ("builtins.eval",)


def test_flags_that_turn_numbers_into_objects_are_refused() -> None:
    """A dtype whose flags contradict its code would have a pickle read where the walk skips bytes."""
    content = _dumped(np.arange(3.0))
    end = b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00t"
    assert end in content
    assert audit(content.replace(end, end.replace(b"K\x00", struct.pack("<cB", b"K", 63)))).lost


def test_service_refusal_names_globals_and_remedy() -> None:
    """The error says what would be imported and which setting would allow it."""
    with pytest.raises(UnreadableModel, match=r"AUDIT_ALLOWED=builtins\.eval"):
        require_audited(_dumped(eval), "model.bin")


def test_command_line_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 where all is allowed, 1 where something is refused, 2 where there is no file."""
    (tmp_path / "bad").write_bytes(_dumped(eval))
    assert main(["audit", "model.bin"], {}) == 0
    assert main(["audit", str(tmp_path / "bad")], {}) == 1
    assert "REFUSED builtins.eval" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "bad"), "--allow", "builtins.eval"], {}) == 0
    assert main(["audit", str(tmp_path / "none")], {}) == 2
