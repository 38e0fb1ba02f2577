"""The zip for AWS Lambda, of wheels that pip finds in a folder."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from skdeploy.errors import ExportError
from skdeploy.model.exporting import export
from skdeploy.packaging import PACKAGES, Sizes, Target, build, main, requirements
from tests.stores import sha256

MODEL = b"an exported model"
HERE = Target("3.13", (2, 34))


def wheel(folder: Path, name: str, tag: str = "py3-none-any") -> str:
    """A wheel with one module, a script and its metadata; its hash as a lock has it."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/__init__.py": b"ONE = 1\n",
        f"{name}-1.0.data/scripts/{name}": b"#!python\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    digest = {one: base64.urlsafe_b64encode(hashlib.sha256(files[one]).digest()) for one in files}
    record = [f"{one},sha256={digest[one].decode().rstrip('=')},{len(files[one])}" for one in files]
    files[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,"]).encode()
    path = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for one, content in files.items():
            archive.writestr(one, content)
    return f"sha256:{sha256(path.read_bytes())}"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a lock, whose wheels are the only ones that pip knows."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    lock = {name: {"version": "==1.0", "hashes": [wheel(wheels, name)]} for name in PACKAGES}
    (tmp_path / "Pipfile.lock").write_text(json.dumps({"default": lock}))
    for name in ("skdeploy/web/app.py", "skdeploy/stream/process.py", "streaming/lambda_function.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    return tmp_path


def test_it_holds_what_scores_and_nothing_else(root: Path) -> None:
    """The wheels' packages, the stream door and the model; no scripts, and no web service."""
    sizes = build(MODEL, root / "out" / "lambda.zip", root, HERE)
    with zipfile.ZipFile(root / "out" / "lambda.zip") as archive:
        infos = archive.infolist()
    names = [info.filename for info in infos if ".dist-info" not in info.filename]
    assert names == [
        "model.skdeploy",
        "msgspec/__init__.py",
        "numpy/__init__.py",
        "onnxruntime/__init__.py",
        "skdeploy/stream/process.py",
        "streaming/lambda_function.py",
    ]
    assert sizes == Sizes(sum(info.file_size for info in infos), (root / "out" / "lambda.zip").stat().st_size)
    assert {info.external_attr >> 16 for info in infos} == {0o100644}


def test_an_exported_model_is_packed_as_it_is(root: Path, regressor_file: Path) -> None:
    """A pickle is exported first, with synthetic golden records; an exported model stays as it is."""
    content, file = regressor_file.read_bytes(), root / "tree.skdeploy"
    file.write_bytes(export(content, digest=sha256(content), where="tree.bin", golden="real")[0])
    synthetic = export(content, digest=sha256(content), where="tree.bin")[0]
    for model, expected in ((regressor_file, synthetic), (file, file.read_bytes())):
        assert main(["--model", str(model), "--output", str(root / "lambda.zip")], {}, root) == 0
        with zipfile.ZipFile(root / "lambda.zip") as archive:
            assert archive.read("model.skdeploy") == expected


def test_the_same_inputs_make_the_same_bytes(root: Path) -> None:
    """Neither the time nor the order of files on the disk is in it."""
    for name in ("one.zip", "two.zip"):
        build(MODEL, root / name, root, HERE)
        (root / "skdeploy/stream/process.py").touch()
    assert (root / "one.zip").read_bytes() == (root / "two.zip").read_bytes()


def test_a_wheel_that_the_lock_does_not_name_is_refused(root: Path) -> None:
    """Another file of the same version is not packed."""
    lock = json.loads((root / "Pipfile.lock").read_text())
    lock["default"]["numpy"]["hashes"] = ["sha256:" + "0" * 64]
    (root / "Pipfile.lock").write_text(json.dumps(lock))
    with pytest.raises(ExportError, match=r"(?s)no wheels.*HASHES"):
        build(MODEL, root / "lambda.zip", root, HERE)
    assert not (root / "lambda.zip").exists()


def test_a_wheel_for_a_newer_system_is_refused(root: Path) -> None:
    """What needs a newer C library than Lambda's is not packed: it would fail there."""
    (root / "wheels" / "numpy-1.0-py3-none-any.whl").unlink()
    lock = json.loads((root / "Pipfile.lock").read_text())
    lock["default"]["numpy"]["hashes"] = [wheel(root / "wheels", "numpy", "py3-none-manylinux_2_35_x86_64")]
    (root / "Pipfile.lock").write_text(json.dumps(lock))
    with pytest.raises(ExportError, match="no wheels"):
        build(MODEL, root / "lambda.zip", root, HERE)
    build(MODEL, root / "lambda.zip", root, Target("3.13", (2, 35)))


def test_what_lambda_does_not_take_is_not_written(root: Path) -> None:
    """Over the limit, unpacked, both sizes are said and the container named."""
    with pytest.raises(ExportError, match=r"Lambda takes 500\. Deploy the container"):
        build(MODEL, root / "lambda.zip", root, HERE, most=500)
    assert not (root / "lambda.zip").exists()


def test_a_runtime_on_an_old_system_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """AWS's Python 3.11 has a C library that numpy's wheels do not run with."""
    assert main(["--python", "3.11"], {}) == 1
    assert "Amazon Linux 2" in capsys.readouterr().err
    assert main(["--python", "three"], {}) == 2
    assert main([], {"SKDEPLOY_ENGINE": "fast"}) == 2


def test_the_locked_versions_are_asked_for() -> None:
    """Each package has the lock's version and its hashes, and nothing else is asked for."""
    lines = requirements(Path("Pipfile.lock")).splitlines()
    assert [line.split("==")[0] for line in lines] == list(PACKAGES)
    assert all("--hash=sha256:" in line for line in lines)
