"""An interval's records as Spark reads them: in parts that no key is in two of, in the order of keys."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import sqlalchemy as sa

from skdeploy.batch.chunks import Input
from skdeploy.batch.databases.postgres_input import PostgresInput
from skdeploy.batch.databases.splitting import key_ranges, records_text
from skdeploy.batch.files.input import ParquetInput
from skdeploy.batch.intervals import Interval
from skdeploy.config import BatchSettings
from skdeploy.errors import InputError, SettingsError

_DRIVER = "org.postgresql.Driver"
# Rows of one answer of the server; the driver's default is all of them.
_FETCH_ROWS = 10_000


class Reading(Protocol):
    """Where records come from, for Spark.

    types   the columns, the key's first, and what the job on one machine reads them as
    """

    types: Mapping[str, pa.DataType]

    def frame(self, session: Any, interval: Interval, parts: int) -> Any:
        """The interval's records as a DataFrame of about so many partitions."""


def open_reading(batch: BatchSettings, records: Input) -> Reading:
    """Spark's way to the records of an input. Raises SettingsError."""
    if isinstance(records, PostgresInput):
        return JdbcReading(records)
    if isinstance(records, ParquetInput):
        return ParquetReading(records, batch.time_column, batch.input_url)
    raise SettingsError(
        "SKDEPLOY_INPUT_URL: a cluster reads PostgreSQL, or Parquet files that all its machines reach. "
        "Use batch.score for other databases."
    )


class JdbcReading(Reading):
    """PostgreSQL: every part is a range of the key's first column, and a session of its own.

    The parts are read at different moments: records that change in the meantime may be read twice, or
    not at all, if their key changes.
    """

    def __init__(self, records: PostgresInput) -> None:
        self.types = {**records.types, **records.key_types}
        self._records = records
        self._address, self._properties = jdbc(records.url)

    def frame(self, session: Any, interval: Interval, parts: int) -> Any:
        """See Reading."""
        frame = session.read.jdbc(
            self._address,
            f"({records_text(self._records, interval)}) AS records",
            predicates=key_ranges(self._records, interval, parts),
            properties=self._properties,
        )
        return frame.sortWithinPartitions(*map(_quoted, self._records.key_types))


class ParquetReading(Reading):
    """The files that the input found. Parts are ranges of the whole key, which Spark estimates first."""

    def __init__(self, records: ParquetInput, time_column: str, url: str) -> None:
        if records.mixed:
            name, kinds = next(iter(records.mixed.items()))
            raise InputError(
                f"SKDEPLOY_INPUT_URL: the files do not agree on the column {name!r} ({kinds}): a cluster "
                "reads files "
                "of one schema."
            )
        self.types = records.types
        self._records = records
        self._time = time_column
        self._base = base_folder(url)

    def frame(self, session: Any, interval: Interval, parts: int) -> Any:
        """See Reading."""
        from pyspark.sql import functions

        files = [self._address(path) for path in self._records.files]
        frame = session.read.option("basePath", self._base).parquet(*files)
        time = functions.col(_quoted(self._time))
        start, end = (
            functions.expr(bound)
            for bound in bounds(frame.schema[self._time].dataType.typeName(), interval, self._records.wall)
        )
        keys = [_quoted(name) for name in self._records.key_types]
        frame = frame.where((time >= start) & (time < end)).select(*map(_quoted, self.types))
        return frame.repartitionByRange(parts, *keys).sortWithinPartitions(*keys)

    def _address(self, path: str) -> str:
        # Spark takes a path for a pattern, and decodes nothing.
        plain = re.sub(r"([\\*?\[\]{}])", r"\\\1", path)
        return f"s3a://{plain}" if self._base.startswith("s3a://") else f"file://{Path(plain).absolute()}"


def jdbc(url: sa.URL) -> tuple[str, dict[str, str]]:
    """SQLAlchemy's URL as JDBC has it: an address without credentials, and properties with them."""
    if not url.host:
        raise SettingsError(
            "SKDEPLOY_INPUT_URL names no host: executors on other machines cannot use a socket of this one."
        )
    options = {name: str(value) for name, value in url.query.items()}
    properties = {
        **options,
        "driver": _DRIVER,
        "fetchsize": str(_FETCH_ROWS),
        # A timestamp without a zone stays one.
        "preferTimestampNTZ": "true",
        "ApplicationName": "skdeploy batch",
        "options": "-c timezone=UTC",
    }
    for name, value in (("user", url.username), ("password", url.password)):
        if value is not None:
            properties[name] = str(value)
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"jdbc:postgresql://{host}:{url.port or 5432}/{url.database or ''}", properties


def bounds(kind: str, interval: Interval, wall: bool) -> tuple[str, str]:
    """An interval's bounds as Spark's literals, for an event time of Spark's type `kind`."""
    start, end = interval.bounds(wall)
    if wall and kind == "date":
        return f"DATE '{_first_day(start)}'", f"DATE '{_first_day(end)}'"
    expected = "timestamp_ntz" if wall else "timestamp"
    if kind != expected:
        raise InputError(
            f"SKDEPLOY_TIME_COLUMN: Spark reads it as {kind}, and not as {expected}: write the files anew."
        )
    name = expected.upper()
    return f"{name} '{start.isoformat()}'", f"{name} '{end.isoformat()}'"


def _first_day(moment: datetime) -> date:
    """The first day whose midnight is not before `moment`."""
    return moment.date() + timedelta(days=moment.time() != datetime.min.time())


def base_folder(url: str) -> str:
    """Above which folders are not `name=value`; Hadoop's scheme for S3 is s3a."""
    found = re.match(r"s3://([^/]*/?[^*?\[]*)", url, re.IGNORECASE)
    if found:
        return f"s3a://{found[1]}"
    path = Path(re.split(r"[*?\[]", url.removeprefix("file://"), maxsplit=1)[0])
    return f"file://{(path if path.is_dir() else path.parent).absolute()}"


def _quoted(name: str) -> str:
    """A column's name, dots and all."""
    return f"`{name.replace('`', '``')}`"
