"""Rows into a table: PostgreSQL's COPY, or INSERT."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.csv
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from skdeploy.batch.databases.copying import as_binary


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
    name, columns = quote.format_table(table), ", ".join(map(quote.quote, rows.column_names))
    driver: Any = connection.connection.driver_connection
    error_type: Any = connection.dialect.dbapi.Error  # type: ignore[union-attr]
    statement = f"SELECT {columns} FROM {name} LIMIT 0"  # noqa: S608 - quoted
    try:
        with driver.cursor() as cursor:
            found = [column.type_code for column in cursor.execute(statement).description]
            data = as_binary(rows, found) if driver.info.encoding == "utf-8" else None
            form = "FORMAT csv, ENCODING 'UTF8'" if data is None else "FORMAT binary"
            statement = f"COPY {name} ({columns}) FROM STDIN ({form})"
            with cursor.copy(statement) as copy:
                copy.write(as_csv(rows) if data is None else data)
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
