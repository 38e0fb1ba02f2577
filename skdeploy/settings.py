"""Settings: one frozen object, read once from a mapping that the composition root hands in.

`SETTINGS` is the one table of name, default and meaning; web-service/README.md shows it, and a
test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skdeploy.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable: its name, its default as it would be written, how it is read, what it means."""

    name: str
    default: str
    parse: Callable[[str], Any]
    meaning: str


def _text(value: str) -> str:
    return value


def _flag(value: str) -> bool:
    if value not in ("0", "1"):
        raise ValueError("0 or 1")
    return value == "1"


def _whole(low: int, high: int = 10**9) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,10}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def _seconds(value: str) -> float:
    if not re.fullmatch(r"\d{1,10}(\.\d+)?", value, re.ASCII):
        raise ValueError("seconds, such as 10 or 0.5")
    return float(value)


def _patience(value: str) -> float:
    seconds = _seconds(value)
    if not seconds:
        raise ValueError("seconds above 0")
    return seconds


def _milliseconds(value: str) -> float:
    if not re.fullmatch(r"\d{1,3}(\.\d+)?", value, re.ASCII):
        raise ValueError("milliseconds below 1000, such as 2 or 0.5")
    return float(value)


def _size(value: str) -> int:
    match = re.fullmatch(r"(\d+)([KMG]?)", value, re.ASCII)
    if match is None or not int(match[1]):
        raise ValueError("a size in bytes above 0, such as 10485760 or 10M")
    factors = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
    return int(match[1]) * factors[match[2]]


def _sha256(value: str) -> str | None:
    if value and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("64 hexadecimal digits, as `sha256sum model.bin` prints them")
    return value.lower() or None


def _names(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(" or ".join(choices))
        return value

    return parse


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "MODEL_URI",
        "model.bin",
        _text,
        "where the model comes from: a path, file://, s3://bucket/key, models:/name@alias, "
        "models:/name/version or runs:/id/model",
    ),
    Setting("MODEL_SHA256", "", _sha256, "refuse any other file, before it is unpickled"),
    Setting(
        "MODEL_CACHE",
        "",
        _text,
        "a folder, of this service alone, that keeps the last good models for when their source is down",
    ),
    Setting(
        "SOURCE_TIMEOUT",
        "3",
        _patience,
        "seconds that a registry or store has for an answer; it is asked twice",
    ),
    Setting(
        "ALLOW_UNVERIFIED",
        "0",
        _flag,
        "1: load a file from the network although nobody says which digest it should have",
    ),
    Setting(
        "SKOPS_TRUSTED", "", _names, "types that a model.skops may hold, beyond skops' own, commas between"
    ),
    Setting(
        "WATCH_SECONDS",
        "0",
        _seconds,
        "seconds between looks at whether MODEL_URI names another model, which is then served; 0: never",
    ),
    Setting("ADMIN_TOKEN", "", _text, "who sends it may have POST /admin/reload look at once; empty: nobody"),
    Setting(
        "STATE_DIR",
        "",
        _text,
        "a folder for what the service's processes tell each other; empty: a temporary one",
    ),
    Setting(
        "ENGINE",
        "auto",
        _one_of("auto", "onnx", "sklearn"),
        "how records are scored: auto, onnx or sklearn; auto is onnx where it is proved equal",
    ),
    Setting(
        "UNKNOWN_COLUMNS",
        "refuse",
        _one_of("refuse", "ignore"),
        "what happens to a column that the model does not know: refuse or ignore",
    ),
    Setting("STRICT_CATEGORIES", "0", _flag, "1: refuse every category not seen in training"),
    Setting("ID_FIELD", "id", _text, "the key of a record that comes back with its prediction"),
    Setting("MAX_BODY", "10M", _size, "the largest request body in bytes; K, M and G are understood"),
    Setting("MAX_RECORDS", "10000", _whole(1), "the most records of one request"),
    Setting(
        "BATCH_RECORDS",
        "256",
        _whole(0),
        "the most records that the sklearn engine scores in one call for several requests; 0: each alone",
    ),
    Setting(
        "BATCH_WAIT_MS",
        "2",
        _milliseconds,
        "milliseconds that a request waits for others, at most, when some can be expected",
    ),
    Setting(
        "EXPOSE_SCHEMA",
        "full",
        _one_of("full", "minimal"),
        "minimal: categories, ranges and examples of the training data are not shown",
    ),
    Setting("BIND_ADDRESS", "127.0.0.1", _text, "the address to listen on; 0.0.0.0 in the image"),
    Setting("PORT", "9696", _whole(1, 65535), "the port to listen on"),
    Setting("WORKERS", "0", _whole(0), "worker processes; 0: one per usable CPU"),
    Setting("THREADS", "16", _whole(1), "threads of each worker"),
    Setting("KEEPALIVE", "5", _whole(1), "seconds that an idle connection is kept open"),
    Setting(
        "CLIENT_TIMEOUT",
        "10",
        _patience,
        "seconds in which a client must have sent its request, and then have taken the answer",
    ),
    Setting("GRACEFUL_TIMEOUT", "30", _whole(1), "seconds that SIGTERM leaves to requests under way"),
    Setting(
        "DRAIN_DELAY",
        "0",
        _seconds,
        "seconds after SIGTERM in which requests are still taken while /ready says 503",
    ),
    Setting("ACCESS_LOG", "0", _flag, "1: a line per request on standard output"),
    Setting(
        "LOG_LEVEL",
        "info",
        _one_of("debug", "info", "warning", "error"),
        "the least severe level that is logged: debug, info, warning or error",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values of `SETTINGS`, typed; the names are the variables' in lower case."""

    model_uri: str
    model_sha256: str | None
    model_cache: str
    source_timeout: float
    allow_unverified: bool
    skops_trusted: tuple[str, ...]
    watch_seconds: float
    admin_token: str = field(repr=False)
    state_dir: str
    engine: str
    unknown_columns: str
    strict_categories: bool
    id_field: str
    max_body: int
    max_records: int
    batch_records: int
    batch_wait_ms: float
    expose_schema: str
    bind_address: str
    port: int
    workers: int
    threads: int
    keepalive: int
    client_timeout: float
    graceful_timeout: int
    drain_delay: float
    access_log: bool
    log_level: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from `environ` (usually `os.environ`); an empty value is the default.

        Raises SettingsError naming the variable, its value and what it should be.
        """
        return cls(**{setting.name.lower(): _read(setting, environ) for setting in SETTINGS})


def _read(setting: Setting, environ: Mapping[str, str]) -> Any:
    value = environ.get(setting.name) or setting.default
    try:
        return setting.parse(value)
    except ValueError as error:
        raise SettingsError(
            f"{setting.name}={value!r} is not {error}. "
            f"Correct it, or unset it for the default ({setting.default!r})."
        ) from None
