"""Settings: each is declared once, as a field of the class that a door reads.

The environment variable, the command's flag, the row of the documentation and the check are made from it.

    LogSettings              every door
    └── ModelSettings        every door that loads a model
        ├── WebSettings
        ├── BatchSettings
        └── EventSettings    what all consumers of events share
            ├── ConsumerSettings
            │   ├── KafkaSettings
            │   └── KinesisConsumerSettings
            └── LambdaSettings

A door reads its own settings and no others, so that one file of variables serves all doors; `DECLARED` holds
the settings of all. A variable that begins with SKDEPLOY_ and is declared nowhere is an error.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from skdeploy.errors import SettingsError

_PREFIX = "SKDEPLOY_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, as its declaration says.

    name           the attribute of the settings: max_body
    default        as it would be written in the variable
    parse          gives the typed value, or raises ValueError saying what the value should be
    meaning        one line for the documentation and the flag's help
    section        of a command's help: the summary of the class that declares it
    own_variable   the environment variable, where it is not SKDEPLOY_ and the name
    secret         the value is in no message and no repr; there is no flag, which `ps` would show, but a
                   second variable that ends in _FILE and names a file with the value
    """

    name: str
    default: str
    parse: Callable[[str], Any]
    meaning: str
    section: str
    own_variable: str
    secret: bool

    @property
    def variable(self) -> str:
        """The environment variable, such as SKDEPLOY_MAX_BODY."""
        return self.own_variable or _PREFIX + self.name.upper()

    @property
    def flag(self) -> str | None:
        """The option of the command line, such as --max-body; None for a secret."""
        return None if self.secret else f"--{self.name.replace('_', '-')}"

    @property
    def row(self) -> str:
        """The row of a Markdown table: variable, default, meaning."""
        default = f"`{self.default}`" if self.default else ""
        file = f"; `{self.variable}_FILE`: a file that holds it" if self.secret else ""
        return f"| `{self.variable}` | {default} | {self.meaning}{file} |"

    def read(self, environ: Mapping[str, str]) -> Any:
        """The typed value; an empty variable is the default.

        Raises SettingsError naming the variable, its value unless it is secret, and what it should be.
        """
        value = environ.get(self.variable) or ""
        if self.secret and (path := environ.get(f"{self.variable}_FILE")):
            if value:
                raise SettingsError(
                    f"{self.variable} and {self.variable}_FILE are both set: unset one of them."
                )
            value = _secret(f"{self.variable}_FILE", path)
        try:
            return self.parse(value or self.default)
        except ValueError as error:
            shown = self.variable if self.secret else f"{self.variable}={value!r}"
            remedy = f"unset it for the default ({self.default!r})" if self.default else "unset it"
            raise SettingsError(f"{shown} is not {error}. Correct it, or {remedy}.") from None


def _secret(variable: str, path: str) -> str:
    try:
        value = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{variable}={path!r} cannot be read: {reason}.") from None
    if not value:
        raise SettingsError(f"{variable}={path!r} is empty: write the value into the file.")
    return value


# Values


def text(value: str) -> str:
    """Any text."""
    return value


def flag(value: str) -> bool:
    """0 or 1."""
    if value not in ("0", "1"):
        raise ValueError("0 or 1")
    return value == "1"


