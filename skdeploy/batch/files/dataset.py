"""Parquet files as one: which they are, and whether they fit together."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow import fs

from skdeploy.batch.files.kinds import plain_type
from skdeploy.batch.files.storage import open_storage, split
from skdeploy.errors import InputError

_SUFFIXES = (".parquet", ".parq", ".pq")
_GLOB = re.compile(r"[*?\[]")
_READERS = 8
_FOLDER = re.compile(r"([^/=]+)=([^/]*)(?=/)")
_WHOLE = re.compile(r"-?[1-9]\d{0,17}|0", re.ASCII)
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class File:
    """A Parquet file.

    path, filesystem   where pyarrow finds it
    fragment           what Arrow knows of it: the statistics of its groups of rows
    schema             of the wanted columns, as they are stored
    folders            those that the folders above it name, with their values
    """

    path: str
    filesystem: fs.FileSystem
    fragment: ds.ParquetFileFragment
    schema: pa.Schema
    folders: Mapping[str, int | str | None]


@dataclass(frozen=True, slots=True)
class Records:
    """Files that are read as one table.

    where       for messages
    schema      the wanted columns, in plain types that can hold all files' values
    instants    columns that are naive here and instants in truth: INT96, as Spark writes timestamps
    """

    where: str
    files: tuple[File, ...]
    schema: pa.Schema
    instants: frozenset[str]


def open_records(url: str, names: Sequence[str]) -> Records:
    """The files of a folder, a glob, an s3://bucket/prefix, or one file; as they are now.

    Every file must have each column of `names`, in itself or as a folder `name=value`: a column that some
    lack is missing, and not null. Raises InputError.
    """
    where, paths, filesystem = _files(url)
    if not paths:
        raise InputError(f"SKDEPLOY_INPUT_URL: there is no Parquet file in {where}.")
    folders = _folder_columns(paths, names)
    kinds = {name: _folder_type(name, folders) for name in folders[0]}

    def opened(path: str, named: Mapping[str, int | str | None]) -> File:
        fragment = ds.ParquetFileFormat().make_fragment(path, filesystem)
        schema = _schema(fragment, names, kinds)
        own = {name: value for name, value in named.items() if name not in fragment.physical_schema.names}
        return File(path, filesystem, fragment, schema, own)

    with ThreadPoolExecutor(_READERS) as pool:
        files = tuple(pool.map(opened, paths, folders))
    return Records(where, files, _unified(files), frozenset(_instants(files)))


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
        raise InputError(f"SKDEPLOY_INPUT_URL: there is no file or folder {rest}.")
    return rest, sorted(found), fs.LocalFileSystem()


def _files_of_bucket(url: str, rest: str) -> tuple[str, list[str], fs.FileSystem]:
    bucket, _, prefix = rest.partition("/")
    pattern = _GLOB.search(prefix)
    fixed = prefix[: pattern.start()] if pattern else prefix.rstrip("/")
    storage = open_storage(f"s3://{bucket}", "SKDEPLOY_INPUT_URL", InputError)
    names = [file.name for file in storage.files(fixed)]
    if pattern:
        wanted = _as_regex(prefix)
        names = [name for name in names if wanted.fullmatch(name)]
    elif fixed not in names:
        folder = f"{fixed}/" if fixed else ""
        names = [name for name in names if name.startswith(folder) and _counts(name[len(folder) :])]
    else:
        names = [fixed]
    return url, [f"{bucket}/{name}" for name in sorted(names)], storage.filesystem()


def _as_regex(pattern: str) -> re.Pattern[str]:
    """A glob's, as `glob` reads it: `**/` is any number of folders."""
    parts = {"**/": "(?:[^/]+/)*", "*": "[^/]*", "?": "[^/]"}

    def part(found: re.Match[str]) -> str:
        text = found[0]
        if found[1] is not None:
            listed = found[1].replace("\\", r"\\")
            return f"[^{listed[1:]}]" if listed.startswith("!") else f"[{listed}]"
        return parts.get(text, re.escape(text))

    return re.compile(re.sub(r"\*\*/|\[(!?[^\]]+)\]|.", part, pattern))


def _counts(name: str) -> bool:
    """Whether a file of a folder is one of its records': not `_temporary/..`, and not hidden."""
    path = PurePosixPath(name)
    return path.suffix in _SUFFIXES and not any(part.startswith((".", "_")) for part in path.parts)


def _folder_columns(paths: Sequence[str], names: Sequence[str]) -> list[dict[str, int | str | None]]:
    """Of each file the wanted columns that all files' folders name: whole numbers, or else texts."""
    found = [dict(_FOLDER.findall(path)) for path in paths]
    shared = [name for name in dict.fromkeys(names) if all(name in values for values in found)]
    whole = {
        name
        for name in shared
        if all(_WHOLE.fullmatch(values[name]) for values in found if values[name] != _NO_VALUE)
    }
    return [
        {name: _folder_value(unquote(values[name]), name in whole) for name in shared} for values in found
    ]


def _folder_value(text: str, whole: bool) -> int | str | None:
    if text == _NO_VALUE:
        return None
    return int(text) if whole else text


def _folder_type(name: str, folders: Sequence[Mapping[str, int | str | None]]) -> pa.DataType:
    return pa.string() if any(isinstance(values[name], str) for values in folders) else pa.int64()


def _schema(fragment: Any, names: Sequence[str], folders: Mapping[str, pa.DataType]) -> pa.Schema:
    """Of the wanted columns."""
    try:
        found = fragment.physical_schema
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"SKDEPLOY_INPUT_URL: {fragment.path} cannot be read as Parquet: {error}") from None
    fields = []
    for name in dict.fromkeys(names):
        places = found.get_all_field_indices(name)
        if len(places) > 1:
            raise InputError(f"SKDEPLOY_INPUT_URL: {fragment.path} has more than one column {name!r}.")
        if not places and name not in folders:
            raise InputError(
                f"SKDEPLOY_INPUT_URL: {fragment.path} has no column {name!r}; it has "
                f"{', '.join(found.names)}."
            )
        fields.append(pa.field(name, found.field(places[0]).type if places else folders[name]))
    return pa.schema(fields)


def _unified(files: Sequence[File]) -> pa.Schema:
    """A type for each column that can hold all files' values."""
    fields = []
    for name in files[0].schema.names:
        kinds: dict[pa.DataType, str] = {}
        for file in files:
            kinds.setdefault(plain_type(file.schema.field(name).type), file.path)
        fields.append(pa.field(name, _common(name, kinds)))
    return pa.schema(fields)


def _common(name: str, kinds: Mapping[pa.DataType, str]) -> pa.DataType:
    """One of types, or one that holds them all; `kinds` says which file has which."""
    if len(kinds) == 1:
        return next(iter(kinds))
    in_utc = [
        pa.timestamp(kind.unit, "UTC") if pa.types.is_timestamp(kind) and kind.tz else kind for kind in kinds
    ]
    schemas = [pa.schema([(name, kind)]) for kind in in_utc]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(name).type
    except pa.ArrowException:
        said = ", ".join(f"{kind} in {path}" for kind, path in kinds.items())
        raise InputError(f"SKDEPLOY_INPUT_URL: the files do not agree on column {name!r}: {said}.") from None


def _instants(files: Sequence[File]) -> Iterator[str]:
    """Columns whose values some file has as INT96."""
    for file in files:
        naive = {field.name for field in file.schema if field.type == pa.timestamp("ns")}
        columns = file.fragment.metadata.schema
        for column in map(columns.column, range(len(columns) if naive else 0)):
            if column.name in naive and column.physical_type == "INT96":
                yield column.name
