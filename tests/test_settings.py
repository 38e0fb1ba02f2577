"""Settings: declarations, what is read from variables, what is refused, and the documents' tables."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from skdeploy.batch.summary import MEANINGS
from skdeploy.config import (
    DECLARED,
    BatchSettings,
    EventSettings,
    KafkaSettings,
    KinesisConsumerSettings,
    LambdaSettings,
    LogSettings,
    ModelSettings,
    ReplaySettings,
    WebSettings,
    declared,
)
from skdeploy.errors import SettingsError

ROOT = Path(__file__).parent.parent
DOORS: dict[type[LogSettings], dict[str, str]] = {
    WebSettings: {},
    BatchSettings: {
        "SKDEPLOY_INPUT_URL": "in",
        "SKDEPLOY_KEY_COLUMNS": "key",
        "SKDEPLOY_TIME_COLUMN": "at",
    },
    KafkaSettings: {},
    ReplaySettings: {},
    LambdaSettings: {"SKDEPLOY_OUTPUT_STREAM": "out", "SKDEPLOY_DEAD_LETTER_STREAM": "dead"},
    KinesisConsumerSettings: {
        "SKDEPLOY_INPUT_STREAM": "in",
        "SKDEPLOY_OUTPUT_STREAM": "out",
        "SKDEPLOY_DEAD_LETTER_STREAM": "dead",
        "SKDEPLOY_CHECKPOINT_TABLE": "table",
    },
}
# What Kubernetes sets for Services called skdeploy, skdeploy-metrics and skdeploy-model-uri.
SERVICE_LINKS = {
    "SKDEPLOY_SERVICE_HOST": "10.0.0.1",
    "SKDEPLOY_SERVICE_PORT": "9696",
    "SKDEPLOY_SERVICE_PORT_HTTP": "9696",
    "SKDEPLOY_PORT": "tcp://10.0.0.1:9696",
    "SKDEPLOY_PORT_9696_TCP": "tcp://10.0.0.1:9696",
    "SKDEPLOY_PORT_9696_TCP_PROTO": "tcp",
    "SKDEPLOY_PORT_9696_TCP_PORT": "9696",
    "SKDEPLOY_PORT_9696_TCP_ADDR": "10.0.0.1",
    "SKDEPLOY_METRICS_SERVICE_HOST": "10.0.0.2",
    "SKDEPLOY_METRICS_SERVICE_PORT": "9697",
    "SKDEPLOY_METRICS_PORT": "tcp://10.0.0.2:9697",
    "SKDEPLOY_METRICS_PORT_9697_TCP_ADDR": "10.0.0.2",
    "SKDEPLOY_MODEL_URI_SERVICE_HOST": "10.0.0.3",
    "SKDEPLOY_MODEL_URI_PORT_53_UDP": "udp://10.0.0.3:53",
}

doors = pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)


def test_defaults_are_what_the_declarations_say() -> None:
    """Without variables every setting has its default, an empty variable counts as none."""
    settings = WebSettings.from_env({"PORT": "", "SKDEPLOY_MAX_BODY": ""})
    assert settings == WebSettings()
    assert settings.port == 9696
    assert settings.max_body == 10 * 1024 * 1024
    assert settings.model_sha256 is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "abc"),
        ("PORT", "70000"),
        ("PORT", "tcp://10.0.0.1:80"),
        ("SKDEPLOY_MAX_BODY", "ten"),
        ("SKDEPLOY_MAX_BODY", "1T"),
        ("SKDEPLOY_MODEL_SHA256", "abc"),
        ("SKDEPLOY_STRICT_CATEGORIES", "yes"),
        ("SKDEPLOY_UNKNOWN_COLUMNS", "drop"),
        ("SKDEPLOY_THREADS", "0"),
        ("SKDEPLOY_CLIENT_TIMEOUT", "0"),
        ("SKDEPLOY_MAX_BODY", "0"),
        ("SKDEPLOY_MAX_RECORDS", "0"),
        ("WEB_CONCURRENCY", "-1"),
        ("SKDEPLOY_CLIENT_TIMEOUT", "1e3"),
        ("SKDEPLOY_BATCH_RECORDS", "-1"),
        ("SKDEPLOY_BATCH_RECORDS", "1001"),
        ("SKDEPLOY_BYPASS_HOOKS", "yes"),
        ("SKDEPLOY_EXPOSE_SCHEMA", "none"),
        ("SKDEPLOY_LOG_LEVEL", "loud"),
        ("SKDEPLOY_LOG_FORMAT", "xml"),
        ("SKDEPLOY_CORS_ORIGINS", "*,https://a.example"),
        ("SKDEPLOY_CORS_ORIGINS", "https://a.example/"),
        ("SKDEPLOY_CORS_ORIGINS", "a.example"),
        ("SKDEPLOY_CORS_ORIGINS", "null"),
        ("SKDEPLOY_ALLOW_UNVERIFIED", "true"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(name: str, value: str) -> None:
    """The message names variable, value and what it should be."""
    with pytest.raises(SettingsError, match=re.escape(f"{name}={value!r} is not ")):
        WebSettings.from_env({name: value})


def test_sizes_and_digests_are_read() -> None:
    """K, M and G are powers of 1024; a digest's case does not matter."""
    settings = WebSettings.from_env({"SKDEPLOY_MAX_BODY": "2K", "SKDEPLOY_MODEL_SHA256": "AB" * 32})
    assert settings.max_body == 2048
    assert settings.model_sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("value", "level"), [("INFO", "info"), ("Warn", "warning"), ("WARNING", "warning"), ("debug", "debug")]
)
def test_a_log_level_is_read_in_any_case(value: str, level: str) -> None:
    """As other programs write it; warn is warning."""
    assert LogSettings.from_env({"SKDEPLOY_LOG_LEVEL": value}).log_level == level


