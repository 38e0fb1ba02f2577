"""Rows -> Parquet files whose names follow from their content, however the rows came."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from skdeploy.batch.files.manifest import Part
from skdeploy.batch.files.storage import Storage

# Rows that are held until they are written together.
_GROUP_ROWS = 100_000


class PartWriter:
    """Writes files of `rows` rows, the last one of fewer, into a folder of the storage.

    scratch      a folder for the file that is being written
    folder       ends with a slash
    generation   goes into the names, above the first one
    first        the first file's number
    """

    def __init__(
        self,
        storage: Storage,
        scratch: Path,
        folder: str,
        schema: pa.Schema,
        rows: int,
        generation: int,
        first: int = 0,
    ) -> None:
        self.parts: list[Part] = []
        self._storage = storage
        self._file = scratch / f"{folder.partition('/')[0]}.part"
        self._folder = folder
        self._schema = schema
        self._most = rows
        self._first = first
        self._suffix = f".{generation}" if generation > 1 else ""
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._rows = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, table: pa.Table) -> None:
        """Take rows. Files, and the groups in them, begin at the same rows whatever tables these came in."""
        while table.num_rows:
            group = min(_GROUP_ROWS, self._most - self._rows)
            piece = table.slice(0, group - self._waiting_rows)
            table = table.slice(piece.num_rows)
            self._waiting.append(piece)
            self._waiting_rows += piece.num_rows
            if self._waiting_rows == group:
                self._write_group()
            if self._rows == self._most:
                self._close_part()

    def close(self) -> tuple[Part, ...]:
        """Write what is left; all files, in the order of their rows."""
        if self._waiting:
            self._write_group()
        if self._writer is not None:
            self._close_part()
        return tuple(self.parts)

    def abandon(self) -> None:
        """Let the file go that was being written."""
        if self._writer is not None:
            self._writer.close()

    def _write_group(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._file, self._schema, compression="zstd")
        # In one piece: how a column is encoded depends on the pieces that it comes in.
        group = pa.concat_tables(self._waiting).combine_chunks()
        self._writer.write_table(group, row_group_size=group.num_rows)
        self._rows += group.num_rows
        self._waiting, self._waiting_rows = [], 0

    def _close_part(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        with self._file.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        number = self._first + len(self.parts)
        name = f"{self._folder}part-{number:05d}-{digest[:12]}{self._suffix}.parquet"
        self.parts.append(Part(name, self._rows, self._file.stat().st_size, digest))
        self._rows = 0
        self._storage.keep(name, self._file)
        self._file.unlink(missing_ok=True)
