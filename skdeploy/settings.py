"""Settings: one frozen object, read once from a mapping that the composition root hands in.

`SETTINGS` is the one table of name, default and meaning; web-service/README.md shows it, and a
test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skdeploy.variables import (
    Setting,
    flag,
    names,
    one_of,
    origins,
    patience,
    read_all,
    seconds,
    sha256,
    size,
    text,
    whole,
)

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "MODEL_URI",
        "model.bin",
        text,
        "where the model comes from: a path, file://, s3://bucket/key, models:/name@alias, "
        "models:/name/version or runs:/id/model",
    ),
    Setting("MODEL_SHA256", "", sha256, "refuse any other file, before it is unpickled"),
    Setting(
        "MODEL_CACHE",
        "",
        text,
        "a folder, of this service alone, that keeps the last good models for when their source is down",
    ),
    Setting(
        "SOURCE_TIMEOUT",
        "3",
        patience,
        "seconds that a registry or store has for an answer; it is asked twice",
    ),
    Setting(
        "ALLOW_UNVERIFIED",
        "0",
        flag,
        "1: load a file from the network although nobody says which digest it should have",
    ),
    Setting(
        "SKOPS_TRUSTED", "", names, "types that a model.skops may hold, beyond skops' own, commas between"
    ),
    Setting(
        "WATCH_SECONDS",
        "0",
        seconds,
        "seconds between looks at whether MODEL_URI names another model, which is then served; 0: never",
    ),
    Setting("ADMIN_TOKEN", "", text, "who sends it may have POST /admin/reload look at once; empty: nobody"),
    Setting(
        "API_KEYS_FILE",
        "",
        text,
        "a file of API keys, one of which every request but /health and /ready must bring; "
        "empty: none is asked for",
    ),
    Setting(
        "CORS_ORIGINS",
        "",
        origins,
        "web pages that may ask, by origin, such as https://app.example.com, commas between; "
        "*: all; empty: none",
    ),
    Setting(
        "STATE_DIR",
        "",
        text,
        "a folder for what the service's processes tell each other; empty: a temporary one",
    ),
    Setting(
        "ENGINE",
        "auto",
        one_of("auto", "onnx", "sklearn"),
        "how records are scored: auto, onnx or sklearn; auto is onnx where it is proved equal",
    ),
    Setting(
        "UNKNOWN_COLUMNS",
        "refuse",
        one_of("refuse", "ignore"),
        "what happens to a column that the model does not know: refuse or ignore",
    ),
    Setting("STRICT_CATEGORIES", "0", flag, "1: refuse every category not seen in training"),
    Setting("ID_FIELD", "id", text, "the key of a record that comes back with its prediction"),
    Setting("MAX_BODY", "10M", size, "the largest request body in bytes; K, M and G are understood"),
    Setting("MAX_RECORDS", "10000", whole(1), "the most records of one request"),
    Setting(
        "BATCH_RECORDS",
        "1000",
        whole(0, 1000),
        "the most records of several requests that are scored in one call; 0: each request alone",
    ),
    Setting(
        "EXPOSE_SCHEMA",
        "full",
        one_of("full", "minimal"),
        "minimal: categories, ranges and examples of the training data are not shown",
    ),
    Setting(
        "DRIFT_WINDOW",
        "10000",
        whole(0),
        "the last records of each process in which drift is looked for; 0: it is not looked for",
    ),
    Setting("BIND_ADDRESS", "127.0.0.1", text, "the address to listen on; 0.0.0.0 in the image"),
    Setting("PORT", "9696", whole(1, 65535), "the port to listen on"),
    Setting("WORKERS", "0", whole(0), "worker processes; 0: one per usable CPU"),
    Setting("THREADS", "16", whole(1), "threads of each worker"),
    Setting("KEEPALIVE", "5", whole(1), "seconds that an idle connection is kept open"),
    Setting(
        "CLIENT_TIMEOUT",
        "10",
        patience,
        "seconds for a request's head, without a further byte of its body, and for taking the answer",
    ),
    Setting(
        "MAX_CONNECTIONS",
        "4096",
        whole(1),
        "connections of a worker; beyond them the one that has been idle longest makes room",
    ),
    Setting(
        "MAX_WAITING",
        "100",
        whole(0),
        "requests of a worker that may wait for a thread; more are answered with 503 at once; 0: any number",
    ),
    Setting(
        "REQUEST_TIMEOUT",
        "30",
        patience,
        "seconds after its arrival in which a request must have come to the model; later: 503",
    ),
    Setting("METRICS", "1", flag, "0: no /metrics, and nothing is counted"),
    Setting("GRACEFUL_TIMEOUT", "30", whole(1), "seconds that SIGTERM leaves to requests under way"),
    Setting(
        "DRAIN_DELAY",
        "0",
        seconds,
        "seconds after SIGTERM in which requests are still taken while /ready says 503",
    ),
    Setting(
        "SKDEPLOY_BYPASS_HOOKS",
        "0",
        flag,
        "1: the event loop answers predictions although the Flask application has hooks or wrappers of your "
        "own, which then do not see them",
    ),
    Setting("ACCESS_LOG", "0", flag, "1: a line of JSON per request on standard output"),
    Setting("LOG_RECORDS", "0", flag, "1: with ACCESS_LOG, the records and the answer as well"),
    Setting("LOG_FORMAT", "text", one_of("text", "json"), "lines of the log on standard error: text or json"),
    Setting(
        "LOG_LEVEL",
        "info",
        one_of("debug", "info", "warning", "error"),
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
    api_keys_file: str
    cors_origins: tuple[str, ...]
    state_dir: str
    engine: str
    unknown_columns: str
    strict_categories: bool
    id_field: str
    max_body: int
    max_records: int
    batch_records: int
    expose_schema: str
    drift_window: int
    bind_address: str
    port: int
    workers: int
    threads: int
    keepalive: int
    client_timeout: float
    max_connections: int
    max_waiting: int
    request_timeout: float
    metrics: bool
    graceful_timeout: int
    drain_delay: float
    bypass_hooks: bool
    access_log: bool
    log_records: bool
    log_format: str
    log_level: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Settings:
        """Read the settings from `environ` (usually `os.environ`); an empty value is the default.

        Raises SettingsError naming the variable, its value and what it should be.
        """
        return cls(**read_all(SETTINGS, environ))
