"""Records, predictions and the ledger in a database.

engines.py          a URL -> an engine; what a database says, without what nobody may read
relation.py         the table or query, and what is asked of it; event_time.py compares moments
sql_input.py        row by row, from whatever SQLAlchemy speaks to
postgres_input.py   by columns, through ADBC
tables.py           what a job writes to
sql_output.py       the ledger, and who may write an interval; locks.py
writing.py          an interval in one transaction, or by chunks beside it; rows.py, keys.py,
                        inserting.py, and copying.py for PostgreSQL
"""

from __future__ import annotations

from skdeploy.batch.chunks import Input, Output
from skdeploy.config import BatchSettings
from skdeploy.schema import Schema

__all__ = ["open_database_input", "open_database_output"]


def open_database_input(batch: BatchSettings, schema: Schema) -> Input:
    """SKDEPLOY_INPUT_URL's table or query. Raises SettingsError or InputError."""
    from skdeploy.batch.databases.engines import make_engine, parse_url
    from skdeploy.batch.databases.postgres_input import PostgresInput
    from skdeploy.batch.databases.relation import relation
    from skdeploy.batch.databases.sql_input import SqlInput, Wanted

    url = parse_url(batch.input_url, "SKDEPLOY_INPUT_URL")
    wanted = Wanted(
        source=relation(batch.input_table, batch.input_query),
        keys=batch.key_columns,
        time_column=batch.time_column,
        schema=schema,
        lock_timeout=batch.lock_timeout,
    )
    kind = PostgresInput if url.get_backend_name() == "postgresql" else SqlInput
    return kind(make_engine(url, "SKDEPLOY_INPUT_URL", batch.lock_timeout), wanted)


def open_database_output(batch: BatchSettings) -> Output:
    """SKDEPLOY_OUTPUT_URL's tables. Raises SettingsError."""
    from skdeploy.batch.databases.engines import make_engine, parse_url
    from skdeploy.batch.databases.sql_output import SqlOutput

    url = parse_url(batch.output_url, "SKDEPLOY_OUTPUT_URL")
    return SqlOutput(make_engine(url, "SKDEPLOY_OUTPUT_URL", batch.lock_timeout), batch.output_table)
