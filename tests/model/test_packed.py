"""The bytes of a pickle's file: how far they are unpacked, and the versions that stand behind the pickle."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import platform
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
import sklearn

import skdeploy
from skdeploy.errors import UnreadableModel
from skdeploy.model import read_versions
from skdeploy.model.packed import trailer, unpack, versions_in
from tests.command import command
from tests.conftest import small_frame
from tests.model.test_exported import Fuse

COMPRESSIONS = ["zlib", "gzip", "bz2", "lzma", "xz"]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
    "xz": lzma.compress,
}


def dumped(value: Any, compression: str | None) -> bytes:
    """A file as joblib writes it."""
    buffer = io.BytesIO()
    joblib.dump(value, buffer, compress=(compression, 3) if compression else 0)
    return buffer.getvalue()


def test_save_writes_the_versions_behind_the_pickle(regressor_file: Path) -> None:
    """They are the last bytes of the unpacked file, in the documented form, and joblib ignores them."""
    unpacked = zlib.decompress(regressor_file.read_bytes())
    match = re.search(rb"\n(.*)\n(\d+)SKDEPLOY\Z", unpacked)
    assert match is not None
    assert len(match[1]) == int(match[2])
    saved = json.loads(match[1])
    assert saved["python"] == platform.python_version()
    assert saved["scikit-learn"] == sklearn.__version__
    assert saved["skdeploy"] == skdeploy.__version__
    assert read_versions(regressor_file.read_bytes(), "tree.bin") == saved
    assert hasattr(joblib.load(regressor_file), "passport_")


@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
def test_joblib_ignores_the_versions(compression: str | None, tmp_path: Path) -> None:
    """In a file of each compression joblib and this package read the same arrays."""
    frame = small_frame().to_numpy()
    content = dumped({"frame": frame}, None) + trailer({"python": "3.11.7"})
    packed = COMPRESS[compression](content) if compression else content
    (tmp_path / "model.bin").write_bytes(packed)
    assert (joblib.load(tmp_path / "model.bin")["frame"] == frame).sum() >= frame.size - 10
    assert versions_in(unpack(packed)) == {"python": "3.11.7"}


@pytest.mark.parametrize("compression", [None, *COMPRESSIONS])
def test_a_file_without_them_loads_as_before(
    compression: str | None, regressor_file: Path, tmp_path: Path
) -> None:
    """A plain joblib.dump, compressed or not, is served; it says the version that its estimators keep."""
    content = dumped(joblib.load(regressor_file), compression)
    (tmp_path / "model.bin").write_bytes(content)
    assert skdeploy.load(tmp_path / "model.bin", engine="sklearn").passport.name == "tree"
    assert read_versions(content, "model.bin") == {"scikit-learn": sklearn.__version__}


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda content: content + b"\0", "behind the pickle's end"),
        (lambda content: content + b"SKDEPLOY", "behind the pickle's end"),
        (lambda content: content * 2, "behind the pickle's end"),
        (lambda content: content[:-20], "ends too early|unpickled"),
        (lambda content: content[:40] + b"damage!" + content[47:], "cannot be unpickled"),
    ],
)
def test_a_stream_that_is_cut_or_goes_on_is_refused(
    damage: Callable[[bytes], bytes], said: str, compression: str, tmp_path: Path
) -> None:
    """joblib takes such files, or all memory; nothing of them is unpickled."""
    content = COMPRESS[compression](pickle.dumps(Fuse(tmp_path / "exploded")) + bytes(range(256)) * 9)
    (tmp_path / "model.bin").write_bytes(damage(content))
    with pytest.raises(UnreadableModel, match=said):
        skdeploy.load(tmp_path / "model.bin")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("outer", COMPRESSIONS)
def test_what_is_compressed_twice_is_refused(outer: str, tmp_path: Path) -> None:
    """joblib would unpack the inner stream, however large it is."""
    for inner in COMPRESSIONS:
        (tmp_path / "model.bin").write_bytes(COMPRESS[outer](COMPRESS[inner](pickle.dumps(1))))
        with pytest.raises(UnreadableModel, match="compressed twice"):
            skdeploy.load(tmp_path / "model.bin")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_stream_unpacks_to_a_bounded_size(compression: str) -> None:
    """One byte more than allowed is refused, and the bound itself is not."""
    content = COMPRESS[compression](bytes(100_000))
    assert unpack(content, most=100_000) == bytes(100_000)
    with pytest.raises(ValueError, match="more than 99,999 bytes"):
        unpack(content, most=99_999)


BOMB = """
import resource, sys, zlib, skdeploy
from pathlib import Path
squeeze = zlib.compressobj(9)
content = b"".join(squeeze.compress(bytes(2**24)) for _ in range(256)) + squeeze.flush()
path = Path(sys.argv[1])
path.write_bytes(content)
import skdeploy.model.pickled
resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, 3 * 2**30))
try:
    skdeploy.load(path)
except skdeploy.errors.UnreadableModel as error:
    print(error)
"""


def test_a_bomb_takes_no_memory(tmp_path: Path) -> None:
    """4 MB that unpack to 4 GB are refused by a process that may not have 3."""
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(tmp_path / "model.bin")], capture_output=True, text=True, check=True
    )
    assert re.search(r"unpacks to more than [0-9,]+ bytes", done.stdout)


@pytest.mark.parametrize(
    "end",
    [
        b"",
        b"SKDEPLOY",
        b"\n{}\n3SKDEPLOY",
        b"\n{}\n99999SKDEPLOY",
        b"\n{\n1SKDEPLOY",
        b'\n{"python": 3}\n13SKDEPLOY',
        b'\n{"python": "3"}\n15SKDEPLOY ',
        trailer({"python": "3" * 20_000}),
    ],
)
def test_what_is_no_trailer_says_no_versions(end: bytes) -> None:
    """A wrong length, other types, more bytes behind it, or too many: the pickle counts alone."""
    assert versions_in(pickle.dumps(1) + end) == {}


@pytest.mark.parametrize(
    "pickled", [b"cno_such_module\nScaler\n.", b"csklearn.base\nNoSuchClass\n.", b"\x80\x05X"]
)
def test_a_pickle_of_other_versions_that_fails_names_them(pickled: bytes, tmp_path: Path) -> None:
    """The message says which versions saved the file and which are here, and only those that differ."""
    saved = trailer(
        {"skdeploy": "9.9", "python": "2.7.18", "scikit-learn": sklearn.__version__, "processor": "x"}
    )
    (tmp_path / "model.bin").write_bytes(zlib.compress(pickled + saved))
    with pytest.raises(
        UnreadableModel, match=f"python 2.7.18 there, {platform.python_version()} here"
    ) as caught:
        skdeploy.load(tmp_path / "model.bin")
    assert f"{sklearn.__version__} there" not in str(caught.value)
    assert "9.9" not in str(caught.value)


def test_the_doctor_says_the_versions_of_what_cannot_be_loaded(regressor_file: Path, tmp_path: Path) -> None:
    """They are read without unpickling: of a good pickle, of a broken one, of an exported model."""
    (tmp_path / "broken.bin").write_bytes(zlib.compress(b"broken" + trailer({"python": "2.7.18"})))
    assert "saved with python 2.7.18" in command("doctor", str(tmp_path / "broken.bin")).stdout
    command("export", str(regressor_file), str(tmp_path / "model.skdeploy"))
    for path in (regressor_file, tmp_path / "model.skdeploy"):
        said = command("doctor", str(path)).stdout
        assert f"saved with skdeploy {skdeploy.__version__}, python {platform.python_version()}" in said
