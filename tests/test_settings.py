from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from skdeploy.batch.settings import BATCH_SETTINGS, BatchSettings
from skdeploy.batch.summary import MEANINGS
from skdeploy.errors import SettingsError
from skdeploy.settings import SETTINGS, Settings

ROOT = Path(__file__).parent.parent


def test_defaults_are_what_the_table_says() -> None:
    """Without variables every setting has its default, an empty variable counts as none."""
    settings = Settings.from_env({"PORT": ""})
    assert settings.port == 9696
    assert settings.max_body == 10 * 1024 * 1024
    assert settings.model_sha256 is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "abc"),
        ("PORT", "70000"),
        ("MAX_BODY", "ten"),
        ("MAX_BODY", "1T"),
        ("MODEL_SHA256", "abc"),
        ("STRICT_CATEGORIES", "yes"),
        ("UNKNOWN_COLUMNS", "drop"),
        ("THREADS", "0"),
        ("CLIENT_TIMEOUT", "0"),
        ("MAX_BODY", "0"),
        ("MAX_RECORDS", "0"),
        ("WORKERS", "-1"),
        ("CLIENT_TIMEOUT", "1e3"),
        ("BATCH_RECORDS", "-1"),
        ("BATCH_RECORDS", "1001"),
        ("MAX_CONNECTIONS", "0"),
        ("SKDEPLOY_BYPASS_HOOKS", "yes"),
        ("EXPOSE_SCHEMA", "none"),
        ("LOG_LEVEL", "INFO"),
        ("LOG_FORMAT", "xml"),
        ("CORS_ORIGINS", "*,https://a.example"),
        ("CORS_ORIGINS", "https://a.example/"),
        ("CORS_ORIGINS", "a.example"),
        ("CORS_ORIGINS", "null"),
        ("SOURCE_TIMEOUT", "0"),
        ("ALLOW_UNVERIFIED", "true"),
    ],
)
def test_a_bad_value_is_named_with_its_remedy(name: str, value: str) -> None:
    """The message names variable, value and what it should be."""
    with pytest.raises(SettingsError, match=re.escape(f"{name}={value!r} is not ")):
        Settings.from_env({name: value})


def test_sizes_and_digests_are_read() -> None:
    """K, M and G are powers of 1024; a digest's case does not matter."""
    settings = Settings.from_env({"MAX_BODY": "2K", "MODEL_SHA256": "AB" * 32})
    assert settings.max_body == 2048
    assert settings.model_sha256 == "ab" * 32


def test_every_setting_is_documented_with_its_default() -> None:
    """The table in web-service/README.md is SETTINGS, row by row."""
    document = (ROOT / "web-service" / "README.md").read_text()
    rows = re.findall(r"^\| `[A-Z_0-9]+` \|.*\|$", document, re.MULTILINE)
    assert rows == [
        f"| `{setting.name}` | {f'`{setting.default}`' if setting.default else ''} | {setting.meaning} |"
        for setting in SETTINGS
    ]


def test_every_batch_setting_is_documented_with_its_default() -> None:
    """The table in batch/README.md is BATCH_SETTINGS, row by row."""
    document = (ROOT / "batch" / "README.md").read_text()
    rows = re.findall(r"^\| `[A-Z_0-9]+` \|.*\|$", document, re.MULTILINE)
    assert rows == [
        f"| `{setting.name}` | {f'`{setting.default}`' if setting.default else ''} | {setting.meaning} |"
        for setting in BATCH_SETTINGS
    ]


def test_every_batch_setting_has_a_field() -> None:
    """BatchSettings and its table name the same variables, in the same order."""
    assert [field.name.upper() for field in dataclasses.fields(BatchSettings)] == [
        setting.name for setting in BATCH_SETTINGS
    ]


def test_every_exit_code_is_documented() -> None:
    """The table in batch/README.md is what the command line's own help says."""
    document = (ROOT / "batch" / "README.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", document, re.MULTILINE)
    assert [(int(code), meaning) for code, meaning in rows] == list(MEANINGS.items())
