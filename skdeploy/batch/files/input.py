"""Records from Parquet files, sorted by DuckDB, which spills what its memory does not hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from skdeploy.batch.chunks import Chunk, Input, Key
from skdeploy.batch.files.carriers import carried, carrier, restored, sorts
from skdeploy.batch.files.dataset import open_records
from skdeploy.batch.files.scratch import scratch_folder
from skdeploy.batch.intervals import Interval
from skdeploy.batch.rechunk import rechunk
from skdeploy.errors import InputError

# Of a scan: large enough for its speed, small enough that rows of many columns fit.
_SCAN_ROWS = 16_384
_OPTIONS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 2,
    # What is not in the package is not fetched from the network.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


class ParquetInput(Input):
    """The files that were at `url` when this was made.

    keys       the key's columns
    time       the event time's
    columns    the model's
    memory     what a sort may hold, as DuckDB writes it; beyond it is written to temporary files

    `types` are the columns that are read, the key's first, and what they hold.

    Records with the same key come in any order among themselves; nulls come first, NaN last.
    Raises InputError.
    """

    def __init__(
        self,
        url: str,
        *,
        keys: Sequence[str],
        time: str,
        columns: Sequence[str],
        memory: str = "256MB",
    ) -> None:
        self._records = open_records(url, [*keys, time, *columns])
        schema = self._records.dataset.schema
        self.types = {name: schema.field(name).type for name in dict.fromkeys([*keys, *columns])}
        self._keys = list(keys)
        self._memory = memory
        self.key_types: Mapping[str, pa.DataType] = {name: self.types[name] for name in keys}
        for name, kind in self.key_types.items():
            if not sorts(kind):
                raise InputError(
                    f"KEY_COLUMNS: {name!r} is {kind}, which can be no key: name another column."
                )
        self._time, self._time_type = self._event_time(time, schema.field(time).type)
        self.wall = not (pa.types.is_timestamp(self._time_type) and self._time_type.tz)

    @property
    def files(self) -> list[str]:
        """The files' paths, or bucket/key, in order."""
        return list(self._records.dataset.files)

    @property
    def mixed(self) -> Mapping[str, str]:
        """Columns of which the files have different types, and which."""
        return self._records.mixed

    def _event_time(self, name: str, kind: pa.DataType) -> tuple[ds.Expression, pa.DataType]:
        if name in self._records.instants:
            instant = pa.timestamp("ns", "UTC")
            return ds.field(name).cast(instant), instant
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            return ds.field(name), kind
        raise InputError(
            f"TIME_COLUMN: {name!r} is {kind} in the files, no date-time: name another column, or write the "
            "files with a timestamp."
        )

    def count(self, interval: Interval) -> int:
        """How many records the interval has."""
        with self._told():
            return int(self._records.dataset.count_rows(filter=self._within(interval)))

    def without_time(self) -> int:
        """How many records have no event time."""
        with self._told():
            return int(self._records.dataset.count_rows(filter=self._time.is_null()))

    def chunks(self, interval: Interval, size: int, after: Key | None = None) -> Iterator[Chunk]:
        """The interval's records behind the key `after`, in the order of their keys."""
        wanted = self._within(interval)
        if after is not None:
            wanted &= self._behind(after)
        return rechunk(self._sorted(wanted, size), size, self._keys)

    def _within(self, interval: Interval) -> ds.Expression:
        start, end = (self._bound(moment) for moment in interval.bounds(self.wall))
        return (self._time >= start) & (self._time < end)

    def _bound(self, moment: datetime) -> pa.Scalar:
        if pa.types.is_date(self._time_type):
            # A day is its midnight.
            day = moment.date() + timedelta(days=moment.time() != datetime.min.time())
            return pa.scalar(day, pa.date32()).cast(self._time_type)
        return pa.scalar(moment, pa.timestamp("us", self._time_type.tz)).cast(self._time_type)

    def _behind(self, after: Key) -> ds.Expression:
        """Whether a record comes behind a key, in the order of the sort."""
        places = [
            _Place(carried(name, kind), _scalar(value, kind))
            for (name, kind), value in zip(self.key_types.items(), after, strict=True)
        ]
        *first, last = places
        return reduce(
            lambda rest, place: place.above() | (place.same() & rest), reversed(first), last.above()
        )

    def _sorted(self, wanted: ds.Expression, size: int) -> Iterator[pa.RecordBatch]:
        types = list(self.types.items())
        # Names of our own: to DuckDB, "a" and "A" are the same one.
        columns = {f"c{place}": carried(name, kind) for place, (name, kind) in enumerate(types)}
        order = ", ".join(f"c{place} ASC NULLS FIRST" for place in range(len(self._keys)))
        with self._told(), scratch_folder() as folder, _connection(self._memory, folder) as connection:
            connection.register("records", self._scanner(columns, wanted).to_reader())
            statement = f"SELECT {', '.join(columns)} FROM records ORDER BY {order}"  # noqa: S608 - our names
            for batch in connection.execute(statement).to_arrow_reader(max(size, 2048)):
                arrays = [
                    restored(column, kind) for column, (_, kind) in zip(batch.columns, types, strict=True)
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=list(self.types))

    def _scanner(self, columns: Mapping[str, ds.Expression], wanted: ds.Expression) -> ds.Scanner:
        return self._records.dataset.scanner(
            columns=columns,
            filter=wanted,
            batch_size=_SCAN_ROWS,
            batch_readahead=4,
            fragment_readahead=2,
        )

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the readers say, as InputError; without values of records."""
        try:
            yield
        except (OSError, pa.ArrowException, duckdb.Error) as error:
            if self._records.mixed and not isinstance(error, OSError):
                said = "; ".join(f"{name!r} is {kinds}" for name, kinds in self._records.mixed.items())
                raise InputError(
                    f"INPUT_URL: files have values that do not fit a column's type in other files: {said}."
                ) from None
            raise InputError(f"INPUT_URL: {self._records.where} cannot be read: {error}") from None


class _Place:
    """A key column, as it is sorted, beside a key's value in it."""

    def __init__(self, column: ds.Expression, value: pa.Scalar) -> None:
        self._column = column
        self._value = value
        self._nan = pa.types.is_floating(value.type) and value.is_valid and value.as_py() != value.as_py()

    def same(self) -> ds.Expression:
        if not self._value.is_valid:
            return self._column.is_null()
        if self._nan:
            return self._column.is_nan()
        return self._column == self._value

    def above(self) -> ds.Expression:
        if not self._value.is_valid:
            return self._column.is_valid()
        if self._nan:
            return ds.scalar(False)
        above = self._column > self._value
        return above | self._column.is_nan() if pa.types.is_floating(self._value.type) else above


def _scalar(value: Any, kind: pa.DataType) -> pa.Scalar:
    if kind == pa.uuid():
        return pa.scalar(None if value is None else value.bytes, kind.storage_type)
    return pa.scalar(value, kind).cast(carrier(kind))


@contextlib.contextmanager
def _connection(memory: str, folder: Path) -> Iterator[Any]:
    options = {**_OPTIONS, "memory_limit": memory, "temp_directory": str(folder)}
    with contextlib.closing(duckdb.connect(":memory:", config=options)) as connection:
        yield connection
