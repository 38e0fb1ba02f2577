"""The command line in this process: flags, messages, exit codes."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import skdeploy
from skdeploy.cli import model_in
from skdeploy.config import WebSettings, declared
from skdeploy.errors import EXIT_CODES, SettingsError
from tests import pipelines
from tests.command import command
from tests.live import ROOT, free_port


def test_the_help_lists_the_exit_codes() -> None:
    """All commands have one table."""
    said = command("--help").stdout
    for code, meaning in EXIT_CODES.items():
        assert re.search(rf"^  {code} +{re.escape(meaning)}$", said, re.MULTILINE)


def test_every_setting_but_a_secret_is_a_flag() -> None:
    """A secret on a command line would be in the list of processes; the model is the argument."""
    flags = set(re.findall(r"^  (--[a-z0-9-]+)", command("serve", "--help").stdout, re.MULTILINE))
    assert flags == {setting.flag for setting in declared(WebSettings)} - {None, "--model-uri"}


def test_the_flags_stand_in_sections() -> None:
    """A section is a heading and the flags that belong together; each flag is in one of them."""
    said = command("serve", "--help").stdout
    sections = {setting.section for setting in declared(WebSettings)}
    assert len(sections) > 3
    assert sections <= {line.removesuffix(":") for line in said.splitlines()}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("serve", "--port", "abc"),
            "Invalid value for '--port': 'abc' is not a whole number from 1 to 65535.",
        ),
        (("serve", "--max-body", "ten"), "'ten' is not a size in bytes above 0, such as 10485760 or 10M."),
        (("serve", "--prot", "1"), "Did you mean '--port'?"),
        (("serve", "a.bin", "b.bin"), "unexpected extra argument"),
        (("predict",), "No such command"),
        (("doctor", "--engine", "x"), "No such option"),
        (("export", "model.bin"), "Missing argument"),
    ],
)
def test_a_wrong_command_line_ends_with_2(arguments: tuple[str, ...], said: str) -> None:
    """Before anything is loaded or bound; the message names the argument."""
    done = command(*arguments)
    assert done.exit_code == 2
    assert said in done.stderr


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (("serve", "model.bin"), "uvloop", "serve"),
        (("serve", "model.bin"), "flask", "serve"),
        (("serve", "model.bin"), "gunicorn", "serve"),
        (("serve", "model.bin"), "joblib", "serve"),
        (("key", "backend"), "click", "serve"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(
    arguments: tuple[str, ...], missing: str, extra: str
) -> None:
    """There is no traceback, and the command to install it can be copied."""
    code = f"import sys; sys.modules[{missing!r}] = None; from skdeploy.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, *(["--port", str(free_port())] * (arguments[0] == "serve"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert f"{missing} is not installed" in done.stderr
    assert f"pip install 'skdeploy[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_saving_names_what_is_missing() -> None:
    """Of the package alone, without the extras, `skdeploy.save` says what it needs."""
    code = "import sys; sys.modules['pandas'] = None; import skdeploy; skdeploy.save"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "pandas is not installed: run pip install 'skdeploy[serve]'" in done.stderr


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "skl2onnx"])
def test_the_reason_for_scikit_learn_names_what_is_missing(missing: str) -> None:
    """Where a package of the compiled engine is missing, the fallback says how to install it."""
    code = f"import sys; sys.modules[{missing!r}] = None; import skdeploy\n"
    code += "print(skdeploy.load('model.bin').fallback)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{missing} is not installed: run pip install 'skdeploy[serve]'"


def test_a_folder_of_one_model_names_it(tmp_path: Path) -> None:
    """As SageMaker fills /opt/ml/model; with none or several, the message asks for one."""
    (tmp_path / "requirements.txt").touch()
    with pytest.raises(SettingsError, match="holds no model"):
        model_in(tmp_path)
    (tmp_path / "a.bin").touch()
    assert model_in(tmp_path) == str(tmp_path / "a.bin")
    (tmp_path / "b.skdeploy").touch()
    with pytest.raises(SettingsError, match=r"holds several models.*a\.bin"):
        model_in(tmp_path)


def test_the_exit_codes_are_documented() -> None:
    """web-service/README.md has the table that the help shows."""
    document = (ROOT / "web-service" / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", document, re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in rows] == list(EXIT_CODES.items())


def test_without_a_model_the_folder_of_sagemaker_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless a variable names a model; it is not guessed which of several is meant."""
    monkeypatch.setattr("skdeploy.cli.MODEL_FOLDER", tmp_path)
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).touch()
    assert "holds several models" in command("serve", SKDEPLOY_MODEL_URI="").stderr
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert "is taken" in command("serve", SKDEPLOY_MODEL_URI="a.bin", PORT=port).stderr


def test_other_commands_end_with_the_tables_codes(tmp_path: Path) -> None:
    """1: it failed. 2: wrongly called. 3: no model. 4: what was read or written cannot be used."""
    pipeline, X, y = pipelines.own_transformer_and_text_length()
    skdeploy.save(pipeline, X, y, tmp_path / "own.bin")
    exported = str(tmp_path / "own.skdeploy")
    assert command("export", str(tmp_path / "own.bin"), exported).exit_code == 1
    assert command("export", "gs://bucket/own.bin", exported).exit_code == 2
    assert command("export", str(tmp_path / "none.bin"), exported).exit_code == 3
    unwritable = command("key", "backend", "--file", "/proc/none/api-keys")
    assert unwritable.exit_code == 4
    assert "There is no folder /proc/none:" in unwritable.stderr
    assert "skd_" not in unwritable.output
