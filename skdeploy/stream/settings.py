"""The variables of a consumer; streaming/README.md shows the table, and a test holds the two together.

Where the model comes from, and how its records are read, say the variables of `skdeploy.settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skdeploy.variables import Setting, flag, identifier, names, one_of, patience, read_all, size, text, whole

# As Kafka takes the names of topics and groups.
_name = identifier(1, 249)


STREAM_SETTINGS: tuple[Setting, ...] = (
    Setting("DEPLOYMENT", "", _name, "the name that prediction ids begin with; empty: the model's name"),
    Setting(
        "PREDICTION_ID",
        "origin",
        one_of("origin", "id"),
        "what a prediction's id is made of: origin, where its event came from, or id, the record's ID_FIELD",
    ),
    Setting("PROBA", "0", flag, "1: the probability per class beside the label"),
    Setting("KAFKA_BOOTSTRAP", "localhost:9092", text, "brokers, host:port, commas between"),
    Setting(
        "KAFKA_CONFIG",
        "",
        text,
        "a file of librdkafka's properties, a line name=value each: passwords, certificates, limits",
    ),
    Setting("TOPICS", "", names, "topics of events, commas between; --topics comes first"),
    Setting("OUTPUT_TOPIC", "", _name, "the topic of predictions; --output comes first"),
    Setting(
        "DEAD_LETTER_TOPIC",
        "",
        _name,
        "the topic of dead letters; empty: OUTPUT_TOPIC and .dead-letters",
    ),
    Setting("GROUP", "", _name, "the consumer group; --group comes first"),
    Setting("EXACTLY_ONCE", "0", flag, "1: predictions and offsets are committed together, in transactions"),
    Setting(
        "INSTANCE",
        "",
        _name,
        "this consumer's own name in its group, which outlives it; empty: the host's",
    ),
    Setting("MAX_POLL_RECORDS", "10000", whole(1, 10**6), "the most events of one poll"),
    Setting("COMMIT_SECONDS", "0.5", patience, "seconds between commits of offsets, or of transactions"),
    Setting("MAX_MEMORY", "64M", size, "bytes of events read ahead, and of predictions not yet acknowledged"),
    Setting("METRICS_PORT", "9697", whole(0, 65535), "the port of /metrics, /ready and /health; 0: none"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """The values of `STREAM_SETTINGS`, typed; the names are the variables' in lower case."""

    deployment: str
    prediction_id: str
    proba: bool
    kafka_bootstrap: str
    kafka_config: str
    topics: tuple[str, ...]
    output_topic: str
    dead_letter_topic: str
    group: str
    exactly_once: bool
    instance: str
    max_poll_records: int
    commit_seconds: float
    max_memory: int
    metrics_port: int

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> StreamSettings:
        """Read the settings from `environ`; an empty value is the default.

        Raises SettingsError naming the variable, and what it should be.
        """
        return cls(**read_all(STREAM_SETTINGS, environ))

    @property
    def dead_letters(self) -> str:
        """The topic of dead letters; empty if no topic is named."""
        return self.dead_letter_topic or (self.output_topic and f"{self.output_topic}.dead-letters")
