"""Parquet files in and out, in folders of this machine and in S3.

storage.py    what input and output need of a place for files; a URL -> such a place
local.py      a folder
s3.py         a bucket, or what speaks its protocol
scratch.py    folders for temporary files, which go when their process has died too
input.py      Parquet files -> the records of an interval, in key order
dataset.py    many files as one: which they are, and whether they fit together
scanning.py   records of these files, in plain types; kinds.py says which those are
sorting.py    more records than memory holds, in order
manifest.py   a document per interval: what was scored, and which files count
ledger.py     manifests, found and replaced
parts.py      rows -> files whose names follow from their content
output.py     predictions and rejects -> parts, and the manifest last
writing.py    an interval being written; spread.py: by processes of a cluster
"""

from __future__ import annotations

import re

from skdeploy.batch.chunks import Input, Output
from skdeploy.batch.files.storage import split
from skdeploy.config import BatchSettings
from skdeploy.errors import SettingsError
from skdeploy.schema import Schema

__all__ = ["is_files", "open_file_input", "open_file_output"]


def is_files(url: str) -> bool:
    """Whether a URL names Parquet files: a path, file:///folder, or s3://bucket/prefix."""
    # postgresql:/user@host is a mistyped URL, not a folder to be made.
    return split(url)[0] in ("file", "s3") and re.match(r"\w[\w+.-]*:(?!//)", url) is None


def open_file_input(batch: BatchSettings, schema: Schema) -> Input:
    """SKDEPLOY_INPUT_URL's files. Raises SettingsError or InputError."""
    from skdeploy.batch.files.input import ParquetInput

    if batch.input_table or batch.input_query:
        raise SettingsError(
            "SKDEPLOY_INPUT_URL names files: unset SKDEPLOY_INPUT_TABLE and SKDEPLOY_INPUT_QUERY, which "
            "databases have."
        )
    return ParquetInput(
        batch.input_url,
        keys=batch.key_columns,
        time=batch.time_column,
        columns=[column.name for column in schema.columns],
    )


def open_file_output(batch: BatchSettings) -> Output:
    """SKDEPLOY_OUTPUT_URL's folder. Raises SettingsError."""
    from skdeploy.batch.files.output import ParquetOutput

    records, predictions = (url.rstrip("/") + "/" for url in (batch.input_url, batch.output_url))
    if predictions.startswith(records):
        raise SettingsError(
            "SKDEPLOY_OUTPUT_URL is SKDEPLOY_INPUT_URL or a folder in it, where predictions would be read as "
            "records: set it "
            "to another folder."
        )
    return ParquetOutput(batch.output_url, table=batch.output_table)
