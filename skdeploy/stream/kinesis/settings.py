"""The variables of Lambda functions (docs/lambda.md) and of a consumer of Kinesis (streaming/README.md).

What prediction ids begin with and are made of, and `PROBA`, say the variables of
`skdeploy.stream.settings`; where the model comes from those of `skdeploy.settings`. Endpoint, region
and credentials are boto3's own affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skdeploy.errors import SettingsError
from skdeploy.variables import Setting, flag, identifier, one_of, patience, read_all

# As Amazon takes them.
_stream, _table = identifier(1, 128), identifier(3, 255)

KINESIS_SETTINGS: tuple[Setting, ...] = (
    Setting("OUTPUT_STREAM", "", _stream, "the Kinesis stream of predictions"),
    Setting("DEAD_LETTER_STREAM", "", _stream, "the Kinesis stream of dead letters"),
    Setting(
        "REPORT_FAILURES",
        "1",
        flag,
        "0: where events could not be done, the whole invocation fails; for a Lambda mapping without "
        "ReportBatchItemFailures, which would take them for done",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KinesisSettings:
    """The values of `KINESIS_SETTINGS`, typed; the names are the variables' in lower case."""

    output_stream: str
    dead_letter_stream: str
    report_failures: bool

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> KinesisSettings:
        """Read the settings from `environ`; an empty value is the default.

        Raises SettingsError naming the variable, and what it should be.
        """
        values = read_all(KINESIS_SETTINGS, environ)
        _require(values, "OUTPUT_STREAM", "DEAD_LETTER_STREAM")
        return cls(**values)


CONSUMER_SETTINGS: tuple[Setting, ...] = (
    Setting("INPUT_STREAM", "", _stream, "the Kinesis stream of events; --stream comes first"),
    *KINESIS_SETTINGS[:2],
    Setting("CHECKPOINT_TABLE", "", _table, "the DynamoDB table of checkpoints; --table comes first"),
    Setting("START", "earliest", one_of("earliest", "latest"), "where shards without a checkpoint begin"),
    Setting("LEASE_SECONDS", "30", patience, "how long a consumer may be silent until another takes over"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings:
    """The values of `CONSUMER_SETTINGS`, typed; the names are the variables' in lower case."""

    input_stream: str
    output_stream: str
    dead_letter_stream: str
    checkpoint_table: str
    start: str
    lease_seconds: float

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> ConsumerSettings:
        """Read the settings from `environ`; an empty value is the default.

        Raises SettingsError naming the variable, and what it should be.
        """
        values = read_all(CONSUMER_SETTINGS, environ)
        _require(values, "INPUT_STREAM", "OUTPUT_STREAM", "DEAD_LETTER_STREAM", "CHECKPOINT_TABLE")
        read = cls(**values)
        if read.input_stream in (read.output_stream, read.dead_letter_stream):
            raise SettingsError(
                f"{read.input_stream} is read and written: what is sent would be scored again."
            )
        return read


def _require(values: Mapping[str, Any], *names: str) -> None:
    missing = [name for name in names if not values[name.lower()]]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise SettingsError(f"{' and '.join(missing)} {verb} not set, and must be.")
