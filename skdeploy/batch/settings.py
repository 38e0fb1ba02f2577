"""The variables of a job; batch/README.md shows the table, and a test holds the two together.

Where the model comes from, and how its records are read, say the variables of `skdeploy.settings`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from skdeploy.batch.intervals import KINDS
from skdeploy.errors import SettingsError
from skdeploy.variables import Setting, flag, names, one_of, patience, read_all, seconds, share, text, whole


def _zone(value: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(value) if value else None
    except (KeyError, ValueError, OSError):
        raise ValueError("a time zone's name, such as America/New_York") from None


def _moment(value: str) -> str | None:
    try:
        return datetime.fromisoformat(value).isoformat() if value else None
    except ValueError:
        raise ValueError("a date or date-time, such as 2013-11-05") from None


BATCH_SETTINGS: tuple[Setting, ...] = (
    Setting("JOB", "", text, "the job's name in ledger and predictions; empty: the model's name"),
    Setting(
        "INPUT_URL",
        "",
        text,
        "where records are: sqlite:///file, postgresql://user:password@host/database, any other URL of "
        "SQLAlchemy, or Parquet files: a folder, or s3://bucket/prefix",
        secret=True,
    ),
    Setting("INPUT_TABLE", "", text, "the table of the records, or schema.table"),
    Setting("INPUT_QUERY", "", text, "a SELECT that gives the records, in place of a table"),
    Setting("KEY_COLUMNS", "", names, "the columns that tell records apart, commas between"),
    Setting("TIME_COLUMN", "", text, "the column of the event time"),
    Setting(
        "EVENT_TZ",
        "",
        _zone,
        "the time zone of intervals, and of an event time without one; needed for such, else UTC",
    ),
    Setting("OUTPUT_URL", "", text, "where predictions go: as INPUT_URL, which is the default", secret=True),
    Setting("OUTPUT_TABLE", "predictions", text, "the table of the predictions, or schema.table"),
    Setting("PROBA", "0", flag, "1: the probability per class beside the label"),
    Setting("CHUNK_RECORDS", "10000", whole(1, 10**6), "records that are scored in one call"),
    Setting(
        "LARGE_INTERVAL",
        "1000000",
        whole(0),
        "an interval of more records is staged, and gone on with after a death; others begin anew",
    ),
    Setting("PART_RECORDS", "1000000", whole(1), "the most records of one Parquet file"),
    Setting("PREDICT_THREADS", "0", whole(0, 256), "threads that predict; 0: one per usable CPU"),
    Setting(
        "SPARK_MASTER",
        "",
        text,
        "the cluster of batch.spark_score, such as spark://host:7077; empty: what spark-submit says",
    ),
    Setting("LOCK_TIMEOUT", "30", patience, "seconds to wait for a lock that somebody else holds"),
    Setting(
        "MAX_REJECTED",
        "1",
        share,
        "the share of an interval's records that may be rejected; with more, or with all, the exit code is 6",
    ),
    Setting(
        "METRICS_FILE", "", text, "a file for Prometheus's textfile collector, such as /metrics/job.prom"
    ),
    Setting("PUSHGATEWAY_URL", "", text, "a Prometheus pushgateway that is told of every run", secret=True),
    Setting("INTERVAL", "", one_of("", *KINDS), "hourly, daily, weekly or monthly; --interval comes first"),
    Setting(
        "SCHEDULE_DELAY", "300", seconds, "seconds after an interval's end at which the scheduler scores it"
    ),
    Setting(
        "SCHEDULE_START", "", _moment, "the first interval that the scheduler ever scores; empty: the latest"
    ),
    Setting(
        "SCHEDULE_LOOKBACK", "0", whole(0, 1000), "finished intervals that are scored again, for late records"
    ),
    Setting("SCHEDULE_RETRY", "60", patience, "seconds after which the scheduler tries again what failed"),
    Setting(
        "MAX_CATCHUP",
        "100",
        whole(1, 10**6),
        "the most intervals of one round of the scheduler, and so of one summary",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """The values of `BATCH_SETTINGS`, typed; the names are the variables' in lower case."""

    job: str
    input_url: str = field(repr=False)
    input_table: str
    input_query: str = field(repr=False)
    key_columns: tuple[str, ...]
    time_column: str
    event_tz: ZoneInfo | None
    output_url: str = field(repr=False)
    output_table: str
    proba: bool
    chunk_records: int
    large_interval: int
    part_records: int
    predict_threads: int
    spark_master: str
    lock_timeout: float
    max_rejected: float
    metrics_file: str
    pushgateway_url: str = field(repr=False)
    interval: str
    schedule_delay: float
    schedule_start: str | None
    schedule_lookback: int
    schedule_retry: float
    max_catchup: int

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> BatchSettings:
        """Read the settings from `environ`; an empty value is the default.

        Raises SettingsError naming the variable, and what it should be; no URL is in it.
        """
        values = read_all(BATCH_SETTINGS, environ)
        for name in ("input_url", "key_columns", "time_column"):
            if not values[name]:
                raise SettingsError(f"{name.upper()} is not set: {_meaning(name.upper())}.")
        if values["input_table"] and values["input_query"]:
            raise SettingsError("INPUT_TABLE and INPUT_QUERY are both set: unset one of them.")
        values["output_url"] = values["output_url"] or values["input_url"]
        return cls(**values)


def _meaning(name: str) -> str:
    return next(setting.meaning for setting in BATCH_SETTINGS if setting.name == name)
