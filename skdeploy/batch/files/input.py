"""Records from Parquet files, an interval at a time, in the order of their keys."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.dataset as ds

from skdeploy.batch.chunks import Chunk, Input, Key
from skdeploy.batch.files.dataset import File, open_records
from skdeploy.batch.files.kinds import key_order, sorts
from skdeploy.batch.files.scanning import scan
from skdeploy.batch.files.sorting import Sorting
from skdeploy.batch.intervals import Interval
from skdeploy.batch.rechunk import rechunk
from skdeploy.errors import InputError


class ParquetInput(Input):
    """The files that were at `url` when this was made.

    keys      the key's columns
    time      the event time's
    columns   the model's
    memory    bytes that are sorted at once; about five times of that are held, however large an interval is

    `types` are the columns that are read, the key's first, and what they hold.

    Records with the same key come in any order among themselves; nulls come first, then NaN.
    Raises InputError.
    """

    def __init__(
        self, url: str, *, keys: Sequence[str], time: str, columns: Sequence[str], memory: int = 32 * 1024**2
    ) -> None:
        self._records = open_records(url, [*keys, time, *columns])
        schema = self._records.schema
        self._names = list(dict.fromkeys([*keys, *columns]))
        self.types = {name: schema.field(name).type for name in self._names}
        self._keys = list(keys)
        self._time = time
        self._memory = memory
        self.key_types: Mapping[str, pa.DataType] = {name: schema.field(name).type for name in keys}
        for name, kind in self.key_types.items():
            if not sorts(kind):
                raise InputError(
                    f"SKDEPLOY_KEY_COLUMNS: {name!r} is {kind}, which is no key: name another column."
                )
        self.wall = _is_wall(time, schema.field(time).type, time in self._records.instants)

    @property
    def files(self) -> list[str]:
        """The files' paths, or bucket/key, in order."""
        return [file.path for file in self._records.files]

    @property
    def mixed(self) -> Mapping[str, str]:
        """Columns of which the files have different types, and which."""
        found = {
            name: {str(file.schema.field(name).type) for file in self._records.files} for name in self.types
        }
        return {name: ", ".join(sorted(kinds)) for name, kinds in found.items() if len(kinds) > 1}

    def count(self, interval: Interval) -> int:
        """How many records the interval has."""
        with self._told():
            return sum(
                file.fragment.count_rows(filter=self._within(file, interval)) for file in self._records.files
            )

    def without_time(self) -> int:
        """How many records have no event time."""
        missing = ds.field(self._time).is_null()
        with self._told():
            return sum(file.fragment.count_rows(filter=missing) for file in self._records.files)

    def chunks(self, interval: Interval, size: int, after: Key | None = None) -> Iterator[Chunk]:
        """The interval's records behind the key `after`, in the order of their keys."""
        return rechunk(self._sorted(interval, after), size, self._keys)

    def _sorted(self, interval: Interval, after: Key | None) -> Iterator[pa.RecordBatch]:
        def columns(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
            return scan(self._records, names, lambda file: self._within(file, interval))

        with self._told():
            order = None if after is None else key_order(after, list(self.key_types.values()))
            yield from Sorting(self._keys, order, self._memory).sort(
                columns(self._names), lambda: self.count(interval), lambda: columns(self._keys)
            )

    def _within(self, file: File, interval: Interval) -> ds.Expression:
        """Whether a record is of the interval, in the file's own type: Parquet's statistics answer that."""
        time, kind = ds.field(self._time), file.schema.field(self._time).type
        if self._time in self._records.instants:
            kind = pa.timestamp("ns", "UTC")
            time = time.cast(kind)
        start, end = (_bound(moment, kind) for moment in interval.bounds(self.wall))
        return (time >= start) & (time < end)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """What the readers say, as InputError."""
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"SKDEPLOY_INPUT_URL: {self._records.where} cannot be read: {error}") from None


def _is_wall(name: str, kind: pa.DataType, instant: bool) -> bool:
    """Whether the event time has no zone; InputError if it is none."""
    if pa.types.is_timestamp(kind):
        return kind.tz is None and not instant
    if pa.types.is_date(kind):
        return True
    raise InputError(
        f"SKDEPLOY_TIME_COLUMN: {name!r} is {kind} in the files, no date-time: name another column, or write "
        "the "
        "files with a timestamp."
    )


def _bound(moment: datetime, kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_date(kind):
        # A day is its midnight.
        day = moment.date() + timedelta(days=moment.time() != datetime.min.time())
        return pa.scalar(day, pa.date32()).cast(kind)
    return pa.scalar(moment, pa.timestamp("us", kind.tz)).cast(kind)