def whole(low: int, high: int = 10**9) -> Callable[[str], int]:
    """A whole number from `low` to `high`."""

    def parse(value: str) -> int:
        if not re.fullmatch(r"\d{1,10}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(value)

    return parse


def share(value: str) -> float:
    """A number from 0 to 1."""
    if not re.fullmatch(r"\d(\.\d+)?", value, re.ASCII) or not float(value) <= 1:
        raise ValueError("a share from 0 to 1, such as 0.05")
    return float(value)


def seconds(value: str) -> float:
    """Seconds, 0 included."""
    if not re.fullmatch(r"\d{1,10}(\.\d+)?", value, re.ASCII):
        raise ValueError("seconds, such as 10 or 0.5")
    return float(value)


def timeout(value: str) -> float:
    """Seconds above 0."""
    number = seconds(value)
    if not number:
        raise ValueError("seconds above 0")
    return number


def size(value: str) -> int:
    """Bytes, with K, M or G."""
    match = re.fullmatch(r"(\d+)([KMG]?)", value, re.ASCII)
    if match is None or not int(match[1]):
        raise ValueError("a size in bytes above 0, such as 10485760 or 10M")
    factors = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
    return int(match[1]) * factors[match[2]]


def sha256(value: str) -> str | None:
    """A SHA-256 in hexadecimal digits; None if empty."""
    if value and not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("64 hexadecimal digits, as `sha256sum model.bin` prints them")
    return value.lower() or None


def names(value: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name.strip() for name in value.split(",") if name.strip())


def origins(value: str) -> tuple[str, ...]:
    """Origins of web pages with commas between them, or `*` alone."""
    found = names(value)
    if found == ("*",):
        return found
    for origin in found:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?", origin):
            raise ValueError(
                "origins as browsers send them, such as https://app.example.com, commas between, or * alone"
            )
    return found


def identifier(shortest: int, longest: int) -> Callable[[str], str]:
    """A name as brokers take it, of so many characters; or nothing."""

    def parse(value: str) -> str:
        if value and not re.fullmatch(rf"[A-Za-z0-9._-]{{{shortest},{longest}}}", value, re.ASCII):
            raise ValueError(
                f"a name of {shortest} to {longest} characters: letters, digits, '.', '_' and '-'"
            )
        return value

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """One of `choices`."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(" or ".join(filter(None, choices)))
        return value

    return parse


def log_level(value: str) -> str:
    """debug, info, warning or error, in any case; warn is warning."""
    level = value.lower()
    if level not in ("debug", "info", "warn", "warning", "error"):
        raise ValueError("debug, info, warning or error")
    return "warning" if level == "warn" else level


def time_zone(value: str) -> ZoneInfo | None:
    """A time zone by its name; None if empty."""
    try:
        return ZoneInfo(value) if value else None
    except (KeyError, ValueError, OSError):
        raise ValueError("a time zone's name, such as America/New_York") from None


def moment(value: str) -> str | None:
    """A date or date-time in ISO format; None if empty."""
    try:
        return datetime.fromisoformat(value).isoformat() if value else None
    except ValueError:
        raise ValueError("a date or date-time, such as 2013-11-05") from None


# As Kafka and Amazon take the names of topics, streams and tables.
_topic, _stream, _table = identifier(1, 249), identifier(1, 128), identifier(3, 255)


# Declarations


def setting(
    default: str,
    parse: Callable[[str], Any],
    meaning: str,
    *,
    variable: str = "",
    secret: bool = False,
) -> Any:
    """A field of settings, with what else `Setting` has as its metadata."""
    declared = {
        "default": default,
        "parse": parse,
        "meaning": meaning,
        "own_variable": variable,
        "secret": secret,
    }
    return field(default=parse(default), repr=not secret, metadata=declared)


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Logs."""

    log_level: str = setting(
        "info",
        log_level,
        "the lowest level that is logged: debug, info, warning or error",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from `environ` (usually `os.environ`); an empty value is the default.

        Raises SettingsError naming the variable, its value and what it should be, or an unknown variable that
        begins with SKDEPLOY_. No secret is in it.
        """
        _refuse_unknown(environ)
        return cls(**{setting.name: setting.read(environ) for setting in declared(cls)})


ENGINES = ("auto", "onnx", "sklearn")


@dataclass(frozen=True, kw_only=True)
class ModelSettings(LogSettings):
    """The model: where it comes from, and how it scores."""

    model_uri: str = setting(
        "model.bin",
        text,
        "where the model comes from: a path, file://, s3://bucket/key, models:/name@alias, "
        "models:/name/version or runs:/id/model",
    )
    model_sha256: str | None = setting(
        "", sha256, "the file's SHA-256: another file is refused before it is unpickled"
    )
    model_cache: str = setting(
        "",
        text,
        "a folder of this service alone that keeps the last good models, for when their source is down",
    )
    cache_max_age: float = setting(
        "604800",
        seconds,
        "seconds since its source last answered for which a cached model stands in where credentials fail",
    )
    allow_unverified: bool = setting(
        "0", flag, "1: load a file from the network although its expected digest is unknown"
    )
    skops_trusted: tuple[str, ...] = setting(
        "", names, "types that a model.skops may hold beyond those that skops trusts, separated by commas"
    )
    watch_seconds: float = setting(
        "0",
        seconds,
        "seconds between polls of SKDEPLOY_MODEL_URI for a new model; 0: the source is not polled",
    )
    state_dir: str = setting("", text, "a folder that the service's processes share; empty: a temporary one")
    engine: str = setting(
        "auto",
        one_of(*ENGINES),
        "how records are scored: auto, onnx or sklearn; auto is onnx where it is proved equal",
    )
    strict_categories: bool = setting("0", flag, "1: reject categories that were not seen in training")
    drift_window: int = setting(
        "10000",
        whole(0),
        "the last records of each process over which drift is measured; 0: drift is not measured",
    )

    def refuse_watching(self, reason: str) -> None:
        """For a door that keeps the model that it starts with. Raises SettingsError if it is to follow one.

        reason   continues "SKDEPLOY_WATCH_SECONDS is set, but"
        """
        if self.watch_seconds:
            raise SettingsError(f"SKDEPLOY_WATCH_SECONDS is set, but {reason}. Unset it here.")


@dataclass(frozen=True, kw_only=True)
class _RecordSettings(LogSettings):
    """Records."""

    unknown_columns: str = setting(
        "refuse",
        one_of("refuse", "ignore"),
        "columns that the model does not know: refuse or ignore them",
    )
    id_field: str = setting("id", text, "the key of a record that is copied into its prediction")


@dataclass(frozen=True, kw_only=True)
class _ListeningSettings(LogSettings):
    """The process: where it listens, and how it ends."""

    bind_address: str = setting("127.0.0.1", text, "the address to listen on; 0.0.0.0 in the image")
    graceful_timeout: int = setting("30", whole(1), "seconds after SIGTERM for what is under way")


@dataclass(frozen=True, kw_only=True)
class _ProbabilitySettings(LogSettings):
    """Predictions."""

    proba: bool = setting("0", flag, "1: the probability per class beside the label")


@dataclass(frozen=True, kw_only=True)
class _AccessSettings(LogSettings):
    """Access."""

    admin_token: str = setting(
        "",
        text,
        "the token of POST /admin/reload, which polls the model's source at once; empty: no such route",
        secret=True,
    )
    api_keys_file: str = setting(
        "",
        text,
        "a file of API keys; every request except /health and /ready must carry one; empty: no keys",
    )
    cors_origins: tuple[str, ...] = setting(
        "",
        origins,
        "origins whose web pages may call the service, such as https://app.example.com, separated by "
        "commas; *: all; empty: none",
    )


@dataclass(frozen=True, kw_only=True)
class _RequestSettings(LogSettings):
    """Requests."""

    max_body: int = setting("10M", size, "the largest request body in bytes; K, M and G are understood")
    max_records: int = setting("10000", whole(1), "the most records of a request")
    batch_records: int = setting(
        "1000",
        whole(0, 1000),
        "the most records of several requests that are scored in one call; 0: each request alone",
    )
    expose_schema: str = setting(
        "full",
        one_of("full", "minimal"),
        "minimal: hide categories, ranges and examples of the training data",
    )
    bypass_hooks: bool = setting(
        "0",
        flag,
        "1: the event loop answers predictions even if the Flask application has hooks or wrappers "
        "of your own, which then do not see them",
    )


@dataclass(frozen=True, kw_only=True)
class _WorkerSettings(LogSettings):
    """Workers and connections."""

    port: int = setting("9696", whole(1, 65535), "the port to listen on", variable="PORT")
    workers: int = setting(
        "0", whole(0), "worker processes; 0: one per usable CPU", variable="WEB_CONCURRENCY"
    )
    threads: int = setting("16", whole(1), "threads of each worker")
    keepalive: int = setting("5", whole(1), "seconds that an idle connection is kept open")
    client_timeout: float = setting(
        "10",
        timeout,
        "seconds for a request's head, for the next byte of its body, and for reading the answer",
    )
    max_waiting: int = setting(
        "100",
        whole(0),
        "requests of a worker that may wait for a thread; further ones get 503 at once; 0: no limit",
    )
    request_timeout: float = setting(
        "30",
        timeout,
        "seconds after its arrival at which a request that has not reached the model gets 503",
    )
    drain_delay: float = setting(
        "0",
        seconds,
        "seconds after SIGTERM during which requests are still accepted while /ready says 503",
    )


@dataclass(frozen=True, kw_only=True)
class _TelemetrySettings(LogSettings):
    """Metrics and lines per request."""

    metrics: bool = setting("1", flag, "0: no /metrics, and nothing is counted")
    access_log: bool = setting("0", flag, "1: write a line of JSON per request to standard output")
    log_format: str = setting(
        "text", one_of("text", "json"), "the format of log lines on standard error: text or json"
    )


@dataclass(frozen=True, kw_only=True)
class WebSettings(
    _TelemetrySettings,
    _WorkerSettings,
    _RequestSettings,
    _AccessSettings,
    _ListeningSettings,
    _RecordSettings,
    ModelSettings,
):
    """The web service's."""


@dataclass(frozen=True, kw_only=True)
class BatchSettings(_ProbabilitySettings, ModelSettings):
    """A batch job's."""

    job: str = setting("", text, "the job's name in ledger and predictions; empty: the model's name")
    input_url: str = setting(
        "",
        text,
        "where records are: sqlite:///file, postgresql://user:password@host/database, any other URL "
        "of SQLAlchemy, or Parquet files: a folder or s3://bucket/prefix",
        secret=True,
    )
    input_table: str = setting("", text, "the table of the records, or schema.table")
    input_query: str = setting("", text, "a SELECT that gives the records, instead of a table", secret=True)
    key_columns: tuple[str, ...] = setting(
        "", names, "the columns that identify a record, separated by commas"
    )
    time_column: str = setting("", text, "the column of the event time")
    event_tz: ZoneInfo | None = setting(
        "",
        time_zone,
        "the time zone of intervals, and of event times without a zone, which need it; default UTC",
    )
    output_url: str = setting(
        "", text, "where predictions go, in the same forms; default: SKDEPLOY_INPUT_URL", secret=True
    )
    output_table: str = setting("predictions", text, "the table of the predictions, or schema.table")
    chunk_records: int = setting("10000", whole(1, 10**6), "records that are scored in one call")
    large_interval: int = setting(
        "1000000",
        whole(0),
        "intervals with more records are staged, and resumed after a crash; smaller ones start again",
    )
    spark_master: str = setting(
        "",
        text,
        "the cluster of batch.spark_score, such as spark://host:7077; empty: what spark-submit says",
    )
    lock_timeout: float = setting("30", timeout, "seconds to wait for a lock that another session holds")
    max_rejected: float = setting(
        "1",
        share,
        "the share of an interval's records that may be rejected; above it, or if all are, the exit "
        "code is 6",
    )
    metrics_file: str = setting(
        "", text, "a file for Prometheus's textfile collector, such as /metrics/job.prom"
    )
    pushgateway_url: str = setting(
        "", text, "a Prometheus Pushgateway to which every run is reported", secret=True
    )
    interval: str = setting(
        "",
        one_of("", "hourly", "daily", "weekly", "monthly"),
        "hourly, daily, weekly or monthly; --interval beats it",
    )
    schedule_delay: float = setting(
        "300", seconds, "seconds after an interval's end at which the schedule scores it"
    )
    schedule_start: str | None = setting(
        "", moment, "the first interval that the schedule scores; empty: the latest"
    )
    schedule_lookback: int = setting(
        "0", whole(0, 1000), "finished intervals that the schedule scores again, for late records"
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """As `LogSettings.from_env`; SettingsError also for what is missing, or does not go together."""
        settings = super().from_env(environ)
        _require(settings, "input_url", "key_columns", "time_column")
        if settings.input_table and settings.input_query:
            raise SettingsError(
                "SKDEPLOY_INPUT_TABLE and SKDEPLOY_INPUT_QUERY are both set: unset one of them."
            )
        return settings if settings.output_url else replace(settings, output_url=settings.input_url)


@dataclass(frozen=True, kw_only=True)
class EventSettings(_ProbabilitySettings, _RecordSettings, ModelSettings):
    """What all consumers of events read."""

    deployment: str = setting("", _topic, "the name that prediction ids begin with; empty: the model's name")
    prediction_id: str = setting(
        "origin",
        one_of("origin", "id"),
        "what a prediction's id is made of: origin, where its event came from, or id, the record's "
        "SKDEPLOY_ID_FIELD",
    )


@dataclass(frozen=True, kw_only=True)
class ConsumerSettings(_ListeningSettings, EventSettings):
    """What consumers read that are processes of their own."""

    metrics_port: int = setting(
        "9697",
        whole(0, 65535),
        "the port of /metrics, /ready and /health; 0: none",
        # A Service called skdeploy-metrics sets SKDEPLOY_METRICS_PORT in every pod of its namespace.
        variable="SKDEPLOY_METRICS_LISTEN",
    )


@dataclass(frozen=True, kw_only=True)
class ReplaySettings(LogSettings):
    """Those of the replay of Kafka's dead letters."""

    kafka_bootstrap: str = setting("localhost:9092", text, "brokers, host:port, separated by commas")
    kafka_config: str = setting(
        "",
        text,
        "a file of librdkafka's properties, a line name=value each: passwords, certificates, limits",
    )
    output_topic: str = setting("", _topic, "the topic of predictions; --output beats it")
    dead_letter_topic: str = setting(
        "", _topic, "the topic of dead letters; empty: SKDEPLOY_OUTPUT_TOPIC and .dead-letters"
    )

    @property
    def dead_letters(self) -> str:
        """The topic of dead letters; empty if no topic is named."""
        return self.dead_letter_topic or (self.output_topic and f"{self.output_topic}.dead-letters")


@dataclass(frozen=True, kw_only=True)
class KafkaSettings(ReplaySettings, ConsumerSettings):
    """A Kafka consumer's."""

    topics: tuple[str, ...] = setting("", names, "topics of events, separated by commas; --topics beats it")
    group: str = setting("", _topic, "the consumer group; --group beats it")
    exactly_once: bool = setting("0", flag, "1: commit predictions and offsets together, in transactions")
    instance: str = setting(
        "",
        _topic,
        "this consumer's name in its group across restarts (group.instance.id); empty: the host's name",
    )
    max_poll_records: int = setting("10000", whole(1, 10**6), "the most events of one poll")
    commit_seconds: float = setting("0.5", timeout, "seconds between commits of offsets, or of transactions")
    max_memory: int = setting(
        "64M", size, "bytes of events read ahead, and of predictions that are not yet acknowledged"
    )


@dataclass(frozen=True, kw_only=True)
class _StreamsSettings(EventSettings):
    output_stream: str = setting("", _stream, "the Kinesis stream of predictions")
    dead_letter_stream: str = setting("", _stream, "the Kinesis stream of dead letters")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """As `LogSettings.from_env`; SettingsError also for what is missing."""
        settings = super().from_env(environ)
        _require(settings, "output_stream", "dead_letter_stream")
        return settings


@dataclass(frozen=True, kw_only=True)
class LambdaSettings(_StreamsSettings):
    """A Lambda function's. Endpoint, region and credentials are boto3's own affair."""

    report_failures: bool = setting(
        "1",
        flag,
        "0: fail the whole invocation if events could not be done; for an event source mapping "
        "without ReportBatchItemFailures, which would count them as done",
    )


@dataclass(frozen=True, kw_only=True)
class KinesisConsumerSettings(_StreamsSettings, ConsumerSettings):
    """A Kinesis consumer's."""

    input_stream: str = setting("", _stream, "the Kinesis stream of events; --stream beats it")
    checkpoint_table: str = setting("", _table, "the DynamoDB table of checkpoints; --table beats it")
    start: str = setting("earliest", one_of("earliest", "latest"), "where shards without a checkpoint begin")
    lease_seconds: float = setting(
        "30", timeout, "seconds of silence after which another consumer takes over"
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """As `LogSettings.from_env`; SettingsError also for what is missing, or does not go together."""
        settings = super().from_env(environ)
        _require(settings, "input_stream", "checkpoint_table")
        if settings.input_stream in (settings.output_stream, settings.dead_letter_stream):
            raise SettingsError(
                f"{settings.input_stream} is read and written: what is sent would be scored again."
            )
        return settings


def declared(settings: type[LogSettings]) -> tuple[Setting, ...]:
    """The settings that a class and those that it extends declare, in the order of their declaration."""
    sections = {
        name: inspect.getdoc(each).partition("\n")[0].removesuffix(".")  # type: ignore[union-attr]
        for each in reversed(settings.__mro__)
        for name in inspect.get_annotations(each)
    }
    return tuple(
        Setting(name=declaration.name, section=sections[declaration.name], **declaration.metadata)
        for declaration in fields(settings)
    )


# All settings by their variables.
DECLARED: dict[str, Setting] = {
    setting.variable: setting
    for door in (WebSettings, BatchSettings, KafkaSettings, LambdaSettings, KinesisConsumerSettings)
    for setting in declared(door)
}


def _require(settings: LogSettings, *required: str) -> None:
    for setting in declared(type(settings)):
        if setting.name in required and not getattr(settings, setting.name):
            raise SettingsError(f"{setting.variable} is not set: {setting.meaning}.")


# For a Service called skdeploy, or skdeploy-metrics, Kubernetes sets these in each container.
_SERVICE_LINK = re.compile(
    r"SKDEPLOY_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_SERVICE_PORT = re.compile(r"SKDEPLOY_(\w+_)?PORT=(tcp|udp|sctp)://.*")


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = set(DECLARED) | {f"{name}_FILE" for name, setting in DECLARED.items() if setting.secret}
    for name in sorted(environ):
        if (
            not name.startswith(_PREFIX)
            or name in known
            or _SERVICE_LINK.fullmatch(name)
            or _SERVICE_PORT.fullmatch(f"{name}={environ[name]}")
        ):
            continue
        # SKDEPLOY_WORKERS means WEB_CONCURRENCY: the flag is --workers.
        meant = {name.removeprefix(_PREFIX): name for name in known}
        meant |= {setting.name.upper(): variable for variable, setting in DECLARED.items()}
        nearest = difflib.get_close_matches(name.removeprefix(_PREFIX), meant, n=1)
        guess = f": did you mean {meant[nearest[0]]}?" if nearest else "."
        raise SettingsError(f"{name} is not a setting{guess} Correct the name, or unset it.")