@doors
def test_one_file_of_variables_serves_all_doors(door: type[LogSettings]) -> None:
    """A door does not look at settings of others, even where their values are wrong."""
    others = dict.fromkeys(DECLARED, "neither a number nor a URL") | dict.fromkeys(DOORS[door], "")
    own = {setting.variable: "" for setting in declared(door)}
    assert door.from_env(others | own | DOORS[door]) == door.from_env(DOORS[door])


@doors
def test_what_kubernetes_sets_for_services_is_ignored(door: type[LogSettings]) -> None:
    """A Service of whatever name in the namespace stops no door, and changes no setting."""
    assert door.from_env(SERVICE_LINKS | DOORS[door]) == door.from_env(DOORS[door])


def test_a_port_of_another_stops_no_job_and_no_consumer() -> None:
    """PORT is the web service's; METRICS_PORT, as a Service called metrics sets it, is nobody's."""
    environ = {"PORT": "tcp://10.0.0.1:80", "METRICS_PORT": "tcp://10.0.0.1:9697"}
    job = DOORS[BatchSettings]
    assert BatchSettings.from_env(environ | job) == BatchSettings.from_env(job)
    assert KafkaSettings.from_env(environ) == KafkaSettings()


def test_no_setting_has_a_name_that_kubernetes_sets() -> None:
    """A Service called skdeploy, or skdeploy- and anything, cannot set one."""
    link = re.compile(r"SKDEPLOY_(\w+_)?(HOST|PORT|SERVICE_\w+|PORT_\w+)")
    assert not list(filter(link.fullmatch, DECLARED))


