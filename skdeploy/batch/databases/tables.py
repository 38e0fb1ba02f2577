"""The tables that a job writes to.

    predictions             one row per record and model: its key, its prediction
    predictions_rejects     one row per bad cell
    predictions_ledger      one row per interval and model: what became of it, and when
    predictions_progress    one row per large interval that is being scored
    predictions_locks       for databases that lock rows alone: one row per interval being scored
    predictions_current     a view: of each interval the predictions of the model that scored it last

Their names begin with SKDEPLOY_OUTPUT_TABLE's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

# MySQL indexes no text without end.
TEXT = sa.Text().with_variant(sa.String(255), "mysql", "mariadb", "mssql", "oracle")
DIGEST_DIGITS = 16


class Instant(sa.types.TypeDecorator[datetime]):
    """An instant: the database's own type where that keeps it, else text as RFC 3339 in UTC."""

    impl = sa.String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """PostgreSQL's timestamptz; elsewhere a text."""
        kind = sa.DateTime(timezone=True) if dialect.name == "postgresql" else sa.String(32)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        """In UTC."""
        if value is None or dialect.name == "postgresql":
            return value
        return instant_text(value)

    def process_result_value(self, value: Any, _dialect: sa.Dialect) -> datetime | None:
        """In UTC."""
        if value is None:
            return None
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return moment.astimezone(UTC)


def instant_text(moment: datetime) -> str:
    """An instant as text that sorts as instants do."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Tables:
    """The tables of one SKDEPLOY_OUTPUT_TABLE, for keys of these types and predictions of these columns."""

    def __init__(self, name: str, key_types: Mapping[str, pa.DataType], predicted: pa.Schema) -> None:
        schema, _, base = name.rpartition(".")
        self.schema = schema or None
        self.base = base
        self.metadata = sa.MetaData(schema=self.schema)
        self.key_types = key_types
        self.predicted = predicted
        self.keys = list(key_types)
        self.current = f"{base}_current"
        self.predictions = sa.Table(
            base,
            self.metadata,
            *self._columns(primary=True),
            *_interval_columns(),
            sa.Index(f"{base}_interval", "interval_start", postgresql_using="brin"),
        )
        self.rejects = sa.Table(f"{base}_rejects", self.metadata, *_reject_columns(), *_interval_columns())
        sa.Index(f"{base}_rejects_interval", self.rejects.c.interval_start)
        self.ledger = sa.Table(f"{base}_ledger", self.metadata, *_ledger_columns())
        self.locks = sa.Table(
            f"{base}_locks", self.metadata, sa.Column("name", sa.String(16), primary_key=True)
        )
        self.progress = sa.Table(f"{base}_progress", self.metadata, *_progress_columns())

    @property
    def names(self) -> list[str]:
        """Those of all tables, and of the view."""
        return [*(table.name for table in self.metadata.tables.values()), self.current]

    def staging(self, number: str) -> tuple[sa.Table, sa.Table]:
        """Tables for one large interval: predictions and rejects, without an index."""
        metadata = sa.MetaData(schema=self.schema)
        name = f"{self.base}_staging_{number}"
        return (
            sa.Table(name, metadata, *self._columns(primary=False), *_interval_columns()),
            sa.Table(f"{name}_rejects", metadata, *_reject_columns(), *_interval_columns()),
        )

    def view(self, dialect: sa.Dialect) -> str:
        """The text of a statement that makes the view."""
        quote = dialect.identifier_preparer
        names = {
            part: quote.format_table(sa.Table(f"{self.base}{part}", sa.MetaData(), schema=self.schema))
            for part in ("", "_ledger", "_current")
        }
        return (
            f"CREATE VIEW {names['_current']} AS SELECT p.* FROM {names['']} p "  # noqa: S608 - names
            f"JOIN {names['_ledger']} l ON l.job = p.job AND l.interval_start = p.interval_start "
            f"AND l.model_digest = p.model_digest WHERE l.is_current = 1"
        )

    def _columns(self, *, primary: bool) -> list[sa.Column[Any]]:
        """Job, model and key; then the predictions."""
        return [
            sa.Column("job", TEXT, primary_key=primary, nullable=False),
            sa.Column("model_digest", sa.String(DIGEST_DIGITS), primary_key=primary, nullable=False),
            *(
                sa.Column(name, _sql_type(kind), primary_key=primary, nullable=False, autoincrement=False)
                for name, kind in self.key_types.items()
            ),
            *(sa.Column(field.name, _sql_type(field.type)) for field in self.predicted),
            sa.Column("model_name", TEXT, nullable=False),
            sa.Column("model_version", TEXT, nullable=False),
        ]


def _interval_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("interval_start", Instant, nullable=False),
        sa.Column("interval_end", Instant, nullable=False),
    ]


def _reject_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("job", TEXT, nullable=False),
        sa.Column("model_digest", sa.String(DIGEST_DIGITS), nullable=False),
        sa.Column("row_key", sa.Text, nullable=False),
        sa.Column("column_name", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("expected", sa.Text, nullable=False),
        sa.Column("got", sa.Text, nullable=False),
    ]


def _ledger_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("job", TEXT, primary_key=True),
        sa.Column("interval_start", Instant, primary_key=True),
        sa.Column("model_digest", sa.String(DIGEST_DIGITS), primary_key=True),
        sa.Column("interval_end", Instant, nullable=False),
        sa.Column("interval_kind", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("is_current", sa.SmallInteger, nullable=False),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("rows_predicted", sa.BigInteger, nullable=False),
        sa.Column("rows_rejected", sa.BigInteger, nullable=False),
        sa.Column("model_name", TEXT, nullable=False),
        sa.Column("model_version", TEXT, nullable=False),
        sa.Column("model_sha256", sa.String(64), nullable=False),
        sa.Column("scored_at", Instant, nullable=False),
        sa.Column("error", sa.Text),
    ]


def _progress_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("job", TEXT, primary_key=True),
        sa.Column("interval_start", Instant, primary_key=True),
        sa.Column("model_digest", sa.String(DIGEST_DIGITS), nullable=False),
        sa.Column("asked", sa.Text, nullable=False),
        sa.Column("run", sa.String(32), nullable=False),
        sa.Column("last_key", sa.Text),
        sa.Column("rows_read", sa.BigInteger, nullable=False),
        sa.Column("rows_predicted", sa.BigInteger, nullable=False),
        sa.Column("rows_rejected", sa.BigInteger, nullable=False),
    ]


def _sql_type(kind: pa.DataType) -> sa.types.TypeEngine[Any]:
    if pa.types.is_boolean(kind):
        return sa.Boolean()
    if pa.types.is_integer(kind):
        return sa.BigInteger()
    if pa.types.is_floating(kind):
        return sa.Double()
    if pa.types.is_date(kind):
        return sa.Date()
    if pa.types.is_timestamp(kind):
        return sa.DateTime(timezone=kind.tz is not None)
    if pa.types.is_binary(kind):
        return sa.LargeBinary()
    return TEXT
