"""Rows into a table: PostgreSQL's COPY, or INSERT."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError


def insert(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    """Add `rows`, whose columns have the names of the table's, within the connection's transaction."""
    if not rows.num_rows:
        return
    if connection.dialect.name == "postgresql":
        _copy(connection, table, rows)
    else:
        connection.execute(table.insert(), rows.to_pylist())


def _copy(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    quote = connection.dialect.identifier_preparer
    columns = ", ".join(map(quote.quote, rows.column_names))
    statement = f"COPY {quote.format_table(table)} ({columns}) FROM STDIN (FORMAT csv)"
    driver: Any = connection.connection.driver_connection
    error_type: Any = connection.dialect.dbapi.Error  # type: ignore[union-attr]
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(as_csv(rows))
    except error_type as error:
        if driver.closed:
            # Else SQLAlchemy rolls back what is gone, and logs how that fails.
            connection.invalidate()
        raise DBAPIError.instance(statement, None, error, error_type, hide_parameters=True) from error


def as_csv(rows: pa.Table) -> memoryview:
    """As PostgreSQL's COPY reads it: a null is nothing, an empty text a pair of quotes."""
    sink = pa.BufferOutputStream()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pyarrow.csv.write_csv(rows, sink, options)
    return memoryview(sink.getvalue())