@doors
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SKDEPLOY_MODEL_URL", "SKDEPLOY_MODEL_URI"),
        ("SKDEPLOY_MAX_REJECTS", "SKDEPLOY_MAX_REJECTED"),
        ("SKDEPLOY_ADMIN_TOKEN_FIEL", "SKDEPLOY_ADMIN_TOKEN_FILE"),
        ("SKDEPLOY_PORT", "PORT"),
        ("SKDEPLOY_WORKERS", "WEB_CONCURRENCY"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(
    door: type[LogSettings], name: str, meant: str
) -> None:
    """A typo is not silently a default, at any door."""
    with pytest.raises(SettingsError, match=f"^{name} is not a setting: did you mean {meant}\\?"):
        door.from_env({name: "1"} | DOORS[door])


def test_a_name_like_no_setting_is_refused() -> None:
    """Without a guess."""
    with pytest.raises(
        SettingsError, match=r"^SKDEPLOY_QQQQ is not a setting\. Correct the name, or unset it"
    ):
        WebSettings.from_env({"SKDEPLOY_QQQQ": "1"})


def test_names_without_the_prefix_are_not_read() -> None:
    """They are anybody's."""
    bare = {setting.variable.removeprefix("SKDEPLOY_"): "x" for setting in DECLARED.values()}
    bare |= {"PORT": "", "WEB_CONCURRENCY": ""}
    assert WebSettings.from_env(bare) == WebSettings()


SECRETS = [setting for setting in DECLARED.values() if setting.secret]


@pytest.mark.parametrize("setting", SECRETS, ids=lambda setting: setting.name)
def test_a_secret_is_in_no_repr_and_has_no_flag(setting: object) -> None:
    """Neither the settings' repr nor the list of processes shows it."""
    name, variable = setting.name, setting.variable  # type: ignore[attr-defined]
    door = next(door for door in DOORS if variable in {own.variable for own in declared(door)})
    settings = door.from_env({**DOORS[door], variable: "open sesame"})
    assert getattr(settings, name) == "open sesame"
    assert "sesame" not in repr(settings)
    assert setting.flag is None  # type: ignore[attr-defined]


def test_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    """SKDEPLOY_ADMIN_TOKEN_FILE names it; the line's end is not part of it."""
    file = tmp_path / "token"
    file.write_text("open sesame\n")
    assert WebSettings.from_env({"SKDEPLOY_ADMIN_TOKEN_FILE": str(file)}).admin_token == "open sesame"


@pytest.mark.parametrize(
    ("content", "more", "said"),
    [
        (None, {}, "cannot be read: No such file or directory"),
        (b" \n", {}, "is empty"),
        (b"\xff", {}, "cannot be read: it is not UTF-8"),
        (b"x", {"SKDEPLOY_ADMIN_TOKEN": "sesame"}, "are both set: unset one"),
    ],
)
def test_a_secrets_file_that_is_no_help_is_refused(
    tmp_path: Path, content: bytes | None, more: Mapping[str, str], said: str
) -> None:
    """The message names the variable, and no secret."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=f"SKDEPLOY_ADMIN_TOKEN_FILE.* {said}") as raised:
        WebSettings.from_env({"SKDEPLOY_ADMIN_TOKEN_FILE": str(file), **more})
    assert "sesame" not in str(raised.value)


def test_flags_are_named_as_the_settings() -> None:
    """Also where the variable has another name."""
    assert DECLARED["SKDEPLOY_MAX_BODY"].flag == "--max-body"
    assert DECLARED["PORT"].flag == "--port"
    assert DECLARED["WEB_CONCURRENCY"].flag == "--workers"


@pytest.mark.parametrize(
    ("document", "door", "elsewhere"),
    [
        ("web-service/README.md", WebSettings, ()),
        ("batch/README.md", BatchSettings, (ModelSettings,)),
        ("streaming/README.md", KafkaSettings, (WebSettings,)),
        ("docs/lambda.md", LambdaSettings, (WebSettings, EventSettings)),
    ],
)
def test_every_setting_is_documented_with_its_default(
    document: str, door: type[LogSettings], elsewhere: tuple[type[LogSettings], ...]
) -> None:
    """The document's table is what the door declares, row by row, less what other tables have."""
    rows = re.findall(r"^\| `[A-Z_0-9]+` \|.*\|$", (ROOT / document).read_text(), re.MULTILINE)
    others = {setting.name for other in elsewhere for setting in declared(other)}
    assert rows == [setting.row for setting in declared(door) if setting.name not in others]


def test_every_exit_code_is_documented() -> None:
    """The table in batch/README.md is what the command line's own help says."""
    document = (ROOT / "batch" / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", document, re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in rows] == list(MEANINGS.items())


@pytest.mark.parametrize(
    "command",
    [
        "batch.score --interval daily --latest",
        "batch.schedule",
        "streaming.consume --topics a --output b --group c",
        "streaming.consume_kinesis --stream a --output b --dead-letters c --table ddd",
        "streaming.replay --all --dead-letters a",
        "streaming.package",
        "skdeploy doctor",
        "skdeploy serve",
        "gunicorn -c web-service/gunicorn.conf.py predict:app",
    ],
)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SKDEPLOY_LOG_LEVEL", "SKDEPLOY_LOG_LEVEL='loud' is not debug, info, warning or error"),
        ("SKDEPLOY_MODEL_URL", "SKDEPLOY_MODEL_URL is not a setting: did you mean SKDEPLOY_MODEL_URI?"),
    ],
)
def test_a_wrong_setting_ends_every_command_with_2(command: str, name: str, said: str) -> None:
    """With one line that says what is wrong, and no traceback."""
    done = subprocess.run(
        [sys.executable, "-m", *command.split()],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], name: "loud"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    assert said in done.stdout + done.stderr
