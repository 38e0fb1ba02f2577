from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import command
from tests.stores import sha256


def test_a_good_file_is_well(regressor_file: Path, tmp_path: Path) -> None:
    """Every part is ok, the digest and the model are named, and the exit code is 0."""
    environment = {
        "SKDEPLOY_MODEL_SHA256": sha256(regressor_file.read_bytes()),
        "SKDEPLOY_MODEL_CACHE": str(tmp_path / "new"),
    }
    done = command("doctor", str(regressor_file), **environment)
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"ok    {part}" for part in ("file", "digest", "model", "cache")
    ]
    assert environment["SKDEPLOY_MODEL_SHA256"] in lines[1]
    assert "golden records predict" in lines[2]


def test_the_uri_may_come_from_the_settings(regressor_file: Path) -> None:
    """Without a URI the doctor examines SKDEPLOY_MODEL_URI."""
    assert command("doctor", SKDEPLOY_MODEL_URI=str(regressor_file)).exit_code == 0
    assert command("doctor", SKDEPLOY_MODEL_URI="none.bin").exit_code == 3


@pytest.mark.parametrize(
    ("uri", "environment", "part", "remedy"),
    [
        ("none.bin", {}, "file", "SKDEPLOY_MODEL_URI"),
        ("{file}", {"SKDEPLOY_MODEL_SHA256": "0" * 64}, "digest", "0" * 64),
        ("{file}", {"SKDEPLOY_MODEL_CACHE": "/proc/cache"}, "cache", "folder"),
        ("{file}", {"SKDEPLOY_ENGINE": "fast"}, "settings", "SKDEPLOY_ENGINE"),
        ("gs://bucket/m.bin", {}, "settings", "gcloud storage cp"),
        ("gopher://m", {}, "settings", "s3://bucket/key"),
        ("s3://AKIA4711:geheim4711@bucket/m.bin", {}, "settings", "AWS_ACCESS_KEY_ID"),
        (
            "models:/tree@champion",
            {"SKDEPLOY_MODEL_SHA256": "0" * 64},
            "settings",
            "Unset SKDEPLOY_MODEL_SHA256",
        ),
        ("{broken}", {}, "model", "cannot be unpickled"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(
    regressor_file: Path,
    tmp_path: Path,
    uri: str,
    environment: dict[str, str],
    part: str,
    remedy: str,
) -> None:
    """The part that is wrong comes last, with what to do; the exit code is 2 or 3; no credential is shown."""
    (tmp_path / "broken.bin").write_bytes(regressor_file.read_bytes()[:-9])
    where = uri.format(file=regressor_file, broken=tmp_path / "broken.bin")
    done = command("doctor", where, **environment)
    assert done.exit_code == (2 if part == "settings" else 3)
    said = done.stdout
    last = said[said.index("WRONG") :]
    assert last.startswith(f"WRONG {part}: ")
    assert remedy in last
    assert "4711" not in said
