from __future__ import annotations

from pathlib import Path

import pytest

from skdeploy.__main__ import main
from tests.stores import sha256


def test_a_good_file_is_well(
    regressor_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every part is ok, the digest and the model are named, and the exit code is 0."""
    environment = {"MODEL_SHA256": sha256(regressor_file.read_bytes()), "MODEL_CACHE": str(tmp_path / "new")}
    assert main(["doctor", str(regressor_file)], environment) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"ok    {part}" for part in ("file", "digest", "model", "cache")
    ]
    assert environment["MODEL_SHA256"] in lines[1]
    assert "golden records predict" in lines[2]


def test_the_uri_may_come_from_the_settings(regressor_file: Path) -> None:
    """Without a URI the doctor examines MODEL_URI."""
    assert main(["doctor"], {"MODEL_URI": str(regressor_file)}) == 0
    assert main(["doctor"], {"MODEL_URI": "none.bin"}) == 1


@pytest.mark.parametrize(
    ("uri", "environment", "part", "remedy"),
    [
        ("none.bin", {}, "file", "MODEL_URI"),
        ("{file}", {"MODEL_SHA256": "0" * 64}, "digest", "0" * 64),
        ("{file}", {"MODEL_CACHE": "/proc/cache"}, "cache", "folder"),
        ("{file}", {"PORT": "abc"}, "settings", "PORT"),
        ("gopher://m", {}, "settings", "s3://bucket/key"),
        ("s3://AKIA4711:geheim4711@bucket/m.bin", {}, "settings", "AWS_ACCESS_KEY_ID"),
        ("models:/tree@champion", {"MODEL_SHA256": "0" * 64}, "settings", "Unset MODEL_SHA256"),
        ("{broken}", {}, "model", "cannot be unpickled"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    regressor_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    uri: str,
    environment: dict[str, str],
    part: str,
    remedy: str,
) -> None:
    """The part that is wrong comes last, with what to do; the exit code is 1; no credential is shown."""
    (tmp_path / "broken.bin").write_bytes(regressor_file.read_bytes()[:-9])
    where = uri.format(file=regressor_file, broken=tmp_path / "broken.bin")
    assert main(["doctor", where], environment) == 1
    said = capsys.readouterr().out
    last = said[said.index("WRONG") :]
    assert last.startswith(f"WRONG {part}: ")
    assert remedy in last
    assert "4711" not in said
