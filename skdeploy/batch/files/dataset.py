"""Parquet files as one: which they are, and whether they fit together."""

from __future__ import annotations

import fnmatch
import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from skdeploy.batch.files.carriers import plain_type
from skdeploy.batch.files.storage import open_storage, split
from skdeploy.errors import InputError

_SUFFIXES = (".parquet", ".parq", ".pq")
_GLOB = re.compile(r"[*?\[]")
_READERS = 8
_PARTITION = re.compile(r"([^/=]+)=([^/]*)/")
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Records:
    """Files that are read as one table.

    where       for messages
    dataset     the wanted columns, in plain types
    instants    columns that are naive here and instants in truth: INT96, as Spark writes timestamps
    mixed       columns of which the files have different types, and which
    """

    where: str
    dataset: ds.FileSystemDataset
    instants: frozenset[str]
    mixed: Mapping[str, str]


def open_records(url: str, names: Sequence[str]) -> Records:
    """The files of a folder, a glob, an s3://bucket/prefix, or one file; as they are now.

    Every file must have each column of `names`, in itself or as a folder `name=value`: a column that some
    lack is missing, and not null. Raises InputError.
    """
    where, files, filesystem = _files(url)
    if not files:
        raise InputError(f"INPUT_URL: there is no Parquet file in {where}.")
    partitions = _partition_schema(files, names)
    file_format = ds.ParquetFileFormat()
    fragments = [
        file_format.make_fragment(path, filesystem, partition_expression=_partition(path, partitions))
        for path in files
    ]
    schemas = _schemas(fragments, names, partitions)
    schema, mixed = _unified(schemas, files)
    dataset = ds.FileSystemDataset(fragments, schema, file_format, filesystem)
    return Records(where, dataset, frozenset(_instants(fragments, schema)), mixed)


def _files(url: str) -> tuple[str, list[str], fs.FileSystem]:
    """For messages; the files' paths, in order; and where pyarrow finds them."""
    scheme, rest = split(url)
    if scheme == "s3":
        return _files_of_bucket(url, rest)
    if Path(rest).is_file():
        found = [rest]
    elif Path(rest).is_dir():
        found = [str(path) for path in Path(rest).rglob("*") if _counts(path.relative_to(rest).as_posix())]
    elif _GLOB.search(rest):
        found = [path for path in glob.glob(rest, recursive=True) if Path(path).is_file()]  # noqa: PTH207
    else:
        raise InputError(f"INPUT_URL: there is no file or folder {rest}.")
    return rest, sorted(found), fs.LocalFileSystem()


def _files_of_bucket(url: str, rest: str) -> tuple[str, list[str], fs.FileSystem]:
    bucket, _, prefix = rest.partition("/")
    pattern = _GLOB.search(prefix)
    fixed = prefix[: pattern.start()] if pattern else prefix.rstrip("/")
    storage = open_storage(f"s3://{bucket}", "INPUT_URL", InputError)
    names = [file.name for file in storage.files(fixed)]
    if pattern:
        names = [name for name in names if fnmatch.fnmatchcase(name, prefix)]
    elif fixed not in names:
        folder = f"{fixed}/" if fixed else ""
        names = [name for name in names if name.startswith(folder) and _counts(name[len(folder) :])]
    else:
        names = [fixed]
    return url, [f"{bucket}/{name}" for name in sorted(names)], storage.filesystem()


def _counts(name: str) -> bool:
    """Whether a file of a folder is one of its records': not `_temporary/..`, and not hidden."""
    path = PurePosixPath(name)
    return path.suffix in _SUFFIXES and not any(part.startswith((".", "_")) for part in path.parts)


def _partition_schema(files: Sequence[str], names: Sequence[str]) -> pa.Schema:
    """The wanted columns that all files' folders name, as `name=value`: whole numbers or texts."""
    found = [dict(_PARTITION.findall(path)) for path in files]
    fields = []
    for name in dict.fromkeys(names):
        values = {values.get(name) for values in found} - {_NO_VALUE}
        if None not in values and values:
            whole = all(re.fullmatch(r"-?[1-9]\d{0,17}|0", value) for value in values if value is not None)
            fields.append(pa.field(name, pa.int64() if whole else pa.string()))
    return pa.schema(fields)


def _partition(path: str, partitions: pa.Schema) -> ds.Expression:
    return ds.partitioning(partitions, flavor="hive").parse(path.rpartition("/")[0] + "/")


def _schemas(fragments: Sequence[Any], names: Sequence[str], partitions: pa.Schema) -> list[pa.Schema]:
    """Of each file the wanted columns."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(lambda fragment: _schema(fragment, names, partitions), fragments))


def _schema(fragment: Any, names: Sequence[str], partitions: pa.Schema) -> pa.Schema:
    try:
        found = fragment.physical_schema
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"INPUT_URL: {fragment.path} cannot be read as Parquet: {error}") from None
    fields = []
    for name in dict.fromkeys(names):
        places = found.get_all_field_indices(name)
        if len(places) > 1:
            raise InputError(f"INPUT_URL: {fragment.path} has more than one column {name!r}.")
        if not places and name not in partitions.names:
            raise InputError(
                f"INPUT_URL: {fragment.path} has no column {name!r}; it has {', '.join(found.names)}."
            )
        field = found.field(places[0]) if places else partitions.field(name)
        fields.append(pa.field(name, plain_type(field.type)))
    return pa.schema(fields)


def _unified(schemas: Sequence[pa.Schema], files: Sequence[str]) -> tuple[pa.Schema, dict[str, str]]:
    """A type for each column that can hold all files' values; and which columns have several."""
    fields, mixed = [], {}
    for name in schemas[0].names:
        kinds: dict[pa.DataType, str] = {}
        for schema, path in zip(schemas, files, strict=True):
            kinds.setdefault(schema.field(name).type, path)
        if len(kinds) > 1:
            mixed[name] = ", ".join(f"{kind} in {path}" for kind, path in kinds.items())
        fields.append(pa.field(name, _common(name, list(kinds), mixed)))
    return pa.schema(fields), mixed


def _common(name: str, kinds: list[pa.DataType], mixed: Mapping[str, str]) -> pa.DataType:
    if len(kinds) == 1:
        return kinds[0]
    in_utc = [
        pa.timestamp(kind.unit, "UTC") if pa.types.is_timestamp(kind) and kind.tz else kind for kind in kinds
    ]
    schemas = [pa.schema([(name, kind)]) for kind in in_utc]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(name).type
    except pa.ArrowException:
        raise InputError(
            f"INPUT_URL: the files do not agree on the column {name!r}: {mixed[name]}."
        ) from None


def _instants(fragments: Sequence[Any], schema: pa.Schema) -> Iterator[str]:
    """Columns whose values some file has as INT96."""
    naive = {field.name for field in schema if field.type == pa.timestamp("ns")}
    for fragment in fragments if naive else ():
        columns = fragment.metadata.schema
        for place in range(len(columns)):
            if columns.column(place).name in naive and columns.column(place).physical_type == "INT96":
                yield columns.column(place).name
